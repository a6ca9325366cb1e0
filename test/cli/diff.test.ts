// diff through the built command line, for people and for scripts.

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
  await log();

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
    "demo:v0 -> demo:v1: 1 file added (9 B); 1 file removed (4 B); 1 file other content (6 B); " +
      "1 file same content, other reference (5 B)",
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
