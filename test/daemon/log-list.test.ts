// Lists of objects as sources of a log: what they record, how they are looked up, how they fail.

import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { beforeEach, afterEach, describe, expect, test } from "vitest";
import type { LogWatch } from "../../src/daemon/log.js";
import { checksum } from "../support/s3-double/checksum.js";
import { faultOf, LogWorld } from "../support/log-world.js";

let world: LogWorld;

beforeEach(async () => {
  world = await LogWorld.create();
});

afterEach(async () => {
  await world[Symbol.asyncDispose]();
});

function hex(algorithm: "sha256" | "sha1" | "md5", text: string): string {
  return createHash(algorithm).update(text).digest("hex");
}

function crc32c(text: string): string {
  return checksum("CRC32C", [Buffer.from(text)]).toString("hex");
}

describe("what is recorded", () => {
  test("an object without a path has the name the store gives, below the path of the list", async () => {
    world.s3.bucket("bkt").put("deep/a.txt", "a");
    world.s3.bucket("bkt").put("deep/b.txt", "b");
    const dir = await world.rig.tree("data", { "c.txt": "c" });
    const list = await world.list("list.tsv", [
      "# what we train on",
      "s3://bkt/deep/a.txt",
      ["s3://bkt/deep/b.txt", "", "renamed/b"],
      ["", ""],
      `file://${dir}/c.txt`,
    ]);
    expect(world.paths(await world.log([list]))).toEqual(["a.txt", "c.txt", "renamed/b"]);
    const placed = await world.log([`train/x=${list}`], { name: "placed" });
    expect(world.paths(placed)).toEqual(["train/x/a.txt", "train/x/c.txt", "train/x/renamed/b"]);
  });

  test("an object is pinned as a listing would pin it, by one HEAD and no GET", async () => {
    const put = world.s3.bucket("bkt").put("a.txt", "0123456789");
    const report = await world.log([await world.list("l", ["s3://bkt/a.txt"])]);
    expect(world.entry(report, "a.txt")).toMatchObject({
      uri: "s3://bkt/a.txt",
      sizeBytes: 10,
      pin: { versionId: put.versionId },
      entryDigest: hex("md5", "0123456789"),
      assurance: "provider",
    });
    expect(world.s3.counts()).toEqual({ HeadObject: 1 });
  });

  test("a cryptographic digest says what the bytes must be; a checksum is a claim", async () => {
    const bucket = world.s3.bucket("bkt");
    bucket.put("a", "aa", { partBytes: 1 });
    bucket.put("b", "bb", { partBytes: 1 });
    bucket.put("c", "cc", { partBytes: 1 });
    const report = await world.log([
      await world.list("l", [
        ["s3://bkt/a", `sha256-${Buffer.from(hex("sha256", "aa"), "hex").toString("base64")}`],
        ["s3://bkt/b", `sha1:${hex("sha1", "bb")}`],
        ["s3://bkt/c", `crc32c:${crc32c("cc")}`],
      ]),
    ]);
    expect(world.entries(report)).toMatchObject([
      { path: "a", digests: { sha256: hex("sha256", "aa") } },
      { path: "b", digests: { sha1: hex("sha1", "bb") } },
      {
        path: "c",
        digests: {},
        claims: expect.arrayContaining([
          { algorithm: "crc32c", value: crc32c("cc"), source: "checksum" },
        ]) as unknown,
      },
    ]);
    expect(world.entry(report, "a").assurance).toBe("content");
    expect(world.entry(report, "c").assurance).toBe("provider");
    expect(world.s3.counts()).toEqual({ HeadObject: 3 });
  });

  test("with --hash the bytes are read, and must have the digest of the list", async () => {
    world.s3.bucket("bkt").put("a", "aa");
    const good = await world.list("good", [["s3://bkt/a", `sha1:${hex("sha1", "aa")}`]]);
    const report = await world.log([good], { hash: true });
    expect(world.entry(report, "a").digests).toEqual({
      sha256: hex("sha256", "aa"),
      sha1: hex("sha1", "aa"),
    });
    const bad = await world.list("bad", ["", ["s3://bkt/a", `sha1:${hex("sha1", "zz")}`]]);
    const fault = await faultOf(world.log([bad], { hash: true }));
    expect(fault.kind).toBe("corrupt");
    expect(fault.message).toMatch(/bad:2: s3:\/\/bkt\/a .*sha1/);
  });

  test("a local file is hashed as always, and only compared with the list", async () => {
    const dir = await world.rig.tree("data", { "a.txt": "hello" });
    const plain = await world.log([`file://${dir}/a.txt`]);
    for (const digest of [
      `md5:${hex("md5", "hello")}`,
      `sha1:${hex("sha1", "hello")}`,
      `sha256:${hex("sha256", "hello")}`,
      `crc32c:${crc32c("hello")}`,
    ]) {
      const list = await world.list("l", [[`file://${dir}/a.txt`, digest]]);
      expect(await world.log([list])).toMatchObject({ manifestDigest: plain.manifestDigest });
      const wrong = await world.list("w", [
        [`file://${dir}/a.txt`, digest.replace(/.$/, (last) => (last === "0" ? "1" : "0"))],
      ]);
      const fault = await faultOf(world.log([wrong]));
      expect(fault.kind).toBe("corrupt");
      expect(fault.message).toMatch(/w:1: file:\/\/.*a\.txt has the /);
    }
  });

  test("a list may name entries of another artifact", async () => {
    const dir = await world.rig.tree("data", { "a.txt": "hello", "sub/b.txt": "my" });
    await world.log([`file://${dir}`], { name: "first" });
    const list = await world.list("l", [
      "refmount://first:latest/sub/b.txt",
      ["refmount://first:v0/a.txt", `md5:${hex("md5", "hello")}`, "x"],
    ]);
    const report = await world.log([list]);
    expect(world.entries(report)).toMatchObject([
      { path: "b.txt", uri: `file://${dir}/sub/b.txt`, digests: { md5: hex("md5", "my") } },
      { path: "x", uri: `file://${dir}/a.txt` },
    ]);
  });

  test("two lines of one path and one content are one entry", async () => {
    world.s3.bucket("bkt").put("a", "1");
    const list = await world.list("l", ["s3://bkt/a", "s3://bkt/a"]);
    expect((await world.log([list])).files).toBe(1);
  });

  test("what was asked for is recorded as it was written", async () => {
    world.s3.bucket("bkt").put("a", "1");
    const list = await world.list("l", ["s3://bkt/a"]);
    await world.log([`x=${list}`]);
    const shown = await world.rig.json<{ sources: string[] }>("show", "mnist");
    expect(shown.sources).toEqual([`x=${list}`]);
  });
});

