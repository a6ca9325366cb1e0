// The numbered cases of the reference implementation that are about versions, names and what may be
// said of them: 40 to 47 and 50. Deleting versions (42) and lineage (48) are not there yet.

import { existsSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { Artifact, Refmount } from "../../src/index.js";
import { Rig } from "../support/rig.js";

interface Logged {
  readonly ref: string;
  readonly aliases: readonly string[];
  readonly created: boolean;
}

/** Logs a folder that holds `content` as `demo`. */
async function logContent(
  rig: Rig,
  content: string,
  ...options: readonly string[]
): Promise<Logged> {
  const dir = await rig.tree("data", { "a.txt": content });
  return rig.json("log", "demo", "--type", "dataset", "--ref", `file://${dir}`, ...options);
}

test("40: A, A, B, A is two versions, and latest ends on A", async () => {
  await using rig = await Rig.create();
  expect(await logContent(rig, "A")).toMatchObject({ ref: "demo:v0", created: true });
  expect(await logContent(rig, "A")).toMatchObject({ ref: "demo:v0", created: false });
  expect(await logContent(rig, "B")).toMatchObject({ ref: "demo:v1", created: true });
  const back = await logContent(rig, "A");
  expect(back).toMatchObject({ ref: "demo:v0", created: false });
  expect(back.aliases).toContain("latest");
  expect(await rig.json("show", "demo:latest")).toMatchObject({ version: "v0" });
  expect(await rig.json("ls", "demo")).toMatchObject({
    versions: [
      { ref: "demo:v0", aliases: ["latest"] },
      { ref: "demo:v1", aliases: [] },
    ],
  });
});

describe("41: aliases", () => {
  test("are those that were given, latest and the version", async () => {
    await using rig = await Rig.create();
    const logged = await logContent(rig, "A", "--alias", "best");
    expect(logged.aliases).toEqual(["best", "latest"]);
    for (const alias of ["best", "latest", "v0"]) {
      expect(await rig.json("show", `demo:${alias}`)).toMatchObject({ ref: "demo:v0" });
    }
  });

  test.each(["a:b", "a/b", "", "v7"])("%j is refused", async (alias) => {
    await using rig = await Rig.create();
    await expect(logContent(rig, "A", "--alias", alias)).rejects.toThrow(/Alias .* is not allowed/);
    expect(await rig.json("ls")).toEqual({ collections: [] });
  });

  test("move from the version that had them", async () => {
    await using rig = await Rig.create();
    await logContent(rig, "A", "--alias", "best");
    await logContent(rig, "B", "--alias", "best");
    expect(await rig.json("ls", "demo")).toMatchObject({
      versions: [
        { ref: "demo:v0", aliases: [] },
        { ref: "demo:v1", aliases: ["best", "latest"] },
      ],
    });
  });
});

test("43: another type than the artifact has is refused by its name", async () => {
  await using rig = await Rig.create();
  await logContent(rig, "A");
  const dir = rig.path("data");
  const outcome = await rig.run("log", "demo", "--type", "model", "--ref", `file://${dir}`);
  expect(outcome.code).toBe(2);
  expect(outcome.stderr).toMatch(/"demo" already exists with type 'dataset'; .*type 'model'/);
});

describe("44: a type", () => {
  test.each([
    ["job", "x"],
    ["wandb-foo", "x"],
    ["run_table", "run-x"],
    ["code", "source-x"],
  ])("%s is reserved (%s)", async (type, name) => {
    await using rig = await Rig.create();
    const dir = await rig.tree("data", { a: "a" });
    const outcome = await rig.run("log", name, "--type", type, "--ref", `file://${dir}`);
    expect(outcome.code).toBe(2);
    expect(outcome.stderr).toMatch(/reserved for internal use/);
    expect(() => new Artifact(name, { type })).toThrow(/reserved/);
  });

  test.each([
    ["run_table", "name"],
    ["code", "name"],
    ["wandbtype", "x"],
  ])("%s is allowed (%s)", (type, name) => {
    expect(new Artifact(name, { type })).toMatchObject({ type, name });
  });
});

test.each(["x".repeat(129), "a:v1", "", "a b", "a/b/c/d"])(
  "44: %j cannot be the name of an artifact",
  async (name) => {
    await using rig = await Rig.create();
    const dir = await rig.tree("data", { a: "a" });
    expect(await rig.run("log", name, "--type", "t", "--ref", `file://${dir}`)).toMatchObject({
      code: 2,
    });
    expect(() => new Artifact(name, { type: "t" })).toThrow();
  },
);

describe("45: metadata and tags", () => {
  test("of 100 keys, of any depth and with NaN, which is null, are kept", async () => {
    await using rig = await Rig.create();
    const dir = await rig.tree("data", { a: "a" });
    const refmount = await Refmount.open({ home: rig.home, environment: rig.environment });
    const keys = Array.from({ length: 99 }, (_, index) => [`key ${index}`, index]);
    const metadata = { ...(Object.fromEntries(keys) as object), nested: { deep: [{ x: NaN }] } };
    const artifact = new Artifact("demo", { type: "dataset", metadata });
    await artifact.addReference(`file://${dir}`);
    await refmount.log(artifact, { tags: ["a", "a-b", "a_b c", "a"] });
    const shown = await rig.json<{ metadata: Record<string, unknown>; tags: string[] }>(
      ...["show", "demo"],
    );
    expect(Object.keys(shown.metadata)).toHaveLength(100);
    expect(shown.metadata["nested"]).toEqual({ deep: [{ x: null }] });
    expect(shown.tags).toEqual(["a", "a-b", "a_b c"]);
  });

  test.each([
    ["101 keys", JSON.stringify(Object.fromEntries(Array.from({ length: 101 }, (_, i) => [i, i])))],
    ["an infinite number", '{"a": [1e999]}'],
    ["no object", "[1]"],
  ])("of %s are refused", async (_what, metadata) => {
    await using rig = await Rig.create();
    await expect(logContent(rig, "A", "--metadata", metadata)).rejects.toThrow(/etadata/);
    expect(await rig.json("ls")).toEqual({ collections: [] });
  });

  test.each(["", " a", "a ", "a!", "a:b"])("with the tag %j are refused", async (tag) => {
    await using rig = await Rig.create();
    await expect(logContent(rig, "A", "--tag", tag)).rejects.toThrow(/Tag .* is not allowed/);
  });
});

describe("46: a ref", () => {
  test("is [entity/][project/]name[:alias], and a path follows it", async () => {
    await using rig = await Rig.create();
    const dir = await rig.tree("data", { "sub/a.txt": "a" });
    for (const name of ["demo", "project/demo", "entity/project/demo"]) {
      await rig.ok("log", name, "--type", "t", "--ref", `file://${dir}`, "--alias", "best");
      for (const ref of [name, `${name}:v0`, `${name}:best`]) {
        expect(await rig.json("show", ref)).toMatchObject({ ref: `${name}:v0` });
        expect(await rig.ok("ls", ref, "sub")).toMatch(/a\.txt\n$/);
      }
      expect(await rig.ok("ls", `${name}:best/sub`)).toMatch(/a\.txt\n$/);
    }
  });

  test.each(["a/b/c/d", "a/b/c/d:v0", "a:b:c", "a b", "/a", "a/", ":v0"])(
    "%j is none",
    async (ref) => {
      await using rig = await Rig.create();
      expect(await rig.run("show", ref)).toMatchObject({ code: 2, stdout: "" });
    },
  );
});

test("47: the prefix of a download is plain text, not a folder", async () => {
  await using rig = await Rig.create();
  const dir = await rig.tree("data", { "some-prefix/one": "1", "some-prefix-two": "2", x: "3" });
  await rig.ok("log", "demo", "--type", "dataset", "--ref", `file://${dir}`);
  const files = async (prefix: string, out: string): Promise<number> =>
    (await rig.json<{ files: number }>("download", "demo", out, "--path-prefix", prefix)).files;
  expect(await files("some-prefix", "both")).toBe(2);
  expect(await files("some-prefix/", "one")).toBe(1);
  expect(existsSync(rig.path("one/some-prefix-two"))).toBe(false);
});

test("50: an artifact takes no references once its log has begun, also when that fails", async () => {
  await using rig = await Rig.create();
  const dir = await rig.tree("data", { a: "a" });
  const refmount = await Refmount.open({ home: rig.home, environment: rig.environment });
  const artifact = new Artifact("mnist", { type: "t" });
  await artifact.addReference(`file://${dir}`);
  await refmount.log(artifact);
  await expect(artifact.addReference(`file://${dir}`)).rejects.toThrow(/cannot be changed/);
  expect(artifact.sources).toHaveLength(1);
  const broken = new Artifact("broken", { type: "t" });
  await broken.addReference("file:///nowhere/at/all");
  await expect(refmount.log(broken)).rejects.toMatchObject({ kind: "not-found" });
  await expect(broken.addReference(`file://${dir}`)).rejects.toThrow(/cannot be changed/);
});
