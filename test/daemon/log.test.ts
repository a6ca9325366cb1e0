// Logs from the S3 double and from local trees, in this process.

import { beforeEach, afterEach, describe, expect, test } from "vitest";
import { findEntry, findVersion, listDirectory } from "../../src/daemon/browse.js";
import type { Home } from "../../src/daemon/home.js";
import { parseSource } from "../../src/daemon/log.js";
import { faultOf, LogWorld } from "../support/log-world.js";
import type { Rig } from "../support/rig.js";
import type { S3Double } from "../support/s3-double.js";

let world: LogWorld;
let rig: Rig;
let s3: S3Double;
let home: Home;
let log: LogWorld["log"];
let paths: LogWorld["paths"];
let manifestFiles: LogWorld["manifestFiles"];

beforeEach(async () => {
  world = await LogWorld.create();
  ({ rig, s3, home } = world);
  log = world.log.bind(world);
  paths = world.paths.bind(world);
  manifestFiles = world.manifestFiles.bind(world);
});

afterEach(async () => {
  await world[Symbol.asyncDispose]();
});

describe("the place of a source", () => {
  test("what stands before the first = is a path unless it holds ://", () => {
    expect(parseSource("s3://bkt/a=1/c")).toEqual({ uri: "s3://bkt/a=1/c", base: "" });
    expect(parseSource("train=s3://bkt/a=1")).toEqual({ uri: "s3://bkt/a=1", base: "train" });
    expect(parseSource("a/b=file:///x")).toEqual({ uri: "file:///x", base: "a/b" });
  });

  test.each([
    ["data/mnist", /must be URIs.*file:\/\/\/path/],
    ["train=/data", /must be URIs/],
    ["../up=s3://bkt/k", /Invalid artifact path/],
    ["=s3://bkt/k", /Invalid artifact path/],
    ["gopher://host/x", /"gopher" is not supported.*--ref PATH=gopher/],
  ])("%j is refused", (text, message) => {
    expect(() => parseSource(text)).toThrow(message);
  });

  test("a single object takes the whole path, a prefix goes below it", async () => {
    s3.bucket("bkt").put("one.bin", "1");
    s3.bucket("bkt").put("dir/two.bin", "2");
    const report = await log(["models/first.bin=s3://bkt/one.bin", "rest=s3://bkt/dir"]);
    expect(paths(report)).toEqual(["models/first.bin", "rest/two.bin"]);
  });

  test("a local file takes the whole path, too", async () => {
    const dir = await rig.tree("data", { "a.txt": "hello" });
    const report = await log([`great-file.txt=file://${dir}/a.txt`]);
    expect(report.digest).toBe("585b9ada17797e37c9cbab391e69b8c5");
  });
});

