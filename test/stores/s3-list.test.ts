// Listing S3: which requests are made, what is pinned and claimed, and what is said when the best way
// is not open. Against the double, by the real SDK.

import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { encodeClaims } from "../../src/model/digest.js";
import type { Listed, ListOptions, Store } from "../../src/stores/store.js";
import { openS3Store } from "../../src/stores/s3/store.js";
import { collect, entryOf, faultOf, listOptions, readAll } from "../contract/store.js";
import type { S3Double } from "../support/s3-double.js";
import { startS3Double } from "../support/s3-double.js";

let double: S3Double;
let store: Store;

beforeEach(async () => {
  double = await startS3Double();
  store = openS3Store(double.environment, { retryTimeoutMs: 0 });
});
afterEach(async () => {
  await store.close();
  await double[Symbol.asyncDispose]();
});

const list = (uri: string, changes: Partial<ListOptions> = {}): Promise<Listed[]> =>
  collect(store.list(uri, listOptions(changes)));
const keysOf = (listed: readonly Listed[]): string[] => listed.map(({ key }) => key);

describe("pins and claims", () => {
  test("an object is pinned by version and ETag, and its digest is the ETag", async () => {
    const version = double.bucket("b").put("k", "0123456789", { modified: new Date(5_000) });
    expect(await list("s3://b/k")).toEqual([
      {
        key: "k",
        single: true,
        sizeBytes: 10,
        entryDigest: "781e5e245d69b566979b86e28d23f2c7",
        uri: "s3://b/k",
        pin: { versionId: version.versionId, etag: "781e5e245d69b566979b86e28d23f2c7" },
        claims: [{ algorithm: "md5", value: "781e5e245d69b566979b86e28d23f2c7", source: "etag" }],
        mtimeMs: 5_000,
      },
    ]);
  });

  test("checksums are claimed without their values, and those over parts as such", async () => {
    const bucket = double.bucket("b");
    bucket.put("set/full", "abc", { checksum: "CRC64NVME" });
    bucket.put("set/parts", "abcdef", { partBytes: 2, checksum: "SHA256" });
    bucket.put("set/parts-full", "abcdef", { partBytes: 2, checksum: "CRC32C" });
    const etag = "6c67d992fc6f859180241eb4fd4abf98-3";
    const listed = await list("s3://b/set");
    expect(listed.map(({ key, claims }) => [key, encodeClaims(claims)])).toEqual([
      ["full", "checksum:crc64nvme:,etag:md5:900150983cd24fb0d6963f7d28e17f72"],
      ["parts", `checksum:sha256:-,etag:md5:${etag}`],
      ["parts-full", `checksum:crc32c:,etag:md5:${etag}`],
    ]);
    expect(double.counts()).toEqual({ ListObjectVersions: 1 });
  });

  test("one object asked for by itself is told with the values of its checksums", async () => {
    const bucket = double.bucket("b");
    const { versionId } = bucket.put("k", "123456789", { checksum: "CRC32C" });
    bucket.put("keyed", "123456789", { checksum: "CRC32C", encryption: "aws:kms" });
    const crc32c = { algorithm: "crc32c", value: "e3069283", source: "checksum" } as const;
    const md5 = { algorithm: "md5", value: "25f9e794323b453885f5181f1b624d0b", source: "etag" };
    const options = listOptions();
    expect((await store.stat("s3://b/k", options)).claims).toEqual([md5, crc32c]);
    expect((await list(`s3://b/k?versionId=${versionId}`))[0]?.claims).toEqual([md5, crc32c]);
    // Who may not decrypt it may still log it.
    double.upset({ operation: "HeadObject" }, { status: 403 });
    expect((await store.stat("s3://b/keyed", options)).claims).toEqual([]);
    expect((await store.stat("s3://b/keyed", options)).claims).toEqual([crc32c]);
  });

  test("delete markers and old versions are not listed, and no object is asked for", async () => {
    const bucket = double.bucket("b");
    bucket.put("set/a", "old");
    const { versionId } = bucket.put("set/a", "new");
    bucket.put("set/gone", "x");
    bucket.delete("set/gone");
    const listed = await list("s3://b/set/");
    expect(listed.map(({ key, pin }) => [key, pin.versionId])).toEqual([["a", versionId]]);
    expect(double.counts()).toEqual({ ListObjectVersions: 1 });
  });

  test("objects older than versioning keep the id null together with their ETag", async () => {
    const bucket = double.bucket("b", "never");
    bucket.put("set/old", "1");
    bucket.versioning = "enabled";
    bucket.put("set/new", "2");
    const options = listOptions();
    const listed = await collect(store.list("s3://b/set", options));
    expect(listed.find(({ key }) => key === "old")?.pin).toEqual({
      versionId: "null",
      etag: "c4ca4238a0b923820dcc509a6f75849b",
    });
    expect(options.notices.join()).toContain("1 of 2 objects have no version id");
    const fault = await faultOf(list("s3://b/set", { pinVersion: true }));
    expect([fault.kind, fault.message]).toEqual([
      "usage",
      expect.stringContaining("s3://b/set/old"),
    ]);
  });

  test("--no-checksum lists plainly and takes the uri as digest", async () => {
    double.bucket("b").put("set/a b", "1");
    const options = listOptions({ checksum: false });
    expect(await collect(store.list("s3://b/set", options))).toMatchObject([
      { entryDigest: "s3://b/set/a b", pin: {}, claims: [], sizeBytes: 1 },
    ]);
    expect(double.counts()).toEqual({ ListObjectsV2: 1 });
    expect(options.notices).toEqual([]);
  });
});

