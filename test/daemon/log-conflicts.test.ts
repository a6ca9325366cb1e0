// Objects whose path is taken or impossible: refused in one go, or left out.

import { beforeEach, afterEach, describe, expect, test } from "vitest";
import { faultOf, LogWorld } from "../support/log-world.js";

let world: LogWorld;

beforeEach(async () => {
  world = await LogWorld.create();
});

afterEach(async () => {
  await world[Symbol.asyncDispose]();
});

describe("names that are no paths", () => {
  test("empty segments are dropped, and the object is still found under its own name", async () => {
    world.s3.bucket("bkt").put("k/a//b", "1");
    const report = await world.log(["s3://bkt/k"]);
    expect(world.paths(report)).toEqual(["a/b"]);
    expect(world.entry(report, "a/b").uri).toBe("s3://bkt/k/a//b");
  });

  test("a name that no path can be is a fault that names the object", async () => {
    world.s3.bucket("bkt").put("k/a/../b", "1");
    const fault = await faultOf(world.log(["s3://bkt/k"]));
    expect(fault.kind).toBe("usage");
    expect(fault.message).toMatch(/s3:\/\/bkt\/k\/a\/\.\.\/b.*--on-conflict skip/);
  });

  test("two objects at one path are a fault that names both; skip leaves the second out", async () => {
    world.s3.bucket("bkt").put("k/a//b", "1");
    world.s3.bucket("bkt").put("k/a/b", "2");
    world.s3.bucket("bkt").put("k/c", "3");
    const fault = await faultOf(world.log(["s3://bkt/k"]));
    expect(fault.message).toMatch(/same path twice.*s3:\/\/bkt\/k\/a\/\/b.*s3:\/\/bkt\/k\/a\/b/);
    const report = await world.log(["s3://bkt/k"], { onConflict: "skip" });
    expect(world.paths(report)).toEqual(["a/b", "c"]);
    expect(world.notices).toEqual([expect.stringMatching(/^left out s3:\/\/bkt\/k\/a\/b: /)]);
  });

  test("a file where another object needs a directory is a fault", async () => {
    world.s3.bucket("bkt").put("k/a", "1");
    world.s3.bucket("bkt").put("k/a/b", "2");
    const fault = await faultOf(world.log(["x=s3://bkt/k/a", "x/b=s3://bkt/k/a/b"]));
    expect(fault.kind).toBe("usage");
    expect(fault.message).toMatch(/cannot be a file and/);
  });

  test("the same path from two sources is taken once when it has the same content", async () => {
    world.s3.bucket("bkt").put("k/a", "1");
    expect(world.paths(await world.log(["s3://bkt/k", "s3://bkt/k/a"]))).toEqual(["a"]);
  });

  test("a version of nothing is refused even when everything was left out", async () => {
    world.s3.bucket("bkt").put("k/..", "1");
    const fault = await faultOf(world.log(["s3://bkt/k"], { onConflict: "skip" }));
    expect(fault.kind).toBe("not-found");
  });

  test.each([
    ["a NUL", "k/a\0b", /NUL/],
    ["a name over 255 bytes", `k/${"ä".repeat(128)}`, /over 255 bytes/],
    ["a segment ..", "k/../x", /"\.\." segment/],
    ["a segment .", "k/./x", /"\." segment/],
    ["a slash at its beginning", "k//x", /absolute/],
  ])("a key with %s is refused by its uri, and nothing is logged", async (_what, key, why) => {
    world.s3.bucket("bkt").put("k/good", "1");
    world.s3.bucket("bkt").put(key, "2");
    const fault = await faultOf(world.log(["s3://bkt/k"]));
    expect(fault.kind).toBe("usage");
    expect(fault.message).toMatch(/^s3:\/\/bkt\/k\//);
    expect(fault.message).toMatch(why);
    expect(await world.manifestFiles()).toEqual([]);
    expect(world.paths(await world.log(["s3://bkt/k"], { onConflict: "skip" }))).toEqual(["good"]);
  });
});

describe("many of them", () => {
  function putMany(): void {
    for (let index = 0; index < 12; index++) {
      world.s3.bucket("bkt").put(`k/${String(index).padStart(2, "0")}/../x`, "1");
    }
    // File and directory at once, in both orders: "q" before "q/r" and, by two sources, after it.
    world.s3.bucket("bkt").put("k/q", "1");
    world.s3.bucket("bkt").put("k/q/r", "1");
    world.s3.bucket("bkt").put("k/z", "1");
    world.s3.bucket("bkt").put("other/z/below", "1");
  }
  const sources = ["s3://bkt/k", "s3://bkt/other"];

  test("are one fault that lists the first ten and counts all", async () => {
    putMany();
    const fault = await faultOf(world.log(sources));
    expect(fault.kind).toBe("usage");
    const lines = fault.message.split("\n");
    expect(lines[0]).toMatch(
      /^14 objects cannot be entries of one version, so nothing is logged:$/,
    );
    expect(lines[1]).toMatch(/^ {2}s3:\/\/bkt\/k\/00\/\.\.\/x: Invalid artifact path /);
    expect(lines.slice(1, 12).map((line) => line.slice(0, 16))).toEqual([
      ...Array.from({ length: 10 }, (_, index) => `  s3://bkt/k/0${index}/`),
      "  and 4 more",
    ]);
    expect(lines.at(-1)).toMatch(/--on-conflict skip$/);
    expect(await world.manifestFiles()).toEqual([]);
  });

  test("are one notice with --on-conflict skip, whatever their number", async () => {
    putMany();
    const report = await world.log(sources, { onConflict: "skip" });
    expect(world.paths(report)).toEqual(["q", "z"]);
    expect(world.notices).toHaveLength(1);
    const lines = world.notices[0]?.split("\n") ?? [];
    expect(lines[0]).toBe("left out 14 objects:");
    expect(lines).toHaveLength(12);
    expect(lines.at(-1)).toBe("  and 4 more");
  });

  test("stop the reading of what will not be logged", async () => {
    world.s3.bucket("bkt").put("a/../x", "1");
    world.s3.bucket("bkt").put("b/y", "1");
    world.s3.bucket("bkt").put("b/../z", "1");
    const fault = await faultOf(world.log(["s3://bkt/a", "s3://bkt/b"], { hash: true }));
    // The first one was read before its name was looked at; the second source is only looked through.
    expect(fault.message).toMatch(/^2 objects/);
    expect(world.s3.counts().GetObject).toBe(1);
  });
});

test("a failed log leaves an artifact that was there as it was", async () => {
  world.s3.bucket("bkt").put("k/a", "1");
  const first = await world.log(["s3://bkt/k"]);
  const files = await world.manifestFiles();
  world.s3.bucket("bkt").put("k/a", "2");
  world.s3.bucket("bkt").put("k/a/b", "2");
  expect((await faultOf(world.log(["s3://bkt/k/", "x=s3://bkt/k/"], { maxObjects: 9 }))).kind).toBe(
    "usage",
  );
  expect(await world.manifestFiles()).toEqual(files);
  expect(world.paths(first)).toEqual(["a"]);
});
