// What a reference to S3 must do: cases 7 to 24 of the reference text on Weights & Biases, by their
// numbers there. Where our design differs the test says so.

import { readdirSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { receive } from "../../src/cache/receive.js";
import { entryPath } from "../../src/daemon/entry-path.js";
import { assuranceOf } from "../../src/model/assurance.js";
import type { Entry } from "../../src/model/entry.js";
import { errnoOf, ERRNO } from "../../src/model/fault.js";
import { openS3Store } from "../../src/stores/s3/store.js";
import { needsPathStyle } from "../../src/stores/s3/settings.js";
import type { Listed, ListOptions, Store } from "../../src/stores/store.js";
import { Folder } from "../cache/origin.js";
import { collect, entryOf, faultOf, listOptions, readAll } from "../contract/store.js";
import { needs } from "../support/needs.js";
import { Rig } from "../support/rig.js";
import type { Bucket, S3Double } from "../support/s3-double.js";
import { startS3Double } from "../support/s3-double.js";

const DIGITS = "0123456789";
const DIGITS_ETAG = "781e5e245d69b566979b86e28d23f2c7";

let double: S3Double;
let store: Store;
let bucket: Bucket;

beforeEach(async () => {
  double = await startS3Double();
  store = openS3Store(double.environment, { retryTimeoutMs: 0 });
  bucket = double.bucket("b");
});
afterEach(async () => {
  await store.close();
  await double[Symbol.asyncDispose]();
});

const list = (uri: string, changes: Partial<ListOptions> = {}): Promise<Listed[]> =>
  collect(store.list(uri, listOptions(changes)));

async function one(uri: string): Promise<Listed> {
  const [listed, ...others] = await list(uri);
  expect(others).toEqual([]);
  return listed ?? expect.fail(`nothing listed at ${uri}`);
}

const pathsOf = (listed: readonly Listed[]): string[] =>
  listed.map(({ key, single }) => entryPath(key, { base: "", single }));

/** An entry as an imported manifest has it: its ETag is all that is known of its version. */
async function unpinned(uri: string): Promise<Entry> {
  const { pin, ...rest } = entryOf(await one(uri));
  return { ...rest, pin: pin.etag === undefined ? {} : { etag: pin.etag } };
}

describe("adding", () => {
  test("7: an object of a bucket with versions is recorded with ETag, size and version", async () => {
    const { versionId } = bucket.put("dir/file.txt", DIGITS);
    const listed = await one("s3://b/dir/file.txt");
    expect(listed).toMatchObject({
      entryDigest: DIGITS_ETAG,
      sizeBytes: 10,
      pin: { etag: DIGITS_ETAG, versionId },
    });
    expect(pathsOf([listed])).toEqual(["file.txt"]);
  });

  test("8: one of a bucket without versions has no version", async () => {
    double.bucket("plain", "never").put("k", DIGITS);
    expect((await one("s3://plain/k")).pin).toEqual({ etag: DIGITS_ETAG });
  });

  test("9: ?versionId= records that version and its own ETag, and a uri without a query", async () => {
    const old = bucket.put("k", "old bytes");
    bucket.put("k", "new");
    const listed = await one(`s3://b/k?versionId=${old.versionId}`);
    expect(listed).toMatchObject({
      key: "k",
      single: true,
      sizeBytes: 9,
      uri: "s3://b/k",
      pin: { versionId: old.versionId, etag: old.etag },
    });
    expect((await readAll(store, entryOf(listed))).toString()).toBe("old bytes");
  });

  test("10: a name given to a single object is its path", async () => {
    bucket.put("dir/model.pb", DIGITS);
    const { key, single } = await one("s3://b/dir/model.pb");
    expect(entryPath(key, { base: "renamed.pb", single })).toBe("renamed.pb");
  });

  test.each(["s3://b/my_dir/", "s3://b/my_dir"])(
    "11: %s gives paths below it, without its siblings",
    async (uri) => {
      for (const key of ["my_dir/a", "my_dir/sub/b", "my_dir2/x", "my_dir.txt", "my_di"]) {
        bucket.put(key, "x");
      }
      expect(pathsOf(await list(uri))).toEqual(["a", "sub/b"]);
    },
  );

  test("12: a whole bucket gives full keys, dots or not", async () => {
    for (const key of ["dir/LICENSE", "a/part-0001", "top.txt"]) bucket.put(key, "x");
    const listed = await list("s3://b/");
    expect(pathsOf(listed)).toEqual(["a/part-0001", "dir/LICENSE", "top.txt"]);
    expect(listed.map(({ uri }) => uri)).toContain("s3://b/dir/LICENSE");
  });

  test.each([
    ["my_dir", "application/x-directory"],
    ["my_dir/", "binary/octet-stream"],
    ["my_dir/sub/", "application/x-directory; charset=UTF-8"],
  ])("13: the directory marker %s (%s) is a directory and not listed", async (marker, type) => {
    bucket.put(marker, "", { contentType: type });
    bucket.put("my_dir/sub/a", "1");
    expect(pathsOf(await list("s3://b/my_dir"))).toEqual(["sub/a"]);
    expect(pathsOf(await list("s3://b/my_dir/"))).toEqual(["sub/a"]);
  });

  test("14: an empty file is kept", async () => {
    bucket.put("set/__init__.py", "");
    bucket.put("set/_SUCCESS", "");
    expect((await list("s3://b/set")).map(({ sizeBytes }) => sizeBytes)).toEqual([0, 0]);
    expect(await one("s3://b/set/_SUCCESS")).toMatchObject({ sizeBytes: 0 });
  });

  test("16: without checksums the uri is the digest, nothing is pinned, and it can be read", async () => {
    bucket.put("dir/k", "first");
    const [listed] = await list("s3://b/dir/k", { checksum: false });
    const entry = entryOf(listed ?? expect.fail("nothing listed"));
    expect(entry).toMatchObject({ entryDigest: "s3://b/dir/k", uri: "s3://b/dir/k", pin: {} });
    expect(assuranceOf(entry)).toBe("none");
    bucket.put("dir/k", "later");
    expect((await readAll(store, entry)).toString()).toBe("later");
    expect(double.counts().HeadObject).toBeUndefined();
  });

  test("24: keys with #, ?, %, // and beyond ASCII come back as they were", async () => {
    const keys = ["a#b", "a?b", "a%20b", "d//x", "\u00fc/\u65e5\u672c", "\u{1f600}"];
    for (const key of keys) bucket.put(`odd/${key}`, `bytes of ${key}`);
    const listed = await list("s3://b/odd");
    expect(listed.map(({ key }) => key).sort()).toEqual([...keys].sort());
    for (const object of listed) {
      expect((await readAll(store, entryOf(object))).toString()).toBe(`bytes of ${object.key}`);
      expect(await one(object.uri)).toMatchObject({ uri: object.uri, pin: object.pin });
    }
  });
});

describe.runIf(needs("addon"))("logging", () => {
  const log = async (rig: Rig, ref: string, ...options: string[]) =>
    rig.run("log", "demo", "--type", "dataset", "--ref", ref, ...options);

  test("10: PATH=URI names a single object, and 15: one object too many logs nothing", async () => {
    bucket.put("set/a", "1");
    bucket.put("set/b", "2");
    await using rig = await Rig.create(double.environment);
    const many = await log(rig, "s3://b/set", "--max-objects", "1");
    expect(many).toMatchObject({ code: 2, stdout: "" });
    expect(many.stderr).toMatch(/More than 1 objects.*--max-objects/);
    expect(await rig.json("ls")).toMatchObject({ collections: [] });
    expect(await log(rig, "s3://b/set", "--max-objects", "2")).toMatchObject({ code: 0 });
    expect(await log(rig, "renamed.pb=s3://b/set/a")).toMatchObject({ code: 0 });
    expect(await rig.json("ls", "demo:latest")).toMatchObject({
      entries: [{ name: "renamed.pb" }],
    });
  });

  test("17: nothing below a prefix is an error, not an empty version", async () => {
    await using rig = await Rig.create(double.environment);
    expect(await log(rig, "s3://b/nothing")).toMatchObject({ code: 3, stdout: "" });
    expect(await rig.json("ls")).toMatchObject({ collections: [] });
  });
});

describe("loading", () => {
  test("18: a pinned version that was deleted is ESTALE and named", async () => {
    const { versionId } = bucket.put("k", DIGITS);
    const entry = entryOf(await one("s3://b/k"));
    bucket.put("k", "newer");
    bucket.deleteVersion("k", versionId);
    const fault = await faultOf(readAll(store, entry));
    expect(errnoOf(fault)).toBe(ERRNO.ESTALE);
    expect(fault.message).toContain(`s3://b/k (version ${versionId})`);
  });

  test("18: a refusal is EACCES, with a hint at credentials and region", async () => {
    bucket.put("k", DIGITS);
    const entry = entryOf(await one("s3://b/k"));
    double.upset({ operation: "GetObject" }, { status: 403, code: "AccessDenied" });
    const fault = await faultOf(readAll(store, entry));
    expect(errnoOf(fault)).toBe(ERRNO.EACCES);
    expect(fault.message).toMatch(/credentials.*region \(us-east-1\)/);
  });

  test.each([
    ["19: overwritten", () => bucket.put("k.txt", "newer")],
    ["19: overwritten twice, with a newer twin of the old bytes", twice],
    ["21: deleted, so that a delete marker is on top", () => bucket.delete("k.txt")],
    ["21: deleted twice and written again", deletedTwice],
  ])("%s, an unpinned object is read from its old version", async (_how, change) => {
    bucket.put("k.txt.bak", DIGITS);
    bucket.put("k.txt", DIGITS);
    const entry = await unpinned("s3://b/k.txt");
    change();
    expect((await readAll(store, entry)).toString()).toBe(DIGITS);
    expect((await readAll(store, entry, { start: 3, end: 5 })).toString()).toBe("34");
    const { key, versionId } = double.requests.at(-1) ?? expect.fail("nothing asked");
    // The newest with that ETag.
    const newest = bucket.versionsOf("k.txt").find(({ etag }) => etag === DIGITS_ETAG);
    expect({ key, versionId }).toEqual({ key: "k.txt", versionId: newest?.versionId });
  });

  function twice(): void {
    for (const bytes of ["newer", DIGITS, "newest"]) bucket.put("k.txt", bytes);
  }

  function deletedTwice(): void {
    bucket.delete("k.txt");
    bucket.delete("k.txt");
    bucket.put("k.txt", "newer");
  }

  test("19: among more versions than a page holds it is found", async () => {
    bucket.put("k.txt", DIGITS);
    const entry = await unpinned("s3://b/k.txt");
    for (let index = 0; index < 1_100; index++) bucket.put("k.txt", `newer ${index}`);
    expect((await readAll(store, entry)).toString()).toBe(DIGITS);
  });

  test("19: a version older than versioning, whose id is null, is found too", async () => {
    bucket.versioning = "never";
    bucket.put("k.txt", DIGITS);
    const entry = await unpinned("s3://b/k.txt");
    bucket.versioning = "enabled";
    bucket.put("k.txt", "newer");
    expect((await readAll(store, entry)).toString()).toBe(DIGITS);
    expect(double.requests.at(-1)).toMatchObject({ versionId: "null" });
    // That id may be written again: it is asked for under the condition of the ETag.
    expect(double.requests.at(-1)?.headers["if-match"]).toBe(`"${DIGITS_ETAG}"`);
  });

  test.each([
    ["overwritten", () => bucket.put("k.txt", "newer")],
    ["deleted for ever", () => undefined],
  ])("19: %s, a decoy with the same ETag is never read instead", async (_how, change) => {
    const { versionId } = bucket.put("k.txt", DIGITS);
    for (const decoy of ["k.txt.bak", "k.txt2", "k"]) bucket.put(decoy, DIGITS);
    const entry = await unpinned("s3://b/k.txt");
    bucket.deleteVersion("k.txt", versionId);
    change();
    expect(errnoOf(await faultOf(readAll(store, entry)))).toBe(ERRNO.ESTALE);
    expect(new Set(double.requests.map(({ key }) => key))).toEqual(new Set(["", "k.txt"]));
  });

  test("20: overwritten where no versions are kept, no byte is served", async () => {
    bucket.versioning = "never";
    bucket.put("k", DIGITS);
    const entry = entryOf(await one("s3://b/k"));
    bucket.put("k", "9876543210");
    const fault = await faultOf(readAll(store, entry));
    expect([fault.kind, fault.message]).toEqual([
      "drifted",
      expect.stringContaining("overwritten"),
    ]);
    bucket.delete("k");
    expect((await faultOf(readAll(store, entry))).kind).toBe("drifted");
  });

  test.each([
    ["damaged", { flipByteAt: 4 }, "corrupt"],
    ["cut short", { shortByBytes: 1 }, "unavailable"],
  ] as const)("22: a body %s under the right ETag fails, and no file stays", async (...row) => {
    const [, accident, kind] = row;
    bucket.put("k", DIGITS);
    const entry = entryOf(await one("s3://b/k"));
    double.upset({ operation: "GetObject" }, accident, Infinity);
    using folder = new Folder();
    const options = { observed: null, timeoutMs: 300, signal: new AbortController().signal };
    const fault = await faultOf(receive(entry, store.fetch, join(folder.path, "k"), options));
    expect(fault.kind).toBe(kind);
    expect(readdirSync(folder.path)).toEqual([]);
  });
});

describe("23: CoreWeave's endpoints take the bucket in the host", () => {
  test.each([
    ["https://cwobject.com", false],
    ["http://cwlota.com", false],
    ["https://object.lga.coreweave.com", false],
    ["https://accel-object.ord.coreweave.com", false],
    ["https://s3.eu-west-1.amazonaws.com", false],
    ["http://cwobject.com", true],
    ["https://cwlota.com", true],
    ["http://object.lga.coreweave.com", true],
    ["https://object.coreweave.com", true],
    ["https://evil-cwobject.com", true],
    ["https://cwobject.com.example.org", true],
    ["https://cwobject.com:8443", true],
    ["http://127.0.0.1:9000", true],
    ["http://[::1]:9000", true],
    ["http://localhost:9000", true],
    ["https://minio.example.org", true],
  ])("23: %s is addressed by path: %s", (endpoint, expected) => {
    expect(needsPathStyle(endpoint)).toBe(expected);
  });

  test("23: AWS_S3_ENDPOINT_URL and AWS_REGION are honoured", async () => {
    double.bucket("far", "enabled", "eu-west-3").put("k", DIGITS);
    const environment = { ...double.environment, AWS_REGION: "eu-west-3" };
    const far = openS3Store(environment, { retryTimeoutMs: 0 });
    expect(await collect(far.list("s3://far/k", listOptions()))).toHaveLength(1);
    expect(double.requests.map(({ status }) => status)).toEqual([200]);
    await far.close();
  });
});