describe("pages", () => {
  test("one request per thousand rows, versions of one key split over pages", async () => {
    const bucket = double.bucket("b");
    for (let index = 0; index < 2_499; index++)
      bucket.put(`set/${String(index).padStart(5, "0")}`, "x");
    for (let index = 0; index < 3; index++) bucket.put("set/00999", `again ${index}`);
    const counts: number[] = [];
    const listed = await list("s3://b/set/", { onProgress: (found) => counts.push(found) });
    expect(listed).toHaveLength(2_499);
    expect(new Set(keysOf(listed)).size).toBe(2_499);
    expect(double.counts()).toEqual({ ListObjectVersions: 3 });
    expect(counts).toEqual([1_000, 1_997, 2_499, 2_499]);
  });

  test("any number of names beside the prefix does not hide what is below it", async () => {
    const bucket = double.bucket("b");
    for (let index = 0; index < 1_500; index++) bucket.put(`set-${index}`, "x");
    bucket.put("set/a", "1");
    expect(keysOf(await list("s3://b/set"))).toEqual(["a"]);
    expect(double.counts()).toEqual({ ListObjectVersions: 2 });
  });

  test("where most rows are old, objects are listed and their versions asked for, 32 at once", async () => {
    const bucket = double.bucket("b");
    const current = new Map<string, string>();
    for (let index = 0; index < 4_100; index++) {
      const key = `set/${String(index).padStart(5, "0")}`;
      for (let old = 0; old < 5; old++) bucket.put(key, `old ${old}`);
      current.set(key.slice(4), bucket.put(key, `new ${index}`).versionId);
    }
    const options = listOptions();
    const listed = await collect(store.list("s3://b/set/", options));
    expect(new Map(listed.map(({ key, pin }) => [key, pin.versionId]))).toEqual(current);
    const counts = double.counts();
    expect(counts.ListObjectVersions).toBe(20);
    expect(counts.ListObjectsV2).toBe(1);
    // 20 pages of 1,000 rows with six a key hold 3,334 keys; the others take a HEAD each.
    expect(counts.HeadObject).toBe(4_100 - 3_334);
    expect(options.notices.join()).toContain("most rows of the listing are old versions");
  });

  test("an object deleted before its HEAD is left out", async () => {
    const bucket = double.bucket("b");
    for (let index = 0; index < 4_000; index++) {
      const key = `set/${String(index).padStart(5, "0")}`;
      for (let old = 0; old < 6; old++) bucket.put(key, "x");
    }
    double.upset({ operation: "HeadObject", key: "set/03999" }, { status: 404 });
    expect(await list("s3://b/set/")).toHaveLength(3_999);
  });

  test("one object too many ends the listing before the next page", async () => {
    const bucket = double.bucket("b");
    for (let index = 0; index < 1_001; index++) bucket.put(`set/${index}`, "x");
    const listed = list("s3://b/set/", { maxObjects: 10 });
    expect((await faultOf(listed)).message).toContain("--max-objects");
    expect(double.requests).toHaveLength(1);
  });
});

