// Fetching from S3: pins, ranges, what an answer proves, and everything that can go wrong with one.
// Against the double, whose signatures are checked.

import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Entry } from "../../src/model/entry.js";
import type { ByteRange, Fetched } from "../../src/model/fetch.js";
import { openS3Store } from "../../src/stores/s3/store.js";
import type { Store } from "../../src/stores/store.js";
import { collect, entryOf, faultOf, listOptions, readAll } from "../contract/store.js";
import type { Accident, Bucket, PutOptions, S3Double } from "../support/s3-double.js";
import { generated, startS3Double } from "../support/s3-double.js";

let double: S3Double;
let store: Store;
/** Gives up soon: only for what never goes on. */
let hasty: Store;
let bucket: Bucket;

beforeEach(async () => {
  double = await startS3Double();
  store = openS3Store(double.environment, { retryTimeoutMs: 0 });
  hasty = openS3Store(double.environment, { retryTimeoutMs: 0, stallTimeoutMs: 150 });
  bucket = double.bucket("bucket");
});
afterEach(async () => {
  await store.close();
  await hasty.close();
  await double[Symbol.asyncDispose]();
});

async function logged(key: string): Promise<Entry> {
  const [listed] = await collect(store.list(`s3://bucket/${key}`, listOptions()));
  if (listed === undefined) throw new Error("nothing listed");
  double.requests.length = 0;
  return entryOf(listed);
}

async function put(bytes: string | Uint8Array, options: PutOptions = {}): Promise<Entry> {
  bucket.put("k", bytes, options);
  return logged("k");
}

async function open(entry: Entry, range: ByteRange | null = null): Promise<Fetched> {
  return store.fetch(entry, range, new AbortController().signal);
}

/** Everything but the body. */
async function answerTo(entry: Entry, range: ByteRange | null = null): Promise<Fetched> {
  const fetched = await open(entry, range);
  await fetched[Symbol.asyncDispose]();
  return fetched;
}

const upset = (accident: Accident, times?: number): void =>
  double.upset({ operation: "GetObject" }, accident, times);

describe("what is asked for", () => {
  test("a version by its id, without a condition, and with checksums", async () => {
    const entry = await put("bytes");
    await readAll(store, entry);
    const [seen] = double.requests;
    expect(double.requests).toHaveLength(1);
    expect(seen).toMatchObject({ operation: "GetObject", versionId: entry.pin.versionId });
    expect(seen?.headers).toMatchObject({
      "x-amz-checksum-mode": "ENABLED",
      "accept-encoding": "identity",
    });
    expect(seen?.headers["if-match"]).toBeUndefined();
    expect(seen?.range).toBeUndefined();
  });

  test.each([
    ["an ETag alone", {}],
    ["the id null", { versionId: "null" }],
  ])("%s is sent as If-Match", async (_what, pin) => {
    bucket.versioning = "suspended";
    const { etag } = bucket.put("k", "bytes");
    const entry = { ...(await logged("k")), pin: { ...pin, etag } };
    const fetched = await answerTo(entry);
    expect(fetched.pinned).toBe(true);
    expect(double.requests[0]?.headers["if-match"]).toBe(`"${etag}"`);
  });

  test("nothing pinned is asked for as it is, and not promised", async () => {
    const entry = { ...(await put("bytes")), pin: {} };
    expect((await answerTo(entry)).pinned).toBe(false);
  });

  test("the whole object asked for as a range is asked for without one", async () => {
    const entry = await put("0123456789", { checksum: "SHA256" });
    const fetched = await answerTo(entry, { start: 0, end: 10 });
    expect(double.requests[0]?.range).toBeUndefined();
    expect(fetched.claims).toHaveLength(1);
  });

  test("connections are kept: many requests, few sockets", async () => {
    const entry = await put("bytes");
    for (let round = 0; round < 20; round++) await readAll(store, entry);
    expect(new Set(double.requests.map(({ remotePort }) => remotePort)).size).toBe(1);
  });
});

