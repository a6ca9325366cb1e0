// verify and checkout through the built command line.

import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { Rig } from "../support/rig.js";
import { startS3Double } from "../support/s3-double.js";

interface Report {
  readonly files: number;
  readonly verified: number;
  readonly unverified: number;
  readonly problems: readonly { path: string; problem: string }[];
}

async function rigWith(...versions: readonly Record<string, string>[]): Promise<Rig> {
  const rig = await Rig.create();
  for (const [number, files] of versions.entries()) {
    const dir = await rig.tree(`data${number}`, files);
    await rig.ok("log", "demo", "--type", "dataset", "--ref", `file://${dir}`);
  }
  return rig;
}

async function verify(
  rig: Rig,
  dir: string,
  ...options: string[]
): Promise<[number | null, Report]> {
  const outcome = await rig.run("--json", "verify", dir, "demo", ...options);
  return [outcome.code, JSON.parse(outcome.stdout) as Report];
}

test("verify names what differs, and how", async () => {
  await using rig = await rigWith({
    same: "1",
    "d/edited": "22",
    "d/cut": "333",
    gone: "4",
    l: "5",
  });
  const dir = rig.path("data0");
  expect(await verify(rig, dir)).toEqual([
    0,
    expect.objectContaining({ files: 5, verified: 5, unverified: 0, problems: [] }),
  ]);
  await writeFile(join(dir, "d/edited"), "2x");
  await writeFile(join(dir, "d/cut"), "33");
  await rm(join(dir, "gone"));
  await rm(join(dir, "l"));
  await symlink("same", join(dir, "l"));
  await mkdir(join(dir, "more/deep"), { recursive: true });
  await writeFile(join(dir, "more/deep/extra"), "");
  const [code, report] = await verify(rig, dir);
  expect(code).toBe(6);
  expect(report.verified).toBe(1);
  expect([...report.problems].sort((a, b) => (a.path < b.path ? -1 : 1))).toEqual([
    { path: "d/cut", problem: "size" },
    { path: "d/edited", problem: "content" },
    { path: "gone", problem: "missing" },
    { path: "l", problem: "extra" },
    { path: "l", problem: "not a file" },
    { path: "more/deep/extra", problem: "extra" },
  ]);
  const [, lenient] = await verify(rig, dir, "--allow-extra");
  expect(lenient.problems.map(({ problem }) => problem).sort()).toEqual([
    "content",
    "missing",
    "not a file",
    "size",
  ]);
  const text = await rig.run("verify", dir, "demo");
  expect(text.stdout).toContain("content: d/edited\n");
  expect(text.stdout).toMatch(/differs from demo:v0 in 6 files: 1 of 5 files verified\n$/);
  expect((await rig.run("verify", rig.path("none"), "demo")).code).toBe(3);
});

test("verify says where nothing but the size is known", async () => {
  await using s3 = await startS3Double();
  await using rig = await Rig.create(s3.environment);
  s3.bucket("bucket").put("k", "bytes", { encryption: "aws:kms" });
  await rig.ok("log", "demo", "--type", "dataset", "--no-checksum", "--ref", "s3://bucket/k");
  const dir = await rig.tree("there", { k: "other" });
  const [code, report] = await verify(rig, dir);
  expect([code, report.verified, report.unverified]).toEqual([0, 0, 1]);
});

test("checkout goes from one version to another, both ways", async () => {
  await using rig = await rigWith(
    { both: "1", "old/only": "2", changed: "3" },
    { both: "1", "new/only": "4", changed: "5", old: "a file now" },
  );
  const dir = rig.path("out");
  await rig.ok("checkout", "demo:v0", dir);
  for (const version of ["demo:v1", "demo:v0", "demo:v1"]) {
    await rig.ok("checkout", version, dir);
    expect((await rig.run("verify", dir, version)).code).toBe(0);
  }
  expect((await readdir(dir)).sort()).toEqual(["both", "changed", "new", "old"]);
  expect(await readFile(join(dir, "old"), "utf8")).toBe("a file now");
});

test("checkout never removes what no version has, unless it is told to", async () => {
  await using rig = await rigWith({ a: "1" }, { b: "2" });
  const dir = await rig.tree("out", { "thesis/chapter1.tex": "years of work", a: "1" });
  const refused = await rig.run("checkout", "demo:v1", dir);
  expect([refused.code, refused.stderr]).toEqual([
    2,
    expect.stringContaining("thesis/chapter1.tex"),
  ]);
  expect(await readFile(join(dir, "thesis/chapter1.tex"), "utf8")).toBe("years of work");
  expect((await readdir(dir)).sort()).toEqual(["a", "thesis"]);
  const report = await rig.json<{ removed: number }>("checkout", "demo:v1", dir, "--force");
  expect(report.removed).toBe(2);
  expect(await readdir(dir)).toEqual(["b"]);
});

test("checkout takes a file that was edited for the user's, whatever its path", async () => {
  await using rig = await rigWith({ "data.csv": "logged", a: "1" }, { b: "2" });
  const dir = rig.path("out");
  await rig.ok("checkout", "demo:v0", dir);
  await writeFile(join(dir, "data.csv"), "edited");
  const refused = await rig.run("checkout", "demo:v1", dir);
  expect([refused.code, refused.stderr]).toEqual([2, expect.stringContaining("data.csv")]);
  expect(await readFile(join(dir, "data.csv"), "utf8")).toBe("edited");
});

test("checkout that will not go on removes nothing", async () => {
  await using rig = await rigWith({ a: "1" }, { b: "2" });
  const dir = rig.path("out");
  await rig.ok("checkout", "demo:v0", dir);
  for (const options of [
    ["--type", "model"],
    ["--require", "everything"],
  ]) {
    expect((await rig.run("checkout", "demo:v1", dir, ...options)).code).toBe(2);
    expect(await readdir(dir)).toEqual(["a"]);
  }
  await rm(rig.path("data1/b"));
  expect((await rig.run("checkout", "demo:v1", dir)).code).toBe(5);
  expect(await readdir(dir)).toEqual(["a"]);
});

test("what a killed download left is no file of the user's", async () => {
  await using rig = await rigWith({ a: "1" }, { b: "2" });
  const dir = await rig.tree("out", { ".refmount-0a1b2c3d-99999-0.part": "half" });
  await rig.ok("checkout", "demo:v0", dir);
  expect((await rig.run("verify", dir, "demo:v0")).code).toBe(0);
});

test("checkout removes a link, never what it leads to", async () => {
  await using rig = await rigWith({ a: "1" });
  const outside = await rig.tree("outside", { precious: "x" });
  const dir = await rig.tree("out", {});
  await symlink(outside, join(dir, "link"));
  await rig.ok("checkout", "demo", dir, "--force");
  expect(existsSync(join(outside, "precious"))).toBe(true);
  expect(await readdir(dir)).toEqual(["a"]);
});