describe("what is recorded", () => {
  test("an object of S3 is pinned by its version and claimed by its ETag, unread", async () => {
    const put = s3.bucket("bkt").put("k/a.txt", "0123456789");
    const report = await log(["s3://bkt/k"]);
    const entry = findEntry(home, findVersion(home, report.ref), "a.txt");
    expect(entry).toMatchObject({
      uri: "s3://bkt/k/a.txt",
      sizeBytes: 10,
      entryDigest: "781e5e245d69b566979b86e28d23f2c7",
      pin: { versionId: put.versionId, etag: "781e5e245d69b566979b86e28d23f2c7" },
      digests: {},
      assurance: "provider",
    });
    expect(s3.counts().GetObject).toBeUndefined();
  });

  test("--hash reads every object once and records SHA-256, and chunks beyond one MiB", async () => {
    const bucket = s3.bucket("bkt");
    const large = Buffer.alloc(3 * 1_048_576 + 17, "x");
    bucket.put("k/small", "hello");
    bucket.put("k/empty", "");
    bucket.put("k/large", large);
    const plain = await log(["s3://bkt/k"]);
    const hashed = await log(["s3://bkt/k"], { hash: true });
    expect(hashed).toMatchObject({ created: false, revised: true, digest: plain.digest });
    const version = findVersion(home, "mnist");
    expect(version.assurances).toEqual({ content: 3, provider: 0, pin: 0, none: 0 });
    expect(findEntry(home, version, "small")).toMatchObject({
      digests: { sha256: "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824" },
      chunks: null,
    });
    expect(findEntry(home, version, "large").chunks).toHaveLength(4 * 32);
    expect(s3.counts().GetObject).toBe(3);
  });

  test("--hash reads a large object in ranges", async () => {
    const large = Buffer.alloc(20 * 1_048_576, "abc");
    s3.bucket("bkt").put("large", large);
    let hashedBytes = 0;
    await log(
      ["s3://bkt/large"],
      { hash: true },
      { onProgress: (progress) => (hashedBytes = progress.hashedBytes) },
    );
    const { createHash } = await import("node:crypto");
    expect(findEntry(home, findVersion(home, "mnist"), "large").digests.sha256).toBe(
      createHash("sha256").update(large).digest("hex"),
    );
    expect(hashedBytes).toBe(large.length);
    expect(s3.requests.filter(({ range }) => range !== undefined).length).toBeGreaterThan(1);
  });

  test("a local file is hashed, and its W&B digest is its MD5", async () => {
    const dir = await rig.tree("data", { "a.txt": "hello" });
    await log([`file://${dir}`]);
    expect(findEntry(home, findVersion(home, "mnist"), "a.txt")).toMatchObject({
      entryDigest: "XUFAKrxLKna5cZ2REBfFkg==",
      digests: {
        md5: "5d41402abc4b2a76b9719d911017c592",
        sha256: "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
      },
      assurance: "content",
    });
  });

  test("--no-checksum reads nothing and pins nothing", async () => {
    const dir = await rig.tree("data", { "a.txt": "hello" });
    await log([`file://${dir}`], { checksum: false });
    const { createHash } = await import("node:crypto");
    const uri = `file://${dir}/a.txt`;
    expect(findEntry(home, findVersion(home, "mnist"), "a.txt")).toMatchObject({
      entryDigest: createHash("md5").update(uri).digest("base64"),
      digests: {},
      assurance: "none",
    });
  });

  test("progress tells objects and hashed bytes", async () => {
    const dir = await rig.tree("data", { a: "12345", b: "678" });
    const seen: object[] = [];
    await log([`file://${dir}`], {}, { onProgress: (progress) => seen.push(progress) });
    expect(seen.at(-1)).toEqual({ found: 2, hashedBytes: 8 });
  });
});

describe("the same content again", () => {
  test("keeps the first description and metadata, and says so", async () => {
    const ref = [`file://${await rig.tree("data", { a: "a" })}`];
    await log(ref, { description: "first", metadata: { rows: 1 } });
    await log(ref, { description: "first", metadata: { rows: 1 } });
    await log(ref);
    expect(world.notices).toEqual([]);
    expect(await log(ref, { description: "second", metadata: { rows: 1 } })).toMatchObject({
      ref: "mnist:v0",
      created: false,
    });
    await log(ref, { metadata: { rows: 2 } });
    const note = expect.stringMatching(
      /^mnist:v0 keeps the description and the metadata/,
    ) as string;
    expect(world.notices).toEqual([note, note]);
    expect(findVersion(home, "mnist").metadata).toEqual({ rows: 1 });
  });
});

