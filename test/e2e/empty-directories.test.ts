// Empty directories from a local tree to a mount, a download and a listing, as a user meets them.

import { existsSync } from "node:fs";
import { mkdir, rmdir, stat } from "node:fs/promises";
import { expect, test } from "vitest";
import { needs } from "../support/needs.js";
import { run } from "../support/reader.js";
import { Rig } from "../support/rig.js";

interface Logged {
  readonly ref: string;
  readonly digest: string;
  readonly files: number;
  readonly created: boolean;
}

const EMPTY = ["empty", "train/none/at/all"];

async function rigWithTree(): Promise<{ rig: Rig; log: () => Promise<Logged> }> {
  const rig = await Rig.create();
  const dir = await rig.tree("data", { "a.txt": "hello", "train/b": "my" });
  for (const path of EMPTY) await mkdir(`${dir}/${path}`, { recursive: true });
  const log = (): Promise<Logged> =>
    rig.json<Logged>("log", "demo", "--type", "dataset", "--ref", `file://${dir}`);
  return { rig, log };
}

test("a version that differs in empty directories only is a revision with the same digest", async () => {
  const { rig, log } = await rigWithTree();
  await using _ = rig;
  const manifestOf = async (): Promise<string> =>
    (await rig.json<{ manifest: string }>("show", "demo")).manifest;
  const first = await log();
  expect(first).toMatchObject({ ref: "demo:v0", files: 2, created: true });
  const withEmpty = await manifestOf();
  expect(await log()).toMatchObject({ created: false });
  expect(await manifestOf()).toBe(withEmpty);
  await rmdir(rig.path("data/empty"));
  expect(await log()).toMatchObject({ ref: "demo:v0", digest: first.digest, created: false });
  expect(await manifestOf()).not.toBe(withEmpty);
});

test("download makes them and ls lists them", async () => {
  const { rig, log } = await rigWithTree();
  await using _ = rig;
  await log();
  await rig.ok("download", "demo", rig.path("out"));
  for (const path of EMPTY) expect((await stat(rig.path("out", path))).isDirectory()).toBe(true);
  await rig.ok("download", "demo", rig.path("part"), "--path-prefix", "train/");
  expect(existsSync(rig.path("part/empty"))).toBe(false);
  expect((await stat(rig.path("part/train/none/at/all"))).isDirectory()).toBe(true);
  await rig.ok("download", "demo", rig.path("one"), "--path-prefix", "empty");
  expect(existsSync(rig.path("one/empty"))).toBe(true);
  expect(await rig.ok("ls", "demo:latest")).toMatch(/ empty\/\n/);
  expect(await rig.ok("ls", "demo:latest/train/none/at")).toMatch(/ all\/\n/);
  expect(await rig.json("ls", "demo:latest/empty")).toMatchObject({ entries: [] });
});

test.runIf(needs("fuse", "addon", "root"))("mounts show them, by either driver", async () => {
  const { rig, log } = await rigWithTree();
  await using _ = rig;
  await log();
  const expected = (await run("find", rig.path("data"), "-printf", "%y %P\n")).toString();
  const drivers = needs("libfuse2") ? ["native", "fuse-native"] : ["native"];
  for (const driver of drivers) {
    const dir = await rig.mount("demo", `mnt-${driver}`, "--driver", driver);
    const found = (await run("find", dir, "-printf", "%y %P\n")).toString();
    expect(found.split("\n").sort()).toEqual(expected.split("\n").sort());
    expect((await run("ls", "-A", `${dir}/empty`)).toString()).toBe("");
    await rig.ok("unmount", dir);
  }
});
