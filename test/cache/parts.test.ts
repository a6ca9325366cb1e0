// Multipart ETags and composite checksums of S3, from the listing to the verdict: the store against the
// double, and both ways in which bytes are checked.

import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Observed } from "../../src/cache/observed.js";
import { receive } from "../../src/cache/receive.js";
import { hashObject } from "../../src/daemon/hash-object.js";
import { assuranceOf } from "../../src/model/assurance.js";
import type { Entry } from "../../src/model/entry.js";
import { withRetry } from "../../src/stores/retry.js";
import { openS3Store } from "../../src/stores/s3/store.js";
import type { Store } from "../../src/stores/store.js";
import { collect, entryOf, faultOf, listOptions } from "../contract/store.js";
import type { Bucket, PutOptions, S3Double } from "../support/s3-double.js";
import { generated, startS3Double } from "../support/s3-double.js";
import { Folder } from "./origin.js";

const MIB = 1_048_576;
const TIMEOUT_MS = 5_000;

let double: S3Double;
let store: Store;
let bucket: Bucket;
let folder: Folder;
let observed: Observed;
let files = 0;

beforeEach(async () => {
  double = await startS3Double();
  store = openS3Store(double.environment, { retryTimeoutMs: 0 });
  bucket = double.bucket("bucket");
  folder = new Folder();
  observed = Observed.open(join(folder.path, "observed.sqlite"), () => undefined);
});
afterEach(async () => {
  observed[Symbol.dispose]();
  folder[Symbol.dispose]();
  await store.close();
  await double[Symbol.asyncDispose]();
});

/** Puts `k`, and its entry as logging makes it. */
async function put(sizeBytes: number, options: PutOptions): Promise<Entry> {
  bucket.put("k", generated(sizeBytes), options);
  const [listed] = await collect(store.list("s3://bucket/k", listOptions()));
  expect(double.counts().HeadObject).toBeUndefined();
  double.requests.length = 0;
  return entryOf(listed ?? expect.fail("nothing listed"));
}

const fetch: Store["fetch"] = (...args) =>
  withRetry(store.fetch, { timeoutMs: TIMEOUT_MS })(...args);

/** How sure it is that the bytes are right, once they were received. */
async function assured(entry: Entry): Promise<string> {
  const { signal } = new AbortController();
  const path = join(folder.path, `target-${++files}`);
  const options = { observed, timeoutMs: TIMEOUT_MS, signal };
  return (await receive(entry, fetch, path, options)).assurance;
}

/** As `log --hash` does. */
function hash(entry: Entry): Promise<unknown> {
  const { signal } = new AbortController();
  return hashObject(entry, fetch, { signal, timeoutMs: TIMEOUT_MS, onBytes: () => undefined });
}

const partsAsked = (): (number | undefined)[] =>
  double.requests
    .filter(({ operation, partNumber }) => operation === "HeadObject" && partNumber !== undefined)
    .map(({ partNumber }) => partNumber)
    .sort();

const damage = (offset: number): void =>
  double.upset({ operation: "GetObject" }, { flipByteAt: offset }, Infinity);

/** Twice, since damaged bytes are fetched once more. */
const isCorrupt = async (promise: Promise<unknown>, what: RegExp): Promise<void> => {
  const fault = await faultOf(promise);
  expect([fault.kind, fault.message]).toEqual(["corrupt", expect.stringMatching(what)]);
};

const CHECKS: readonly [string, PutOptions, RegExp][] = [
  ["the ETag alone", {}, /md5 of the parts that the store holds/],
  ...(["SHA256", "SHA1", "CRC32C", "CRC32"] as const).map(
    (checksum): [string, PutOptions, RegExp] => [
      `a composite ${checksum}`,
      // Another ETag than that of the bytes counts for nothing here, but must not stand in.
      { checksum, checksumType: "COMPOSITE", encryption: "aws:kms" },
      new RegExp(`${checksum.toLowerCase()} of the parts that the store holds`),
    ],
  ),
];

const SIZES: readonly [string, number, PutOptions][] = [
  ["small", 100_000, { partBytes: 30_000 }],
  ["whose size is a multiple of the parts'", 90_000, { partBytes: 30_000 }],
  ["large", 20 * MIB + 7, { partBytes: 8 * MIB }],
  ["small, of parts of different sizes", 100_000, { partSizes: [50_000, 20_000, 30_000] }],
  ["whose first part is the smallest", 100_000, { partSizes: [10_000, 40_000, 50_000] }],
  ["whose sizes look as if they were one", 100_000, { partSizes: [40_000, 30_000, 30_000] }],
  ["large, of parts of different sizes", 20 * MIB, { partSizes: [9 * MIB, 5 * MIB, 6 * MIB] }],
  ["that ends with an empty part", 50_000, { partSizes: [30_000, 20_000, 0] }],
];

describe.each(CHECKS)("by %s", (_check, options, what) => {
  test.each(SIZES)("an object %s is checked", async (_size, sizeBytes, parts) => {
    const entry = await put(sizeBytes, { ...options, ...parts });
    expect(assuranceOf(entry)).toBe("provider");
    expect(await assured(entry)).toBe("provider");
    await hash(entry);
  });

  test.each(SIZES)("damage in an object %s is found", async (_size, sizeBytes, parts) => {
    const entry = await put(sizeBytes, { ...options, ...parts });
    damage(sizeBytes - 1);
    await isCorrupt(assured(entry), what);
    await isCorrupt(hash(entry), what);
  });
});