describe("limits and contradictions", () => {
  test("more objects than allowed over all sources log nothing", async () => {
    for (const key of ["a/1", "a/2", "b/3", "b/4"]) s3.bucket("bkt").put(key, key);
    const fault = await faultOf(log(["s3://bkt/a", "s3://bkt/b"], { maxObjects: 3 }));
    expect(fault.kind).toBe("usage");
    expect(fault.message).toMatch(/--max-objects/);
    expect(await manifestFiles()).toEqual([]);
    expect((await log(["s3://bkt/a", "s3://bkt/b"], { maxObjects: 4 })).files).toBe(4);
  });

  test.each([
    [{ name: "mnist:v3" }, /takes a name alone/],
    [{ name: "a/b/c/d" }, /not a ref/],
    [{ name: "bad name" }, /not allowed/],
    [{ type: "job" }, /reserved/],
    [{ aliases: ["a/b"] }, /Alias "a\/b"/],
    [{ aliases: ["v7"] }, /Alias "v7"/],
    [{ tags: ["no!"] }, /Tag "no!"/],
    [{ metadata: [1] }, /JSON object/],
    [{ checksum: false, hash: true }, /--hash contradicts/],
    [{ checksum: false, pinVersion: true }, /--pin version contradicts/],
    [{ sources: [] }, /--ref/],
  ])("%j is refused before anything is asked", async (request, message) => {
    s3.bucket("bkt").put("k", "1");
    const fault = await faultOf(log(["s3://bkt/k"], request));
    expect(fault.kind).toBe("usage");
    expect(fault.message).toMatch(message);
    expect(s3.requests).toEqual([]);
  });

  test("another type than the artifact has is refused before anything is listed", async () => {
    s3.bucket("bkt").put("k", "1");
    await log(["s3://bkt/k"]);
    s3.requests.length = 0;
    const fault = await faultOf(log(["s3://bkt/k"], { type: "model" }));
    expect(fault.message).toMatch(/already exists with type 'dataset'/);
    expect(s3.requests).toEqual([]);
  });

  test("nothing found is not-found", async () => {
    s3.bucket("bkt").put("other", "1");
    expect((await faultOf(log(["s3://bkt/k"]))).kind).toBe("not-found");
  });
});

describe("all or nothing", () => {
  test("a signal while listing leaves no version and no file", async () => {
    s3.bucket("bkt").put("k/a", "1");
    const held = s3.hold({ operation: "ListObjectVersions" });
    const controller = new AbortController();
    const logged = log(["s3://bkt/k"], {}, { signal: controller.signal });
    await held.arrived;
    controller.abort(new Error("stop"));
    await expect(logged).rejects.toThrow("stop");
    held.release();
    expect(await manifestFiles()).toEqual([]);
    expect(() => findVersion(home, "mnist")).toThrow(/no artifact/);
  });

  test("a signal while hashing leaves no version and no file", async () => {
    s3.bucket("bkt").put("k/a", "1");
    s3.bucket("bkt").put("k/b", "2");
    const held = s3.hold({ operation: "GetObject", key: "k/b" });
    const controller = new AbortController();
    const logged = log(["s3://bkt/k"], { hash: true }, { signal: controller.signal });
    await held.arrived;
    controller.abort(new Error("stop"));
    await expect(logged).rejects.toThrow("stop");
    held.release();
    expect(await manifestFiles()).toEqual([]);
  });

  test("an object that was damaged on its way twice is corrupt and logs nothing", async () => {
    s3.bucket("bkt").put("k/a", "0123456789");
    s3.upset({ operation: "GetObject" }, { flipByteAt: 3 }, 2);
    expect((await faultOf(log(["s3://bkt/k"], { hash: true }))).kind).toBe("corrupt");
    expect(await manifestFiles()).toEqual([]);
    // Damaged once, it is read again.
    s3.upset({ operation: "GetObject" }, { flipByteAt: 3 });
    expect((await log(["s3://bkt/k"], { hash: true })).files).toBe(1);
  });

  test("throttling is waited for", async () => {
    s3.bucket("bkt").put("k/a", "1");
    s3.upset({ operation: "GetObject" }, { status: 503, code: "SlowDown" }, 2);
    expect((await log(["s3://bkt/k"], { hash: true })).files).toBe(1);
  });
});

test("what was logged can be listed by directory", async () => {
  for (const key of ["k/b/2", "k/a", "k/b/1", "k/c/x/y"]) s3.bucket("bkt").put(key, key);
  const version = findVersion(home, (await log(["s3://bkt/k"])).ref);
  const names = (path: string): string[] =>
    [...listDirectory(home, version, path)].map(({ name, kind }) => `${kind} ${name}`);
  expect(names("")).toEqual(["file a", "directory b", "directory c"]);
  expect(names("/b/")).toEqual(["file 1", "file 2"]);
  expect(() => names("nope")).toThrow(/no file or directory "nope"/);
});