describe("where versions cannot be listed", () => {
  test.each([
    [403, "AccessDenied", "s3:ListBucketVersions", "denied"],
    [501, "NotImplemented", "does not list versions", "usage"],
    [405, "MethodNotAllowed", "does not list versions", "usage"],
    [400, "InvalidArgument", "does not list versions", "usage"],
  ])(
    "%i %s: objects are listed and pinned by ETag, and it is said",
    async (status, code, why, kind) => {
      double.bucket("b").put("set/a", "1");
      const refuse = (): void =>
        double.upset({ operation: "ListObjectVersions" }, { status, code });
      refuse();
      const options = listOptions();
      const listed = await collect(store.list("s3://b/set", options));
      expect(listed.map(({ key, pin }) => [key, pin])).toEqual([
        ["a", { etag: "c4ca4238a0b923820dcc509a6f75849b" }],
      ]);
      expect(options.notices).toHaveLength(1);
      expect(options.notices[0]).toContain(why);
      refuse();
      const fault = await faultOf(list("s3://b/set", { pinVersion: true }));
      expect([fault.kind, fault.message]).toEqual([kind, expect.stringContaining("--pin version")]);
    },
  );

  test("a bucket that never had versions is pinned by ETag, with one notice and no second listing", async () => {
    const bucket = double.bucket("b", "never");
    for (let index = 0; index < 1_200; index++)
      bucket.put(`set/${String(index).padStart(5, "0")}`, "1");
    const options = listOptions();
    const listed = await collect(store.list("s3://b/set/", options));
    expect(new Set(keysOf(listed)).size).toBe(1_200);
    expect(new Set(listed.map(({ pin }) => Object.keys(pin).join()))).toEqual(new Set(["etag"]));
    expect(options.notices).toEqual([expect.stringContaining("keeps no versions")]);
    expect(double.counts()).toEqual({
      ListObjectVersions: 1,
      GetBucketVersioning: 1,
      ListObjectsV2: 1,
    });
    const fault = await faultOf(list("s3://b/set/", { pinVersion: true }));
    expect([fault.kind, fault.message]).toEqual(["usage", expect.stringContaining("no versions")]);
  });

  test("everything refused is denied and says what to check", async () => {
    double.bucket("b").put("a", "1");
    double.upset({}, { status: 403, code: "AccessDenied" }, 2);
    const fault = await faultOf(list("s3://b/"));
    expect([fault.kind, fault.message]).toEqual(["denied", expect.stringMatching(/credentials/)]);
  });
});

