// alias, tag, describe, metadata, rm, undelete, ttl and gc through the built command line.

import { readdir, readFile, utimes } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { lacks } from "../support/needs.js";
import { complaintOf } from "../support/reader.js";
import { Rig, type Outcome } from "../support/rig.js";

interface Labels {
  readonly ref: string;
  readonly aliases: readonly string[];
  readonly tags: readonly string[];
  readonly description: string | null;
  readonly metadata: object;
  readonly expires: string | null;
  readonly deleted: string | null;
}

async function rigWith(...contents: readonly string[]): Promise<Rig> {
  const rig = await Rig.create();
  for (const content of contents) {
    const dir = await rig.tree("data", { "a.txt": content });
    await rig.ok("log", "demo", "--type", "dataset", "--ref", `file://${dir}`);
  }
  return rig;
}

const failure = ({ code, stderr }: Outcome): [number | null, string] => [code, stderr];

test("aliases are added, moved, listed and removed", async () => {
  await using rig = await rigWith("one", "two");
  expect(await rig.ok("alias", "add", "demo:v0", "best", "prod")).toBe("demo:v0: best, prod\n");
  expect((await rig.json<Labels>("alias", "add", "demo", "best")).aliases).toEqual([
    "best",
    "latest",
  ]);
  expect(await rig.json("alias", "ls", "demo")).toEqual({
    name: "demo",
    aliases: [
      { alias: "best", version: "v1" },
      { alias: "latest", version: "v1" },
      { alias: "prod", version: "v0" },
    ],
  });
  expect(await rig.ok("alias", "rm", "demo", "prod")).toBe("demo: removed prod\n");
  expect(failure(await rig.run("alias", "rm", "demo", "prod"))).toEqual([
    3,
    expect.stringContaining('No version of "demo" has the alias "prod"'),
  ]);
  expect(failure(await rig.run("alias", "add", "demo", "v5"))).toEqual([
    2,
    expect.stringContaining("not allowed"),
  ]);
  expect(failure(await rig.run("alias"))).toEqual([
    2,
    expect.stringContaining("see refmount alias --help"),
  ]);
});

test("tags, description and metadata are changed and shown", async () => {
  await using rig = await rigWith("one");
  await rig.ok("tag", "add", "demo", "raw", "needs review");
  await rig.ok("tag", "rm", "demo", "raw");
  await rig.ok("describe", "demo", "without the broken scans");
  await rig.ok("metadata", "set", "demo", '{"accuracy": 0.5, "loss": null, "seed": 7}');
  await rig.ok("metadata", "set", "demo", '{"accuracy": 0.98}');
  await rig.ok("metadata", "unset", "demo", "seed");
  expect(await rig.json<Labels>("show", "demo")).toMatchObject({
    tags: ["needs review"],
    description: "without the broken scans",
    metadata: { accuracy: 0.98, loss: null },
  });
  expect(await rig.ok("metadata", "get", "demo", "accuracy")).toBe("0.98\n");
  expect(await rig.json("metadata", "set", "demo", '{"only": 1}', "--replace")).toMatchObject({
    metadata: { only: 1 },
  });
  expect((await rig.json<Labels>("describe", "demo", "--clear")).description).toBeNull();
  for (const [args, code, message] of [
    [["metadata", "get", "demo", "none"], 3, 'no key "none"'],
    [["metadata", "unset", "demo", "none"], 3, 'no key "none"'],
    [["metadata", "set", "demo", "[1]"], 2, "must be a JSON object"],
    [["metadata", "set", "demo", '{"a": 1e999}'], 2, "Infinity is not allowed"],
    [["describe", "demo"], 2, "either a text or --clear"],
    [["tag", "add", "demo", "a:b"], 2, "not allowed"],
  ] as const) {
    expect(failure(await rig.run(...args))).toEqual([code, expect.stringContaining(message)]);
  }
});