describe("what an answer proves", () => {
  test.each(["SHA256", "SHA1", "CRC64NVME", "CRC32C", "CRC32"] as const)(
    "the %s of the whole object is learnt from the answer",
    async (checksum) => {
      const entry = await put("123456789", { checksum });
      const { claims } = await answerTo(entry);
      const values = {
        SHA256: "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
        SHA1: "f7c3bc1d808e04732adf679965ccc34ca7ae3441",
        CRC64NVME: "ae8b14860a799888",
        CRC32C: "e3069283",
        CRC32: "cbf43926",
      };
      expect(claims).toEqual([
        { algorithm: checksum.toLowerCase(), value: values[checksum], source: "checksum" },
      ]);
    },
  );

  test("a checksum composed of the parts' own is told as such, and never without their number", async () => {
    const entry = await put("123456789", {
      checksum: "CRC32",
      partBytes: 4,
      checksumType: "COMPOSITE",
    });
    const composed = {
      algorithm: "crc32",
      value: "faf128e9-3",
      source: "checksum",
      ofParts: true,
    };
    expect((await answerTo(entry)).claims).toEqual([composed]);
    upset({ headers: { "x-amz-checksum-type": "" } });
    expect((await answerTo(entry)).claims).toEqual([composed]);
    upset({ headers: { "x-amz-checksum-crc32": "+vEo6Q==" } });
    expect((await answerTo(entry)).claims).toEqual([]);
  });

  test("the first range of an object with a claimed checksum learns its value by a HEAD", async () => {
    bucket.put("k", generated(3_000_000), { checksum: "SHA256" });
    const entry = await logged("k");
    const first = await answerTo(entry, { start: 0, end: 1_000_000 });
    expect(first.claims.map(({ algorithm }) => algorithm)).toEqual(["sha256"]);
    const second = await answerTo(entry, { start: 1_000_000, end: 2_000_000 });
    expect(second.claims).toEqual([]);
    expect(double.counts()).toEqual({ GetObject: 2, HeadObject: 1 });
  });

  test.each([
    [undefined, true],
    ["AES256", true],
    ["aws:kms", false],
    ["customer", false],
  ] as const)("with encryption %s the ETag is a hash: %s", async (encryption, expected) => {
    const entry = await put("bytes", encryption === undefined ? {} : { encryption });
    expect((await answerTo(entry)).etagIsHash).toBe(expected);
    expect((await answerTo(entry, { start: 1, end: 2 })).etagIsHash).toBe(expected);
  });

  test("a server without ranges gives everything, and says so", async () => {
    const entry = await put("0123456789");
    upset({ ignoreRange: true });
    await using fetched = await open(entry, { start: 2, end: 5 });
    expect(fetched.range).toEqual({ start: 0, end: 10 });
    expect(Buffer.concat(await collect(fetched.body)).toString()).toBe("0123456789");
  });

  test.each([
    ["another range", { "content-range": "bytes 3-5/10" }],
    ["a longer range", { "content-range": "bytes 2-6/10" }],
    ["no range", { "content-range": "" }],
    ["a range beyond the end", { "content-range": "bytes 2-14/10" }],
    ["a range of unknown size", { "content-range": "bytes 2-4/*" }],
  ])("%s than asked is corrupt", async (_what, headers) => {
    const entry = await put("0123456789");
    upset({ headers });
    expect((await faultOf(open(entry, { start: 2, end: 5 }))).kind).toBe("corrupt");
  });

  test("another version than asked is corrupt", async () => {
    const old = bucket.put("k", "old");
    const entry = await put("new");
    upset({ answerWithVersion: old.versionId });
    const fault = await faultOf(open(entry));
    expect([fault.kind, fault.message]).toEqual([
      "corrupt",
      expect.stringContaining(old.versionId),
    ]);
  });

  test("a server that ignores versionId and names none is caught by the ETag", async () => {
    const old = bucket.put("k", "old");
    const entry = await put("new");
    upset({ answerWithVersion: old.versionId, headers: { "x-amz-version-id": "" } });
    expect((await faultOf(open(entry))).kind).toBe("drifted");
  });
});

