// diff through the built command line, for people and for scripts.

import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { Rig } from "../support/rig.js";
import { startS3Double } from "../support/s3-double.js";

interface DiffJson {
  readonly differences: readonly { path: string; kind: string; change?: string }[];
  readonly before: { readonly ref: string };
  readonly after: { readonly ref: string };
  readonly stat: Record<string, { files: number; bytes: number }>;
}

test("diff says what was added, removed and changed, and what only looks changed", async () => {
  await using s3 = await startS3Double();
  await using rig = await Rig.create(s3.environment);
  const bucket = s3.bucket("bucket");
  const log = (): Promise<string> =>
    rig.ok("log", "demo", "--type", "dataset", "--ref", "s3://bucket/set");
  bucket.put("set/same", "same");
  bucket.put("set/again", "again");
  bucket.put("set/edited", "before");
  bucket.put("set/gone", "gone");
  await log();
  bucket.put("set/again", "again");
  bucket.put("set/edited", "behind");
  bucket.delete("set/gone");
  bucket.put("set/new", "brand new");
  const counts =
    "1 file added (9 B); 1 file removed (4 B); 1 file other content (6 B); " +
    "1 file same content, other reference (5 B)";
  expect((await log()).split("\n")[1]).toBe(`Since demo:v0: ${counts}`);

  const json = await rig.json<DiffJson>("diff", "demo:v0", "demo:v1");
  expect(json.differences.map(({ path, kind, change }) => [path, kind, change])).toEqual([
    ["again", "changed", "reference"],
    ["edited", "changed", "content"],
    ["gone", "removed", undefined],
    ["new", "added", undefined],
  ]);
  expect([json.before.ref, json.after.ref]).toEqual(["demo:v0", "demo:v1"]);
  expect(json.stat).toEqual({
    added: { files: 1, bytes: 9 },
    removed: { files: 1, bytes: 4 },
    content: { files: 1, bytes: 6 },
    reference: { files: 1, bytes: 5 },
    unknown: { files: 0, bytes: 0 },
  });

  const text = await rig.ok("diff", "demo:v0", "demo:v1");
  const lines = text.trimEnd().split("\n");
  expect(lines[0]).toMatch(/^~ again {2}same content, other reference: \{"versionId":/);
  expect(lines.slice(1)).toEqual([
    "~ edited  other content",
    "- gone  4 B",
    "+ new  9 B",
    `demo:v0 -> demo:v1: ${counts}`,
  ]);
  expect(await rig.ok("diff", "demo:v0", "demo:v1", "--stat")).toBe(`${lines.at(-1) ?? ""}\n`);
  const stat = await rig.json<DiffJson>("diff", "demo:v0", "demo:v1", "--stat");
  expect(stat).toEqual({ before: json.before, after: json.after, stat: json.stat });
});

test("versions that are the same have no difference, and unknown ones are not found", async () => {
  await using rig = await Rig.create();
  const dir = await rig.tree("data", { a: "1" });
  await rig.ok("log", "demo", "--type", "dataset", "--ref", `file://${dir}`);
  expect(await rig.ok("diff", "demo", "demo:v0")).toBe("demo:v0 -> demo:v0: no difference\n");
  expect((await rig.json<DiffJson>("diff", "demo", "demo:v0")).differences).toEqual([]);
  const outcome = await rig.run("diff", "demo", "demo:v9");
  expect([outcome.code, outcome.stderr]).toEqual([3, expect.stringContaining('alias "v9"')]);
});

test("log tells what is new since the version that was latest, whatever became of that", async () => {
  await using rig = await Rig.create();
  const dir = await rig.tree("data", { a: "1" });
  const log = (...more: string[]): string[] => [
    ...["log", "demo", "--type", "t", "--ref", `file://${dir}`],
    ...more,
  ];
  await rig.ok(...log());
  await rig.tree("data", { b: "22" });
  const nothing = { files: 0, bytes: 0 };
  const added = { files: 1, bytes: 2 };
  const stat = { removed: nothing, content: nothing, reference: nothing, unknown: nothing };
  expect(await rig.json(...log())).toMatchObject({
    ref: "demo:v1",
    since: { ref: "demo:v0", stat: { added, ...stat } },
  });
  expect(await rig.json(...log())).toMatchObject({ created: false, since: null });
  await rig.tree("data", { c: "" });
  const manifests = join(rig.home, "manifests");
  for (const name of await readdir(manifests)) await rm(join(manifests, name), { recursive: true });
  const outcome = await rig.run(...log());
  expect(outcome).toMatchObject({ code: 0 });
  expect(outcome.stdout).toMatch(/^demo:v2 {2}\w+ {2}3 files, 3 B\n$/);
  expect(outcome.stderr).toMatch(/demo:v2 cannot be compared with demo:v1/);
});
