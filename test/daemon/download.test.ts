// Downloads through the built command line, from files and from the S3 double.

import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rm, stat, symlink, utimes, writeFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { Rig } from "../support/rig.js";
import { startS3Double } from "../support/s3-double.js";

interface Downloaded {
  readonly ref: string;
  readonly path: string;
  readonly files: number;
  readonly bytes: number;
  readonly fetched: number;
  readonly fetchedBytes: number;
  readonly kept: number;
  readonly missing: readonly { readonly path: string; readonly message: string }[];
}

const FILES = { "a.txt": "hello", "train/b.txt": "my", "train/deep/c.txt": "dude", empty: "" };

async function logged(rig: Rig): Promise<string> {
  const dir = await rig.tree("data", FILES);
  await rig.ok("log", "demo", "--type", "dataset", "--ref", `file://${dir}`);
  return dir;
}

test("the files of a version are in ./artifacts/NAME:vN unless a directory is named", async () => {
  await using rig = await Rig.create();
  const data = await logged(rig);
  const report = await rig.json<Downloaded>("download", "demo:latest");
  expect(report).toMatchObject({
    ref: "demo:v0",
    path: rig.path("artifacts/demo:v0"),
    files: 4,
    bytes: 11,
    fetched: 4,
    kept: 0,
    missing: [],
  });
  for (const [path, text] of Object.entries(FILES)) {
    expect(await readFile(rig.path("artifacts/demo:v0", path), "utf8")).toBe(text);
  }
  const copy = await stat(rig.path("artifacts/demo:v0/a.txt"));
  expect(Math.abs(copy.mtimeMs - (await stat(`${data}/a.txt`)).mtimeMs)).toBeLessThan(2);
  const text = await rig.ok("download", "demo", "elsewhere");
  expect(text).toBe(`demo:v0 is in ${rig.path("elsewhere")} (4 files, 11 B)\n`);
});

test("equal files are left alone, others are fetched again", async () => {
  await using rig = await Rig.create();
  await logged(rig);
  await rig.ok("download", "demo", "out");
  await writeFile(rig.path("out/a.txt"), "hellO");
  await rm(rig.path("out/train/b.txt"));
  await writeFile(rig.path("out/mine.txt"), "mine");
  await utimes(rig.path("out/train/deep/c.txt"), 1, 1);
  const report = await rig.json<Downloaded>("download", "demo", "out");
  expect(report).toMatchObject({ files: 4, fetched: 2, fetchedBytes: 7, kept: 2 });
  expect(await readFile(rig.path("out/a.txt"), "utf8")).toBe("hello");
  expect(await readFile(rig.path("out/mine.txt"), "utf8")).toBe("mine");
  // Left alone also in its time.
  expect((await stat(rig.path("out/train/deep/c.txt"))).mtimeMs).toBe(1000);
});

test("files that are gone or changed fail it after all others came; or they are listed", async () => {
  await using rig = await Rig.create();
  const data = await logged(rig);
  await rm(`${data}/a.txt`);
  await writeFile(`${data}/train/b.txt`, "MY");
  const outcome = await rig.run("download", "demo", "out");
  expect(outcome).toMatchObject({ code: 5, stdout: "" });
  expect(outcome.stderr).toMatch(/2 of the files of demo are missing/);
  expect(outcome.stderr).toMatch(/a\.txt: .*\n.*train\/b\.txt: /);
  expect(await readFile(rig.path("out/train/deep/c.txt"), "utf8")).toBe("dude");
  const report = await rig.json<Downloaded>("download", "demo", "out", "--allow-missing");
  expect(report).toMatchObject({ files: 2, kept: 2 });
  expect(report.missing.map(({ path }) => path)).toEqual(["a.txt", "train/b.txt"]);
  expect(await rig.ok("download", "demo", "out", "--allow-missing")).toMatch(
    /2 files missing:\n {2}a\.txt: /,
  );
});

test("a restored file is no drift, whatever its time says", async () => {
  await using rig = await Rig.create();
  const data = await logged(rig);
  await rm(`${data}/a.txt`);
  await writeFile(`${data}/a.txt`, "hello");
  await utimes(`${data}/a.txt`, 5, 5);
  expect((await rig.json<Downloaded>("download", "demo", "out")).fetched).toBe(4);
});

test("nothing is written through a link inside the directory", async () => {
  await using rig = await Rig.create();
  await logged(rig);
  await mkdir(rig.path("outside"));
  await mkdir(rig.path("out"));
  await symlink(rig.path("outside"), rig.path("out/train"));
  const outcome = await rig.run("download", "demo", "out");
  expect(outcome.code).toBe(2);
  expect(outcome.stderr).toMatch(/out\/train is a symbolic link/);
  expect(await readdir(rig.path("outside"))).toEqual([]);
});