describe("an object that is gone or another", () => {
  test("a deleted version has drifted, naming it", async () => {
    const entry = await put("bytes");
    bucket.put("k", "newer");
    bucket.deleteVersion("k", entry.pin.versionId ?? "");
    const fault = await faultOf(open(entry));
    expect([fault.kind, fault.subject]).toEqual([
      "drifted",
      `s3://bucket/k (version ${entry.pin.versionId ?? ""})`,
    ]);
    expect(fault.message).toContain("NoSuchVersion");
  });

  test("a delete marker in the version's place has drifted", async () => {
    const entry = await put("bytes");
    bucket.delete("k");
    const marker = bucket.versionsOf("k")[0]?.versionId ?? "";
    const fault = await faultOf(open({ ...entry, pin: { versionId: marker } }));
    expect([fault.kind, fault.message]).toEqual([
      "drifted",
      expect.stringContaining("delete marker"),
    ]);
  });

  test("a bucket that is gone has drifted", async () => {
    const entry = await put("bytes");
    expect((await faultOf(open({ ...entry, uri: "s3://nobody/k" }))).kind).toBe("drifted");
  });

  test("a pinned object shorter than a range of it is corrupt", async () => {
    const entry = await put("bytes");
    expect((await faultOf(open({ ...entry, sizeBytes: 100 }, { start: 50, end: 60 }))).kind).toBe(
      "corrupt",
    );
  });
});

describe("refusals", () => {
  test.each([
    [403, "AccessDenied", "denied", /credentials/],
    [403, "InvalidObjectState", "denied", /archived/],
    [400, "KMS.DisabledException", "denied", /refused/],
    [400, "RequestTimeout", "unavailable", /overloaded/],
    [429, "TooManyRequests", "unavailable", /overloaded/],
    [500, "InternalError", "unavailable", /overloaded/],
    [502, "", "unavailable", /HTTP 502/],
    [503, "SlowDown", "unavailable", /SlowDown/],
    [504, "", "unavailable", /overloaded/],
    [501, "NotImplemented", "denied", /not implement/],
    [400, "InvalidArgument", "drifted", /no such version/],
    [307, "TemporaryRedirect", "denied", /AWS_REGION/],
  ] as const)("%i %s is %s", async (status, code, kind, message) => {
    const entry = await put("bytes");
    upset({ status, code });
    const fault = await faultOf(open(entry));
    expect([fault.kind, fault.message]).toEqual([kind, expect.stringMatching(message)]);
    expect(fault.message).toContain("s3://bucket/k");
  });

  test("a store that names a time to wait is given it", async () => {
    const entry = await put("bytes");
    upset({ status: 503, code: "SlowDown", headers: { "retry-after": "3" } });
    expect((await faultOf(open(entry))).retryAfterMs).toBe(3_000);
  });

  test("a redirect to another host is not followed", async () => {
    const entry = await put("bytes");
    const elsewhere = await startS3Double();
    upset({
      status: 301,
      code: "PermanentRedirect",
      headers: { location: `${elsewhere.endpoint}/x` },
    });
    expect((await faultOf(open(entry))).kind).toBe("denied");
    expect(elsewhere.requests).toHaveLength(0);
    await elsewhere[Symbol.asyncDispose]();
  });

  test("no secret is in a refusal", async () => {
    const entry = await put("bytes");
    const other = openS3Store({ ...double.environment, AWS_SECRET_ACCESS_KEY: "hush" }, {});
    const fault = await faultOf(other.fetch(entry, null, new AbortController().signal));
    expect(fault.kind).toBe("denied");
    expect(JSON.stringify([fault, fault.message, String(fault.cause)])).not.toMatch(
      /hush|AKDOUBLE/,
    );
    await other.close();
  });
});

