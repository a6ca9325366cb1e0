// Where a mount may and may not be put, and what is said about it.

import { mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { needs } from "../support/needs.js";
import { Holding, readFileElsewhere, run } from "../support/reader.js";
import { Rig } from "../support/rig.js";
import { killDaemon, until } from "../support/status.js";

async function loggedRig(): Promise<Rig> {
  const rig = await Rig.create();
  const data = await rig.tree("data", { "a.txt": "first", "sub/b.txt": "second" });
  await rig.ok("log", "demo", "--type", "dataset", "--ref", `file://${data}`);
  return rig;
}

describe.runIf(needs("fuse", "addon", "root"))("a mountpoint", () => {
  test("that is missing, a file, or below nothing is refused", async () => {
    await using rig = await loggedRig();
    await writeFile(rig.path("file"), "");
    expect(await rig.run("mount", "demo", rig.path("missing"))).toMatchObject({
      code: 3,
      stderr: expect.stringMatching(/There is no directory .*missing; make it first/) as string,
    });
    expect((await rig.run("mount", "demo", rig.path("no/where"))).code).toBe(3);
    expect(await rig.run("mount", "demo", rig.path("file"))).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/is not a directory/) as string,
    });
    expect(rig.mountPoints()).toEqual([]);
  });

  test("that is not empty is taken, with a note", async () => {
    await using rig = await loggedRig();
    const dir = await rig.tree("full", { "hidden.txt": "x" });
    const outcome = await rig.run("mount", "demo", dir);
    expect(outcome).toMatchObject({
      code: 0,
      stderr: expect.stringMatching(/is not empty/) as string,
    });
    expect(String(await readFileElsewhere(join(dir, "a.txt")))).toBe("first");
  });

  test("that is mounted already is busy, and one inside a mount is refused", async () => {
    await using rig = await loggedRig();
    const dir = await rig.mount("demo", "mnt");
    expect(await rig.run("mount", "demo", dir)).toMatchObject({
      code: 9,
      stderr: expect.stringMatching(/already mounted at .*refmount unmount/) as string,
    });
    expect(await rig.run("mount", "demo", join(dir, "sub"))).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/lies inside the mount/) as string,
    });
    expect(rig.mountPoints()).toEqual([dir]);
  });

  test("is found through a symlink and a relative path", async () => {
    await using rig = await loggedRig();
    await mkdir(rig.path("real"));
    await symlink(rig.path("real"), rig.path("link"));
    await rig.ok("mount", "demo", "link");
    expect(rig.mountPoints()).toEqual([rig.path("real")]);
    await rig.ok("unmount", "./link");
    expect(rig.mountPoints()).toEqual([]);
  });

  test("whose name has spaces and other odd characters works", async () => {
    await using rig = await loggedRig();
    const dir = await rig.mount("demo", "odd name\t\\ü, ro");
    expect(String(await readFileElsewhere(join(dir, "a.txt")))).toBe("first");
    await rig.ok("unmount", dir);
  });

  test("in use is busy to unmount, and --force lets go", async () => {
    await using rig = await loggedRig();
    const dir = await rig.mount("demo", "mnt");
    {
      await using _held = await Holding.open(join(dir, "a.txt"));
      expect(await rig.run("unmount", dir)).toMatchObject({
        code: 9,
        stderr: expect.stringMatching(/is in use/) as string,
      });
    }
    await rig.ok("umount", dir);
    expect(rig.mountPoints()).toEqual([]);
    await rig.ok("mount", "demo", dir);
    {
      await using _held = await Holding.open(join(dir, "a.txt"));
      await rig.ok("unmount", "--force", dir);
    }
    expect(rig.mountPoints()).toEqual([]);
    expect(await rig.run("unmount", dir)).toMatchObject({ code: 3 });
  });

  test("left dead by a killed daemon is replaced by the next mount", async () => {
    await using rig = await loggedRig();
    const dir = await rig.mount("demo", "mnt");
    await killDaemon(rig);
    await until(
      () => run("stat", dir).then(() => "", String),
      (message) => message.includes("Transport endpoint is not connected"),
    );
    const outcome = await rig.run("mount", "demo", dir);
    expect(outcome).toMatchObject({
      code: 0,
      stderr: expect.stringMatching(/dead mount/) as string,
    });
    expect(String(await readFileElsewhere(join(dir, "a.txt")))).toBe("first");
  });
});