describe("what is asked for", () => {
  test("one HEAD for the first part, beside the GET", async () => {
    const entry = await put(100_000, { partBytes: 30_000 });
    await assured(entry);
    expect(double.counts()).toEqual({ GetObject: 1, HeadObject: 1 });
    expect(partsAsked()).toEqual([1]);
    expect(double.requests.every(({ versionId }) => versionId === entry.pin.versionId)).toBe(true);
  });

  test("the condition of an object that has no version", async () => {
    bucket.versioning = "suspended";
    const entry = await put(100_000, { partSizes: [40_000, 30_000, 30_000] });
    expect(await assured(entry)).toBe("provider");
    const heads = double.requests.filter(({ operation }) => operation === "HeadObject");
    expect(heads.map(({ headers }) => headers["if-match"])).toEqual(
      heads.map(() => `"${entry.pin.etag ?? ""}"`),
    );
  });

  test.each([
    ["a checksum of the whole is claimed", { partBytes: 30_000, checksum: "CRC64NVME" }],
    ["the one part is the whole object", { partBytes: 200_000 }],
    ["the object is empty", { partSizes: [0] }],
  ] as const)("no part where %s", async (_why, options) => {
    const entry = await put("partSizes" in options ? 0 : 100_000, options);
    expect(await assured(entry)).toBe("provider");
    expect(double.counts()).toEqual({ GetObject: 1 });
  });

  test("no part where the bytes were hashed when they were logged", async () => {
    const entry = await put(100_000, { partBytes: 30_000 });
    const digests = { md5: "0".repeat(32) };
    await isCorrupt(assured({ ...entry, digests }), /recorded when logging/);
    expect(double.counts()).toEqual({ GetObject: 2 });
  });

  test("the parts one by one without an additional checksum", async () => {
    const entry = await put(100_000, { partSizes: [50_000, 20_000, 30_000] });
    await assured(entry);
    expect(partsAsked()).toEqual([1, 2, 3]);
  });

  test("a list of the parts with one, in pages", async () => {
    const sizes = Array.from({ length: 1_500 }, (_, index) => 100 + (index % 3));
    const sizeBytes = sizes.reduce((total, bytes) => total + bytes, 0);
    const composite = { checksum: "CRC32", checksumType: "COMPOSITE" } as const;
    const entry = await put(sizeBytes, { partSizes: sizes, ...composite });
    expect(await assured(entry)).toBe("provider");
    expect(double.counts()).toEqual({ GetObject: 1, HeadObject: 1, GetObjectAttributes: 2 });
  });

  test("the parts one by one where the list is refused", async () => {
    const composite = { checksum: "SHA256", partSizes: [50_000, 20_000, 30_000] } as const;
    const entry = await put(100_000, composite);
    double.upset({ operation: "GetObjectAttributes" }, { status: 403, code: "AccessDenied" });
    expect(await assured(entry)).toBe("provider");
    expect(partsAsked()).toEqual([1, 2, 3]);
  });

  test("again, when the store is overloaded: that is no answer", async () => {
    const entry = await put(100_000, { partBytes: 30_000 });
    double.upset({ operation: "HeadObject" }, { status: 503, code: "SlowDown" }, 2);
    expect(await assured(entry)).toBe("provider");
  });
});

describe("only the pin counts, right bytes or not,", () => {
  const looksUniform = { partSizes: [40_000, 30_000, 30_000] };
  const uniform = { partBytes: 30_000 };

  test.each([
    ["where the server answers with the whole object", "ignored", uniform],
    ["where the server refuses to tell of parts", "refused", uniform],
    ["where it tells of the first part only, and the others differ", "first only", looksUniform],
  ] as const)("%s", async (_where, partNumbers, options) => {
    double.partNumbers = partNumbers;
    const entry = await put(100_000, options);
    expect(await assured(entry)).toBe("pin");
    expect(observed.find(entry)?.providerChecked).toBe(false);
    await hash(entry);
  });

  test("where the ETag is no hash, because a key encrypts the object", async () => {
    for (const encryption of ["aws:kms", "customer"] as const) {
      const entry = await put(100_000, { ...uniform, encryption });
      expect(await assured(entry)).toBe("pin");
      double.requests.length = 0;
    }
  });

  test("where it tells of another number of parts than the ETag", async () => {
    const entry = await put(100_000, { ...uniform, etag: `${"0".repeat(32)}-7` });
    expect(await assured(entry)).toBe("pin");
  });

  test("where the sizes that it tells do not make up the object", async () => {
    const entry = await put(100_000, { ...uniform, etag: `${"0".repeat(32)}-4` });
    double.upset({ partNumber: 2 }, { headers: { "content-length": "29999" } });
    expect(await assured(entry)).toBe("pin");
  });

  test("and that is known again without fetching", async () => {
    const checked = await put(100_000, uniform);
    expect(await assured(checked)).toBe("provider");
    expect(observed.find(checked)?.providerChecked).toBe(true);
  });
});

test("a wrong multipart ETag over right parts is corrupt", async () => {
  const entry = await put(100_000, { partBytes: 30_000, etag: `${"0".repeat(32)}-4` });
  await isCorrupt(assured(entry), /md5 of the parts/);
  expect(partsAsked()).toEqual([1, 1, 2, 2, 3, 3, 4, 4]);
});
