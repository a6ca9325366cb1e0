// The library, as a program that imports it uses it.

import { execFile } from "node:child_process";
import { mkdir, readFile } from "node:fs/promises";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { Artifact, Fault, Refmount } from "../src/index.js";
import { distFile } from "./support/dist.js";
import { lacks } from "./support/needs.js";
import { Rig } from "./support/rig.js";

async function open(rig: Rig): Promise<Refmount> {
  return Refmount.open({ home: rig.home, environment: rig.environment });
}

test("what is logged can be used, listed and downloaded", async () => {
  await using rig = await Rig.create();
  const dir = await rig.tree("data", { "a.txt": "hello", "sub/b.txt": "my" });
  const refmount = await open(rig);
  const artifact = new Artifact("mnist", { type: "dataset", metadata: { rows: 2, bad: NaN } });
  await artifact.addReference(`file://${dir}`, { name: "train" });
  const logged = await refmount.log(artifact, { aliases: ["best"] });
  expect(logged).toMatchObject({
    ref: "mnist:v0",
    version: "v0",
    files: 2,
    bytes: 7,
    aliases: ["best", "latest"],
    created: true,
    revised: false,
  });
  const version = await refmount.use("mnist:best", { type: "dataset" });
  expect(version.digest).toBe(logged.digest);
  expect(version.record.metadata).toEqual({ rows: 2, bad: null });
  const paths: string[] = [];
  for await (const entry of version.entries()) paths.push(entry.path);
  expect(paths).toEqual(["train/a.txt", "train/sub/b.txt"]);
  const report = await version.download(rig.path("out"), { pathPrefix: "train/a" });
  expect(report).toMatchObject({ files: 1, path: rig.path("out") });
  expect(await readFile(rig.path("out/train/a.txt"), "utf8")).toBe("hello");
  expect((await refmount.collections()).map(({ base }) => base)).toEqual(["mnist"]);
  expect((await refmount.versions("mnist")).map(({ ref }) => ref)).toEqual(["mnist:v0"]);
  expect(await refmount.status()).toBe(null);
});

test("an artifact is checked when it is made, and a reference when it is added", async () => {
  expect(() => new Artifact("bad name", { type: "t" })).toThrow(Fault);
  expect(() => new Artifact("mnist:v1", { type: "t" })).toThrow(/names a version/);
  expect(() => new Artifact("mnist", { type: "job" })).toThrow(/reserved/);
  expect(() => new Artifact("mnist", { type: "t", metadata: { x: Infinity } })).toThrow(/Infinity/);
  const artifact = new Artifact("mnist", { type: "t" });
  await expect(artifact.addReference("data/mnist")).rejects.toThrow(/must be URIs/);
});

test("references are lists and entries of other artifacts, too, each with its own options", async () => {
  await using rig = await Rig.create();
  const dir = await rig.tree("data", { "a.txt": "hello", "sub/b.txt": "my" });
  await rig.tree(".", { list: `file://${dir}/a.txt\t\tlisted\n` });
  const refmount = await open(rig);
  const first = new Artifact("first", { type: "dataset" });
  await first.addReference(`file://${dir}`);
  await refmount.log(first);
  const artifact = new Artifact("second", { type: "dataset" });
  await artifact.addReference("refmount://first:latest/sub", { name: "copied" });
  await artifact.addReference(`@${rig.path("list")}`, { name: "x" });
  await artifact.addReference(`file://${dir}/sub`, { name: "unchecked", checksum: false });
  const version = await refmount.log(artifact);
  expect(version.record.sources[0]).toBe("copied=refmount://first:v0/sub");
  const entries: [string, number][] = [];
  for await (const { path, digests } of version.entries()) {
    entries.push([path, Object.keys(digests).length]);
  }
  expect(entries).toEqual([
    ["copied/b.txt", 2],
    ["unchecked/b.txt", 0],
    ["x/listed", 2],
  ]);
  const limited = new Artifact("third", { type: "dataset" });
  await limited.addReference(`file://${dir}/a.txt`, { maxObjects: 1 });
  await limited.addReference(`file://${dir}`, { name: "all", maxObjects: 1 });
  await expect(refmount.log(limited)).rejects.toThrow(/More than 1 objects/);
});

test("a version of another type, and one that is not there, are faults with a kind", async () => {
  await using rig = await Rig.create();
  const dir = await rig.tree("data", { a: "a" });
  const refmount = await open(rig);
  const artifact = new Artifact("mnist", { type: "dataset" });
  await artifact.addReference(`file://${dir}`);
  await refmount.log(artifact);
  await expect(refmount.use("mnist", { type: "model" })).rejects.toMatchObject({ kind: "usage" });
  await expect(refmount.use("mnist:v1")).rejects.toMatchObject({ kind: "not-found" });
});

test.skipIf(lacks("fuse", "root"))("a mount ends with its scope", async () => {
  await using rig = await Rig.create();
  const dir = await rig.tree("data", { "a.txt": "hello" });
  const refmount = await open(rig);
  const artifact = new Artifact("mnist", { type: "dataset" });
  await artifact.addReference(`file://${dir}`);
  await refmount.log(artifact);
  await mkdir(rig.path("mnt"));
  const program = `
    import { Refmount } from ${JSON.stringify(distFile("index.js"))};
    import { execFileSync } from "node:child_process";
    const refmount = await Refmount.open();
    const version = await refmount.use("mnist:latest", { type: "dataset" });
    const mount = await version.mount(process.argv[1]);
    process.stdout.write(execFileSync("cat", [mount.path + "/a.txt"]));
    await mount[Symbol.asyncDispose]();
    await mount[Symbol.asyncDispose]();
  `;
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ["--input-type=module", "-e", program, rig.path("mnt")],
    { env: rig.environment },
  );
  expect(stdout).toBe("hello");
  expect(rig.mountPoints()).toEqual([]);
});