describe("a list is refused", () => {
  test("for a digest that the store's own contradicts", async () => {
    world.s3.bucket("bkt").put("a", "1");
    const list = await world.list("l", ["", ["s3://bkt/a", `md5:${hex("md5", "2")}`]]);
    const fault = await faultOf(world.log([list]));
    expect(fault.kind).toBe("corrupt");
    expect(fault.message).toMatch(/l:2: .*md5 .*the store holds/);
    expect(await world.manifestFiles()).toEqual([]);
  });

  test("for a digest that another artifact's entry contradicts", async () => {
    const dir = await world.rig.tree("data", { a: "a" });
    await world.log([`file://${dir}`], { name: "first" });
    const list = await world.list("l", [["refmount://first:v0/a", `sha256:${hex("sha256", "b")}`]]);
    expect((await faultOf(world.log([list]))).message).toMatch(/l:1: .*its entry has/);
  });

  test.each<[string, string | readonly string[], string, RegExp]>([
    ["that is not there", "s3://bkt/none", "not-found", /l:2: .*s3:\/\/bkt\/none/],
    ["that is a bucket", "s3://bkt", "usage", /l:2: .*not an object/],
    [
      "of an unknown scheme without a path",
      "ftp://h/x",
      "usage",
      /l:2: .*"ftp" is not supported.*third field/,
    ],
    [
      "of an artifact that is not there",
      "refmount://none:v1/x",
      "not-found",
      /l:2: .*no artifact "none"/,
    ],
    ["with a broken digest", ["s3://bkt/a", "sha256:zz"], "usage", /l:2: A digest of sha256/],
    ["with a query that is no version", "s3://bkt/a?X-Sig=secret", "usage", /l:2: (?!.*secret)/],
    ["that is a list", "@l", "usage", /l:2: .*no URI/],
  ])("for an object %s, by file and line", async (_what, line, kind, message) => {
    world.s3.bucket("bkt").put("a", "1");
    const list = await world.list("l", ["s3://bkt/a", line]);
    const fault = await faultOf(world.log([list]));
    expect(fault.message).toMatch(message);
    expect(fault.message.startsWith(world.rig.path("l"))).toBe(true);
    expect(fault.kind).toBe(kind);
    expect(await world.manifestFiles()).toEqual([]);
  });

  test("for a directory of another artifact", async () => {
    const dir = await world.rig.tree("data", { "sub/a": "a" });
    await world.log([`file://${dir}`], { name: "first" });
    const list = await world.list("l", ["refmount://first:v0/sub"]);
    expect((await faultOf(world.log([list]))).message).toMatch(/l:1: "sub" is a directory/);
  });

  test("for a path that cannot be, like any other object; skip leaves the line out", async () => {
    world.s3.bucket("bkt").put("a", "1");
    world.s3.bucket("bkt").put("b", "1");
    const list = await world.list("l", ["s3://bkt/a", ["s3://bkt/b", "", "../b"]]);
    const fault = await faultOf(world.log([list]));
    expect(fault.kind).toBe("usage");
    expect(fault.message).toMatch(/l:2: s3:\/\/bkt\/b: Invalid artifact path/);
    const report = await world.log([list], { onConflict: "skip" });
    expect(world.paths(report)).toEqual(["a"]);
  });

  test("when there is nothing in it, or no such file", async () => {
    expect(await faultOf(world.log([await world.list("l", ["# nothing"])]))).toMatchObject({
      kind: "not-found",
      message: expect.stringMatching(/names no object/) as string,
    });
    expect(await faultOf(world.log(["@/nowhere/at/all"]))).toMatchObject({
      kind: "usage",
      message: expect.stringMatching(
        /Cannot read the list @\/nowhere\/at\/all: .*ENOENT/,
      ) as string,
    });
    expect(() => world.log(["@"])).toThrow(/Name the list/);
  });

  test("when it has more lines than --max-objects, before they are all looked up", async () => {
    const bucket = world.s3.bucket("bkt");
    const lines = Array.from({ length: 1_000 }, (_, index) => `s3://bkt/${index}`);
    for (const line of lines) bucket.put(line.slice("s3://bkt/".length), "1");
    const list = await world.list("l", lines);
    const fault = await faultOf(world.log([list], { maxObjects: 10 }));
    expect(fault.message).toMatch(/More than 10 objects.*--max-objects/);
    expect(world.s3.counts().HeadObject).toBeLessThan(600);
  });

  test("when it gives digests and --no-checksum is to record none", async () => {
    world.s3.bucket("bkt").put("a", "1");
    const list = await world.list("l", [["s3://bkt/a", `md5:${hex("md5", "1")}`]]);
    const fault = await faultOf(world.log([list], { checksum: false }));
    expect(fault.message).toMatch(/l:1: .*--no-checksum/);
  });
});

