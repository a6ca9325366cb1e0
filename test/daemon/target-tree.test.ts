import { existsSync } from "node:fs";
import {
  chmod,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  symlink,
  utimes,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { TargetTree } from "../../src/daemon/target-tree.js";
import { Fault } from "../../src/model/fault.js";

let dir: string;
let tree: TargetTree;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "refmount-test-"));
  tree = new TargetTree(join(dir, "out"));
});

afterEach(async () => {
  await rm(dir, { recursive: true, force: true });
});

function put(path: string, text = "text", mtimeMs: number | null = null): Promise<void> {
  return tree.place(path, mtimeMs, (partPath) => writeFile(partPath, text, { mode: 0o400 }));
}

test("a file gets its place in one step, writable by its owner, with its time", async () => {
  const umask = process.umask(0o027);
  tree = new TargetTree(join(dir, "out"));
  process.umask(umask);
  await put("a/b/c.txt", "hello", 1_700_000_000_123);
  const path = join(dir, "out/a/b/c.txt");
  expect(await readFile(path, "utf8")).toBe("hello");
  const stats = await lstat(path);
  expect(stats.mode & 0o777).toBe(0o640);
  expect(Math.round(stats.mtimeMs)).toBe(1_700_000_000_123);
  expect(await readdir(join(dir, "out/a/b"))).toEqual(["c.txt"]);
});

test("a file that is there is replaced, a link is replaced and not followed", async () => {
  await put("a.txt", "old");
  await put("a.txt", "new");
  await writeFile(join(dir, "outside"), "outside");
  await symlink(join(dir, "outside"), join(dir, "out/link.txt"));
  expect(await tree.sizeAt("link.txt")).toBe(null);
  await put("link.txt", "new");
  expect(await readFile(join(dir, "out/a.txt"), "utf8")).toBe("new");
  expect(await readFile(join(dir, "outside"), "utf8")).toBe("outside");
  expect((await lstat(join(dir, "out/link.txt"))).isFile()).toBe(true);
});

test("nothing is written through a folder that is a link", async () => {
  await mkdir(join(dir, "outside"));
  await mkdir(join(dir, "out"));
  await symlink(join(dir, "outside"), join(dir, "out/sub"));
  for (const path of ["sub/a", "sub/deeper/a"]) {
    await expect(put(path)).rejects.toThrow(/is a symbolic link, and the version has a folder/);
    await expect(new TargetTree(join(dir, "out")).sizeAt(path)).rejects.toThrow(Fault);
  }
  expect(await readdir(join(dir, "outside"))).toEqual([]);
});

test("the directory that the user named may itself be a link", async () => {
  await mkdir(join(dir, "real"));
  await symlink(join(dir, "real"), join(dir, "out"));
  await put("a");
  expect(await readdir(join(dir, "real"))).toEqual(["a"]);
});

test("what is in the way is named", async () => {
  await put("a");
  await mkdir(join(dir, "out/b"));
  await expect(put("a/b")).rejects.toThrow(/out\/a is a file, and the version has a folder/);
  await expect(put("b")).rejects.toThrow(/out\/b is in the way/);
});

test("the size is that of a regular file, or null", async () => {
  expect(await tree.sizeAt("a")).toBe(null);
  expect(await tree.sizeAt("x/y/z")).toBe(null);
  await put("a", "12345");
  await put("x/y/z", "1");
  expect(await tree.sizeAt("a")).toBe(5);
  expect(await tree.sizeAt("x")).toBe(null);
  expect(await new TargetTree(join(dir, "out")).sizeAt("x/y/z")).toBe(1);
});

test("a failed write leaves nothing and keeps what was there", async () => {
  await put("a", "old");
  const failing = tree.place("a", null, async (partPath) => {
    await writeFile(partPath, "half");
    throw new Fault("drifted", "gone");
  });
  await expect(failing).rejects.toThrow("gone");
  expect(await readdir(join(dir, "out"))).toEqual(["a"]);
  expect(await readFile(join(dir, "out/a"), "utf8")).toBe("old");
});

test("parts of dead downloads are removed, those of live ones are not", async () => {
  const names: string[] = [];
  await tree.place("a", null, async (partPath) => {
    names.push(partPath.slice(partPath.lastIndexOf("/") + 1));
    await writeFile(partPath, "");
  });
  const [, machine] = /^\.refmount-([0-9a-f]{8})-\d+-0\.part$/.exec(names[0] ?? "") ?? [];
  const own = (pid: number): string => join(dir, "out", `.refmount-${machine ?? ""}-${pid}-7.part`);
  const other = join(dir, "out", ".refmount-00000000-4-0.part");
  const old = join(dir, "out", ".refmount-00000000-5-0.part");
  const NO_PID = 2 ** 22 + 1;
  for (const path of [own(NO_PID), own(process.pid), other, old]) await writeFile(path, "");
  const yesterday = Date.now() / 1000 - 2 * 86_400;
  await utimes(old, yesterday, yesterday);
  tree = new TargetTree(join(dir, "out"));
  await put("b");
  expect([own(NO_PID), own(process.pid), other, old].map((path) => existsSync(path))).toEqual([
    false,
    true,
    true,
    false,
  ]);
});

test.skipIf(process.getuid?.() === 0)("a folder that is not writable is denied", async () => {
  await mkdir(join(dir, "out"));
  await chmod(join(dir, "out"), 0o500);
  await expect(put("a")).rejects.toMatchObject({ kind: "denied" });
});