test("what nothing pins is refused unless asked for", async () => {
  await using rig = await Rig.create();
  const dir = await rig.tree("data", { "a.txt": "a" });
  await rig.ok("log", "loose", "--type", "t", "--ref", `file://${dir}`, "--no-checksum");
  const outcome = await rig.run("download", "loose", "out");
  expect(outcome.code).toBe(2);
  expect(outcome.stderr).toMatch(/a\.txt \(none\)\n.*--require none/);
  expect((await rig.json<Downloaded>("download", "loose", "out", "--require", "none")).files).toBe(
    1,
  );
});

test("S3: the pinned version comes, also after it was overwritten and deleted", async () => {
  await using s3 = await startS3Double();
  await using rig = await Rig.create(s3.environment);
  const bucket = s3.bucket("bkt");
  bucket.put("k/a", "first");
  await rig.ok("log", "m", "--type", "t", "--ref", "s3://bkt/k");
  bucket.put("k/a", "other");
  bucket.delete("k/a");
  await rig.ok("download", "m", "out");
  expect(await readFile(rig.path("out/a"), "utf8")).toBe("first");
});

test("S3: what was seen once is known again: an equal file is not fetched, a flipped one is", async () => {
  await using s3 = await startS3Double();
  await using rig = await Rig.create(s3.environment);
  // A multipart ETag is no hash, so only the first fetch tells the bytes.
  s3.bucket("bkt").put("k/a", Buffer.alloc(6000, "x"), { partBytes: 2000 });
  await rig.ok("log", "m", "--type", "t", "--ref", "s3://bkt/k");
  await rig.ok("download", "m", "out");
  s3.requests.length = 0;
  expect(await rig.json<Downloaded>("download", "m", "out")).toMatchObject({ kept: 1 });
  expect(s3.requests).toEqual([]);
  const bytes = await readFile(rig.path("out/a"));
  bytes[17] = 0;
  await writeFile(rig.path("out/a"), bytes);
  expect(await rig.json<Downloaded>("download", "m", "out")).toMatchObject({ fetched: 1 });
  expect((await readFile(rig.path("out/a"))).equals(Buffer.alloc(6000, "x"))).toBe(true);
});

test("S3: bytes that are damaged twice are corrupt, and never get their name", async () => {
  await using s3 = await startS3Double();
  await using rig = await Rig.create(s3.environment);
  s3.bucket("bkt").put("k/a", "0123456789");
  await rig.ok("log", "m", "--type", "t", "--ref", "s3://bkt/k");
  s3.upset({ operation: "GetObject" }, { flipByteAt: 3 }, 2);
  const outcome = await rig.run("download", "m", "out");
  expect(outcome.code).toBe(6);
  expect(await readdir(rig.path("out"))).toEqual([]);
});

test("S3: denied is denied, with --allow-missing, too", async () => {
  await using s3 = await startS3Double();
  await using rig = await Rig.create(s3.environment);
  s3.bucket("bkt").put("k/a", "1");
  await rig.ok("log", "m", "--type", "t", "--ref", "s3://bkt/k");
  s3.upset({ operation: "GetObject" }, { status: 403, code: "AccessDenied" }, 99);
  expect((await rig.run("download", "m", "out", "--allow-missing")).code).toBe(4);
});

test("S3: what is interrupted leaves no part, and goes on where it was", async () => {
  await using s3 = await startS3Double();
  await using rig = await Rig.create(s3.environment);
  for (const key of ["k/a", "k/b"]) s3.bucket("bkt").put(key, key);
  await rig.ok("log", "m", "--type", "t", "--ref", "s3://bkt/k");
  const held = s3.hold({ operation: "GetObject", key: "k/b" });
  const running = rig.start(["download", "m", "out"]);
  await running.until(held.arrived);
  running.child.kill("SIGINT");
  expect(await running.ended).toMatchObject({ code: 130, stdout: "" });
  held.release();
  const left = existsSync(rig.path("out")) ? await readdir(rig.path("out")) : [];
  expect(left.filter((name) => name !== "a")).toEqual([]);
  expect(await rig.json<Downloaded>("download", "m", "out")).toMatchObject({
    files: 2,
    kept: left.length,
  });
});

test("S3: two downloads into one directory do not disturb each other", async () => {
  await using s3 = await startS3Double();
  await using rig = await Rig.create(s3.environment);
  for (let index = 0; index < 50; index++) s3.bucket("bkt").put(`k/${index}`, `text ${index}`);
  await rig.ok("log", "m", "--type", "t", "--ref", "s3://bkt/k");
  const both = await Promise.all([
    rig.json<Downloaded>("download", "m", "out"),
    rig.json<Downloaded>("download", "m", "out"),
  ]);
  expect(both.map(({ files }) => files)).toEqual([50, 50]);
  expect(await readdir(rig.path("out"))).toHaveLength(50);
  expect(await readFile(rig.path("out/49"), "utf8")).toBe("text 49");
});