describe("standard input", () => {
  const stdin = (text: string): Partial<LogWatch> => ({
    openStdin: () => Readable.from([Buffer.from(text)]),
  });

  test("is a list, once", async () => {
    world.s3.bucket("bkt").put("a", "1");
    const report = await world.log(["x=@-"], {}, stdin("s3://bkt/a\n"));
    expect(world.paths(report)).toEqual(["x/a"]);
    const twice = await faultOf(world.log(["@-", "@-"], {}, stdin("s3://bkt/a\n")));
    expect(twice.message).toMatch(/Only one list/);
    const none = await faultOf(world.log(["@-"]));
    expect(none.message).toMatch(/no standard input/);
    const bad = await faultOf(world.log(["@-"], {}, stdin("\nx\n")));
    expect(bad.message).toMatch(/^standard input:2: /);
  });

  test("is read by the command line", async () => {
    const dir = await world.rig.tree("data", { "a.txt": "hello" });
    const args = ["--json", "log", "m", "--type", "t", "--ref", "@-"];
    const running = world.rig.start(args, { input: `file://${dir}/a.txt\t\tfile1.txt\n` });
    const { code, stdout } = await running.ended;
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ digest: "a00c2239f036fb656c1dcbf9a32d89b4" });
  });

  test("that never ends is left when a signal comes", async () => {
    const controller = new AbortController();
    const opened = new Readable({ read: () => undefined });
    const logged = world.log(["@-"], {}, { openStdin: () => opened, signal: controller.signal });
    opened.push("# waiting\n");
    controller.abort(new Error("stop"));
    await expect(logged).rejects.toThrow("stop");
    expect(opened.destroyed).toBe(true);
  });
});

test("lines are looked up at once, a bounded number of them, and recorded in their order", async () => {
  const lines = Array.from({ length: 100 }, (_, index) => `s3://bkt/${index}`);
  for (const line of lines) world.s3.bucket("bkt").put(line.slice("s3://bkt/".length), line);
  // The first of two equal paths stays: the order of the list decides, not that of the answers.
  const list = await world.list("l", [
    ["s3://bkt/0", "", "same"],
    ...lines.slice(1).map((line) => [line, "", `x/${line.slice(9)}`]),
    ["s3://bkt/1", "", "same"],
  ]);
  const held = world.s3.hold({ operation: "HeadObject" });
  const logged = world.log([list], { maxObjects: 1_000, onConflict: "skip" });
  await held.arrived;
  while (world.s3.requests.length < 32) await new Promise((resolve) => setTimeout(resolve, 5));
  expect(world.s3.requests).toHaveLength(32);
  held.release();
  const report = await logged;
  expect(report.files).toBe(100);
  expect(world.entry(report, "same").uri).toBe("s3://bkt/0");
});