describe("what a uri names", () => {
  test("a version that is not there, or is a delete marker, is not-found", async () => {
    const bucket = double.bucket("b");
    bucket.put("k", "x");
    bucket.delete("k");
    const marker = bucket.versionsOf("k")[0]?.versionId ?? "";
    expect((await faultOf(list("s3://b/k?versionId=nope"))).kind).toBe("not-found");
    expect((await faultOf(list(`s3://b/k?versionId=${marker}`))).kind).toBe("not-found");
  });

  test("a server that ignores versionId does not pass its current object for the version", async () => {
    const bucket = double.bucket("b", "never");
    bucket.put("k", "x");
    double.upset({ operation: "HeadObject" }, { answerWithVersion: "null" });
    expect((await faultOf(list("s3://b/k?versionId=v1"))).kind).toBe("usage");
  });

  test("a marker whose children are pages away is still one", async () => {
    const bucket = double.bucket("b");
    bucket.put("set", "", { contentType: "application/x-directory" });
    for (let index = 0; index < 1_100; index++) bucket.put(`set-${index}`, "x");
    bucket.put("set/a", "1");
    expect(keysOf(await list("s3://b/set"))).toEqual(["a"]);
  });

  test("an empty object is no marker without children, or with another content type", async () => {
    const bucket = double.bucket("b");
    bucket.put("lonely", "", { contentType: "application/x-directory" });
    bucket.put("both", "");
    bucket.put("both/a", "1");
    expect(keysOf(await list("s3://b/lonely"))).toEqual(["lonely"]);
    expect(keysOf(await list("s3://b/both"))).toEqual(["both"]);
    expect(keysOf(await list("s3://b/both/"))).toEqual(["a"]);
  });

  test("a folder of markers alone is not-found", async () => {
    double.bucket("b").put("dir/", "");
    expect((await faultOf(list("s3://b/dir"))).kind).toBe("not-found");
  });

  test("a deleted object is not-found, not the version behind its delete marker", async () => {
    const bucket = double.bucket("b");
    bucket.put("k", "x");
    bucket.delete("k");
    expect((await faultOf(list("s3://b/k"))).kind).toBe("not-found");
  });

  test("an unknown bucket is not-found and named", async () => {
    const fault = await faultOf(list("s3://nobody/k"));
    expect([fault.kind, fault.message]).toEqual([
      "not-found",
      expect.stringContaining("the bucket does not exist"),
    ]);
  });
});

describe("bad luck", () => {
  test("a page that fails or breaks off is asked for again, and no row is lost or doubled", async () => {
    const bucket = double.bucket("b");
    for (let index = 0; index < 1_500; index++) bucket.put(`set/${index}`, "x");
    const patient = openS3Store(double.environment, { retryTimeoutMs: 60_000 });
    double.upset({ operation: "ListObjectVersions" }, { status: 503, code: "SlowDown" });
    double.upset({ operation: "ListObjectVersions" }, { resetAfterBytes: 20_000 });
    double.upset({ operation: "ListObjectVersions" }, { status: 500, code: "InternalError" });
    const keys = keysOf(await collect(patient.list("s3://b/set/", listOptions())));
    expect(new Set(keys).size).toBe(1_500);
    expect(keys).toHaveLength(1_500);
    expect(double.counts()).toEqual({ ListObjectVersions: 5 });
    await patient.close();
  });

  test("a listing without an answer is unavailable when time is up", async () => {
    double.bucket("b").put("a", "1");
    const hasty = openS3Store(double.environment, { retryTimeoutMs: 0, stallTimeoutMs: 100 });
    double.upset({}, { silent: true });
    expect((await faultOf(collect(hasty.list("s3://b/a", listOptions())))).kind).toBe(
      "unavailable",
    );
    await hasty.close();
  });

  test("wrong keys are denied at once, without trying another listing", async () => {
    double.bucket("b").put("a", "1");
    const environment = { ...double.environment, AWS_SECRET_ACCESS_KEY: "wrong" };
    const wrong = openS3Store(environment, { retryTimeoutMs: 0 });
    const fault = await faultOf(collect(wrong.list("s3://b/a", listOptions())));
    expect([fault.kind, fault.message]).toEqual([
      "denied",
      expect.stringContaining("SignatureDoesNotMatch"),
    ]);
    expect(fault.message).not.toContain("wrong");
    expect(double.requests).toHaveLength(1);
    await wrong.close();
  });

  test.each(["malformed", "redirect"] as const)(
    "a bucket of another region (%s) is listed and read there, and stays known",
    async (answer) => {
      double.wrongRegionAnswer = answer;
      double.bucket("far", "enabled", "eu-west-3").put("a", "1");
      const [listed] = await list("s3://far/a");
      expect(listed && (await readAll(store, entryOf(listed))).toString()).toBe("1");
      expect(double.requests.map(({ status }) => status)).toEqual([
        answer === "redirect" ? 301 : 400,
        200,
        200,
      ]);
    },
  );
});
