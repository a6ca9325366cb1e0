// refmount://: entries of another artifact as a source of a log.

import { writeFile } from "node:fs/promises";
import { beforeEach, afterEach, describe, expect, test } from "vitest";
import { findVersion, listEntries } from "../../src/daemon/browse.js";
import { faultOf, LogWorld } from "../support/log-world.js";

let world: LogWorld;

beforeEach(async () => {
  world = await LogWorld.create();
  for (const key of ["k/a.bin", "k/dir/b.bin", "k/dir/deep/c.bin", "k/dir-2/d.bin", "k/dir0"]) {
    world.s3.bucket("bkt").put(key, key);
  }
  await world.log(["s3://bkt/k"], { name: "first", aliases: ["best"] });
  // From here on nothing may be asked of a store.
  world.s3.requests.length = 0;
});

afterEach(async () => {
  await world[Symbol.asyncDispose]();
});

describe("what is copied", () => {
  test("without a path: every entry, with all that was recorded, and no request", async () => {
    const first = [...listEntries(world.home, findVersion(world.home, "first"))];
    for (const uri of ["refmount://first", "refmount://first/", "refmount://first:best/"]) {
      expect(world.entries(await world.log([uri], { name: "again" }))).toEqual(first);
    }
    expect(findVersion(world.home, "again").digest).toBe(findVersion(world.home, "first").digest);
    expect(world.s3.requests).toEqual([]);
  });

  test("a directory: everything below it, and nothing beside it", async () => {
    for (const path of ["dir", "dir/", "/dir/"]) {
      const report = await world.log([`refmount://first:best/${path}`]);
      expect(world.paths(report)).toEqual(["b.bin", "deep/c.bin"]);
    }
    const placed = await world.log(["x=refmount://first:v0/dir"], { name: "placed" });
    expect(world.paths(placed)).toEqual(["x/b.bin", "x/deep/c.bin"]);
  });

  test("a file: one entry by its base name, or by the whole path that is given", async () => {
    const report = await world.log(["refmount://first:v0/dir/deep/c.bin"]);
    expect(world.entries(report)).toMatchObject([
      { path: "c.bin", uri: "s3://bkt/k/dir/deep/c.bin" },
    ]);
    const renamed = await world.log(["y/z=refmount://first:v0/a.bin"], { name: "renamed" });
    expect(world.paths(renamed)).toEqual(["y/z"]);
  });

  test("chunks of a hashed object, so that its ranges can be checked alone", async () => {
    world.s3.bucket("bkt").put("large", Buffer.alloc(3 << 20, "x"));
    await world.log(["s3://bkt/large"], { name: "large", hash: true });
    const copy = await world.log(["refmount://large"]);
    expect(world.entry(copy, "large").chunks).toHaveLength(3 * 32);
    expect(copy.digest).toBe(findVersion(world.home, "large").digest);
  });

  test("of an artifact of somebody's project", async () => {
    await world.log(["refmount://first:v0/dir"], { name: "anna/vision/cats" });
    const report = await world.log(["refmount://anna/vision/cats:latest/b.bin"]);
    expect(world.paths(report)).toEqual(["b.bin"]);
  });
});

test("the source that is recorded names the version, not the alias", async () => {
  await world.log(["x=refmount://first:best/dir", "refmount://first"], { onConflict: "skip" });
  const { sources } = findVersion(world.home, "mnist");
  expect(sources).toEqual(["x=refmount://first:v0/dir", "refmount://first:v0"]);
  // The alias moves; what was logged stays.
  world.s3.bucket("bkt").put("k/dir/new", "n");
  await world.log(["s3://bkt/k"], { name: "first", aliases: ["best"] });
  const again = await world.log(["x=refmount://first:best/dir"], { name: "other" });
  expect(world.paths(again)).toContain("x/new");
  expect(findVersion(world.home, "mnist").files).toBe(7);
});

test("an artifact may take entries of its own earlier version", async () => {
  const report = await world.log(["refmount://first:v0", "extra=refmount://first:v0/a.bin"], {
    name: "first",
  });
  expect(report).toMatchObject({ ref: "first:v1", created: true, files: 6 });
});

describe("with other options", () => {
  test("--hash reads what has no digest, and leaves the W&B digest as it was", async () => {
    const copy = await world.log(["refmount://first:v0"], { hash: true });
    expect(copy.digest).toBe(findVersion(world.home, "first").digest);
    expect(findVersion(world.home, "mnist").assurances).toMatchObject({ content: 5 });
    expect(world.s3.counts()).toEqual({ GetObject: 5 });
    world.s3.requests.length = 0;
    await world.log(["refmount://mnist:v0"], { name: "hashed", hash: true });
    expect(world.s3.requests).toEqual([]);
  });

  test("--no-checksum drops pins, claims and digests", async () => {
    const report = await world.log(["refmount://first:v0/a.bin"], { checksum: false });
    const uri = "s3://bkt/k/a.bin";
    expect(world.entry(report, "a.bin")).toMatchObject({
      ...{ uri, entryDigest: uri, pin: {}, claims: [], digests: {}, assurance: "none" },
    });
  });

  test("--pin version takes entries that have one, and refuses others", async () => {
    expect((await world.log(["refmount://first:v0"], { pinVersion: true })).files).toBe(5);
    const dir = await world.rig.tree("data", { a: "a" });
    await world.log([`file://${dir}`], { name: "files" });
    const fault = await faultOf(world.log(["refmount://files:v0"], { pinVersion: true }));
    expect(fault).toMatchObject({ kind: "usage" });
    expect(fault.message).toMatch(/--pin version.*file:.*no version/);
  });

  test("--max-objects counts them", async () => {
    const fault = await faultOf(world.log(["refmount://first:v0"], { maxObjects: 4 }));
    expect(fault.message).toMatch(/More than 4 objects/);
  });

  test("a local file of another artifact is not read again, so it may have gone", async () => {
    const dir = await world.rig.tree("data", { a: "a" });
    const first = await world.log([`file://${dir}`], { name: "files" });
    await writeFile(`${dir}/a`, "other bytes");
    const copy = await world.log(["refmount://files:v0"]);
    expect(copy.manifestDigest).toBe(first.manifestDigest);
  });
});

test.each([
  ["refmount://none", "not-found", /no artifact "none"/],
  ["refmount://first:v7", "not-found", /no version or alias "v7"/],
  ["refmount://frst:v0", "not-found", /did you mean "first"/],
  ["refmount://first:v0/nope", "not-found", /There is no "nope" in first:v0.*refmount ls/],
  ["refmount://first:v0/dir/nope", "not-found", /no "dir\/nope"/],
])("%s is %s", async (uri, kind, message) => {
  const fault = await faultOf(world.log([uri]));
  expect(fault.message).toMatch(message);
  expect(fault.kind).toBe(kind);
});

test.each([
  ["refmount://", /Artifact name "" is not allowed/],
  ["refmount://a/b/c/d", /refmount:\/\/\[entity\/\]\[project\/\]name\[:alias\]\[\/path\]/],
  ["refmount://first:/x", /Alias "" is not allowed/],
])("%s is refused when it is parsed", (uri, message) => {
  expect(() => world.log([uri])).toThrow(message);
});

test("a scheme is not told apart by its case", async () => {
  expect((await world.log(["REFMOUNT://first:v0/a.bin"])).files).toBe(1);
});