describe("transfers that go wrong", () => {
  const bytes = Buffer.alloc(400_000, 3);

  test.each([
    ["is reset before the first byte", { resetAfterBytes: 0 }],
    ["is reset midway", { resetAfterBytes: 100_000 }],
    ["is closed early", { shortByBytes: 1 }],
    ["stalls midway", { stallAfterBytes: 100_000 }],
    ["stalls before the first byte", { stallAfterBytes: 0 }],
  ] as const)("a body that %s is unavailable", async (_how, accident) => {
    const entry = await put(bytes);
    upset(accident);
    expect((await faultOf(readAll(hasty, entry))).kind).toBe("unavailable");
    expect((await readAll(store, entry)).equals(bytes)).toBe(true);
  });

  test("a body longer than the object is corrupt", async () => {
    const entry = await put(bytes);
    upset({ longByBytes: 1 });
    expect((await faultOf(readAll(store, entry))).kind).toBe("corrupt");
  });

  test("an answer that never comes is unavailable", async () => {
    const entry = await put(bytes);
    upset({ silent: true });
    const fault = await faultOf(hasty.fetch(entry, null, new AbortController().signal));
    expect([fault.kind, fault.message]).toEqual([
      "unavailable",
      expect.stringContaining("no answer"),
    ]);
  });

  test("a slow reader is no stalled transfer", async () => {
    const entry = await put(Buffer.alloc(8_000_000));
    await using fetched = await hasty.fetch(entry, null, new AbortController().signal);
    let total = 0;
    for await (const chunk of fetched.body) {
      // Longer than the stall timeout, while nothing is asked of the connection.
      if (total === 0) await busyFor(400);
      total += chunk.length;
    }
    expect(total).toBe(8_000_000);
  });

  test("a slow transfer is no stalled one", async () => {
    const patient = openS3Store(double.environment, { stallTimeoutMs: 500 });
    const entry = await put(bytes);
    double.bytesPerSecond = 400_000;
    expect((await readAll(patient, entry)).equals(bytes)).toBe(true);
    await patient.close();
  });

  test("nobody listening is unavailable", async () => {
    const gone = await startS3Double();
    const { environment } = gone;
    await gone[Symbol.asyncDispose]();
    const entry = await put(bytes);
    const other = openS3Store(environment, {});
    const fault = await faultOf(other.fetch(entry, null, new AbortController().signal));
    expect([fault.kind, fault.message]).toEqual([
      "unavailable",
      expect.stringContaining("refused"),
    ]);
    await other.close();
  });

  test("a port that speaks no TLS is denied, with what to check", async () => {
    const entry = await put(bytes);
    const secure = double.endpoint.replace("http:", "https:");
    const other = openS3Store({ ...double.environment, AWS_S3_ENDPOINT_URL: secure }, {});
    const fault = await faultOf(other.fetch(entry, null, new AbortController().signal));
    expect([fault.kind, fault.message]).toEqual(["denied", expect.stringContaining("scheme")]);
    await other.close();
  });

  test("two hundred fetches held by the store do not stop another", async () => {
    bucket.put("free", "free");
    const free = await logged("free");
    const entry = await put(bytes);
    const held = double.hold({ key: "k" });
    const waiting = Promise.all(Array.from({ length: 200 }, () => readAll(store, entry)));
    await held.arrived;
    expect((await readAll(store, free)).toString()).toBe("free");
    held.release();
    for (const body of await waiting) expect(body.equals(bytes)).toBe(true);
  });
});

describe("credentials", () => {
  test("an expired session token of fixed keys is denied", async () => {
    double.keys = { ...double.keys, sessionToken: "old" };
    const other = openS3Store(double.environment, {});
    bucket.put("k", "bytes");
    const [listed] = await collect(other.list("s3://bucket/k", listOptions()));
    double.expiredTokens.add("old");
    const fault = await faultOf(
      listed === undefined
        ? Promise.resolve()
        : other.fetch(entryOf(listed), null, new AbortController().signal),
    );
    expect([fault.kind, fault.message]).toEqual(["denied", expect.stringContaining("expired")]);
    await other.close();
  });
});

/** Lets the event loop run, but takes nothing from the store. */
async function busyFor(durationMs: number): Promise<void> {
  const endMs = performance.now() + durationMs;
  while (performance.now() < endMs) await new Promise((resolve) => setImmediate(resolve));
}
