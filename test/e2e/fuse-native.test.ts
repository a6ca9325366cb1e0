// The portable driver through the built command line: the basics of the job, and the POSIX contract.

import { readdirSync } from "node:fs";
import { open, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { MOUNT_TRAITS, posixContract } from "../contract/posix.js";
import { distFile } from "../support/dist.js";
import { needs } from "../support/needs.js";
import { Holding, readFileElsewhere, run } from "../support/reader.js";
import { Rig } from "../support/rig.js";
import { statusOf, until } from "../support/status.js";

const READY = needs("fuse", "addon", "root", "libfuse2");

async function mountedRig(): Promise<{ rig: Rig; dir: string } & AsyncDisposable> {
  const rig = await Rig.create();
  const data = await rig.tree("data", {
    "a.txt": "first",
    "late/b.txt": "second",
    "c.txt": "third",
  });
  await rig.ok("log", "demo", "--type", "dataset", "--ref", `file://${data}`);
  const dir = await rig.mount("demo", "mnt", "--driver", "fuse-native");
  return { rig, dir, [Symbol.asyncDispose]: () => rig[Symbol.asyncDispose]() };
}

describe.runIf(READY)("--driver fuse-native", () => {
  test("mounts read-only, reads what was logged, and unmounts", async () => {
    await using mounted = await mountedRig();
    const { rig, dir } = mounted;
    expect(String(await readFileElsewhere(join(dir, "a.txt")))).toBe("first");
    await writeFile(rig.path("data/a.txt"), "other");
    await run("sh", "-c", "echo 3 > /proc/sys/vm/drop_caches");
    expect(String(await readFileElsewhere(join(dir, "a.txt")))).toBe("first");
    await expect(run("touch", join(dir, "new"))).rejects.toThrow(/Read-only file system/);
    expect((await statusOf(rig)).mounts).toMatchObject([
      { driver: "fuse-native", io: "cached", state: "serving", path: dir },
    ]);
    await rig.ok("unmount", dir);
    expect(rig.mountPoints()).toEqual([]);
    await until(
      () => rig.processes(),
      (processes) => processes.length === 0,
    );
  });

  test("refuses what changed before it was read with ESTALE, and status names it", async () => {
    await using mounted = await mountedRig();
    const { rig, dir } = mounted;
    await writeFile(rig.path("data/late/b.txt"), "other");
    await expect(readFileElsewhere(join(dir, "late/b.txt"))).rejects.toThrow(/Stale file handle/);
    expect((await statusOf(rig)).errors[0]).toMatchObject({ path: "late/b.txt", kind: "drifted" });
    const why = await run("getfattr", "-n", "user.refmount.error", join(dir, "late/b.txt"));
    expect(String(why)).toMatch(/drifted/);
    expect(String(await readFileElsewhere(join(dir, "c.txt")))).toBe("third");
  });

  test("serves beside the native driver, is busy while in use, and goes by force", async () => {
    await using mounted = await mountedRig();
    const { rig, dir } = mounted;
    const native = await rig.mount("demo", "native");
    {
      await using _held = await Holding.open(join(dir, "a.txt"));
      expect(await rig.run("unmount", dir)).toMatchObject({ code: 9 });
      await rig.ok("unmount", "--force", dir);
    }
    expect(rig.mountPoints()).toEqual([native]);
    expect(String(await readFileElsewhere(join(native, "a.txt")))).toBe("first");
  });

  test("hides no file behind a damaged record of its index, and tells of it", async () => {
    await using rig = await Rig.create();
    const data = await rig.tree("data", { "a.txt": "first", "b.txt": "second", "c.txt": "third" });
    await rig.ok("log", "demo", "--type", "dataset", "--ref", `file://${data}`);
    const name = readdirSync(rig.path("home/manifests")).find((each) => each.endsWith(".idx"));
    await using file = await open(rig.path("home/manifests", name ?? ""), "r+");
    // The size of the third node, after the root and a.txt.
    await file.write("x", 128 + 48 * 2);
    const dir = await rig.mount("demo", "mnt", "--driver", "fuse-native");
    await expect(readFileElsewhere(join(dir, "b.txt"))).rejects.toThrow(/Input\/output error/);
    expect(String(await readFileElsewhere(join(dir, "c.txt")))).toBe("third");
    expect((await statusOf(rig)).errors).toMatchObject([
      { kind: "corrupt", message: expect.stringMatching(/index .*mount again/) as string },
    ]);
  });

  test("ends in order with the daemon", async () => {
    await using mounted = await mountedRig();
    const { rig } = mounted;
    process.kill((await statusOf(rig)).pid, "SIGTERM");
    await until(
      () => rig.processes(),
      (processes) => processes.length === 0,
    );
    expect(rig.mountPoints()).toEqual([]);
  });

  test("is unmounted from outside", async () => {
    await using mounted = await mountedRig();
    const { rig, dir } = mounted;
    await run("fusermount3", "-u", dir);
    await until(
      () => rig.processes(),
      (processes) => processes.length === 0,
    );
  });

  test("where libfuse2 is missing says which package to install", async () => {
    await using rig = await Rig.create();
    const data = await rig.tree("data", { "a.txt": "first" });
    await rig.ok("log", "demo", "--type", "dataset", "--ref", `file://${data}`);
    await rig.tree("mnt", {});
    // In a mount namespace of its own, where the library is an empty file.
    const script =
      'lib=$(ldconfig -p | sed -n "s/.*libfuse.so.2 .*=> //p" | head -n 1); ' +
      'mount --bind /dev/null "$(readlink -f "$lib")" && exec "$@"';
    const command = [process.execPath, distFile("main.js"), "mount", "demo", rig.path("mnt")];
    const words = ["unshare", "--mount", "sh", "-c", script, "sh", ...command];
    const outcome = await run(
      "env",
      ...Object.entries(rig.environment).map(([name, value]) => `${name}=${value}`),
      ...words,
      "--driver",
      "fuse-native",
    ).then(() => "mounted", String);
    expect(outcome).toMatch(/needs libfuse 2 .*libfuse2/);
    expect(rig.mountPoints()).toEqual([]);
  });
});

if (READY) {
  posixContract(
    "fuse-native driver by the command line",
    async (source) => {
      const rig = await Rig.create();
      await rig.ok("log", "tree", "--type", "dataset", "--ref", `file://${source}`);
      const dir = await rig.mount("tree", "mnt", "--driver", "fuse-native");
      return { dir, [Symbol.asyncDispose]: () => rig[Symbol.asyncDispose]() };
    },
    // The sparse file has its test beside the driver; copying 4 GiB through it takes too long here.
    { ...MOUNT_TRAITS, sparse: false },
  );
}