test("rm protects what has an alias, undelete brings back, numbers are not given again", async () => {
  await using rig = await rigWith("one", "two");
  expect(failure(await rig.run("rm", "demo"))).toEqual([
    2,
    expect.stringContaining("names no version"),
  ]);
  expect(failure(await rig.run("rm", "demo:v1"))).toEqual([
    9,
    expect.stringContaining("protected by the alias latest"),
  ]);
  expect(await rig.ok("rm", "demo:v0")).toContain("demo:v0 is deleted");
  expect(failure(await rig.run("show", "demo:v0"))).toEqual([
    3,
    expect.stringContaining("refmount undelete demo:v0"),
  ]);
  const { deleted } = await rig.json<{ deleted: Labels[] }>("undelete", "demo");
  expect(deleted.map((each) => [each.ref, each.deleted !== null])).toEqual([["demo:v0", true]]);
  await rig.ok("undelete", "demo:v0");
  await rig.ok("rm", "demo:latest", "--force");
  const dir = await rig.tree("data", { "a.txt": "three" });
  expect(await rig.ok("log", "demo", "--type", "dataset", "--ref", `file://${dir}`)).toMatch(
    /^demo:v2 /,
  );
});

test("ttl says how long a version lives", async () => {
  await using rig = await rigWith("one");
  const shown = await rig.json<Labels & { created: string }>("show", "demo");
  const { expires } = await rig.json<Labels>("ttl", "demo:v0", "30d");
  expect(Date.parse(expires ?? "") - Date.parse(shown.created)).toBe(30 * 86_400_000);
  expect(await rig.ok("show", "demo")).toMatch(/^expires +20/m);
  expect(await rig.ok("ttl", "demo:v0", "inherit")).toBe("demo:v0 lives for ever\n");
  expect(await rig.ok("ttl", "demo", "2w")).toBe("Versions of demo live 14 d\n");
  expect((await rig.json<Labels>("show", "demo")).expires).not.toBeNull();
  await rig.ok("ttl", "demo", "never");
  for (const text of ["0s", "soon", "-1d"]) {
    expect((await rig.run("ttl", "demo:v0", "--", text)).code).toBe(2);
  }
  expect((await rig.run("ttl", "demo", "inherit")).code).toBe(2);
});

/** As if every manifest had been sealed long ago. */
async function ageManifests(rig: Rig): Promise<string[]> {
  const dir = join(rig.home, "manifests");
  const files = await readdir(dir);
  for (const file of files) await utimes(join(dir, file), 1, 1);
  return files.filter((file) => file.endsWith(".manifest"));
}

test("gc purges what was deleted long enough ago, and its manifest", async () => {
  await using rig = await rigWith("one", "two");
  await rig.ok("rm", "demo:v0");
  expect(await ageManifests(rig)).toHaveLength(2);
  expect(await rig.json("gc")).toMatchObject({ versions: 0, manifests: 0, dryRun: false });
  expect(await rig.json("gc", "--grace", "0s", "--dry-run")).toMatchObject({
    versions: 1,
    manifests: 1,
  });
  expect(await ageManifests(rig)).toHaveLength(2);
  expect(await rig.json("gc", "--grace", "0s")).toMatchObject({ versions: 1, manifests: 1 });
  expect(await ageManifests(rig)).toHaveLength(1);
  expect((await rig.run("undelete", "demo:v0")).code).toBe(3);
  await rig.ok("ls", "demo:v1");
});

test.skipIf(lacks("fuse", "addon", "root"))(
  "a mounted version outlives its deletion and its purge",
  async () => {
    await using rig = await rigWith("one", "two");
    const mnt = await rig.mount("demo:v0", "mnt");
    await rig.ok("rm", "demo:v0");
    await ageManifests(rig);
    expect(await rig.json("gc", "--grace", "0s")).toMatchObject({ versions: 1, manifests: 0 });
    // The source is what v1 holds by now, so only the wrong bytes could be read.
    expect((await readFile(rig.path("data", "a.txt"))).toString()).toBe("two");
    expect(await complaintOf(join(mnt, "a.txt"))).toContain("Stale file handle");
    await rig.ok("unmount", mnt);
    expect(await rig.json("gc")).toMatchObject({ manifests: 1 });
  },
);
