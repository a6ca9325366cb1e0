// The whole job on local files: the built command line, a real daemon, a mount read by other processes.

import { randomBytes } from "node:crypto";
import { appendFile, chmod, mkdir, rename, rm, writeFile } from "node:fs/promises";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { needs } from "../support/needs.js";
import { readFileElsewhere, run } from "../support/reader.js";
import { Rig } from "../support/rig.js";
import { statusOf, until } from "../support/status.js";

const LARGE = randomBytes(20_000_000);

async function loggedRig(environment: Readonly<Record<string, string>> = {}): Promise<Rig> {
  const rig = await Rig.create(environment);
  const data = await rig.tree("data", {
    "a.txt": "first",
    "b.txt": "second",
    "c.txt": "third",
    "d.txt": "fourth",
    empty: "",
    "train/large.bin": LARGE,
  });
  await rig.ok("log", "demo", "--type", "dataset", "--ref", `file://${data}`);
  return rig;
}

async function complaint(reading: Promise<unknown>): Promise<string> {
  return reading.then(
    () => "read",
    (error: unknown) => String(error),
  );
}

describe.runIf(needs("fuse", "addon", "root"))("a mounted version", () => {
  test.each(["cached", "passthrough"])("gives the logged bytes (%s)", async (io) => {
    await using rig = await loggedRig();
    const dir = await rig.mount("demo:v0", "mnt", "--io", io);
    expect((await readFileElsewhere(join(dir, "train/large.bin"))).equals(LARGE)).toBe(true);
    expect(String(await readFileElsewhere(join(dir, "a.txt")))).toBe("first");
    expect((await readFileElsewhere(join(dir, "empty"))).length).toBe(0);
    const status = await statusOf(rig);
    expect(status.mounts).toMatchObject([
      { ref: "demo:v0", path: dir, io, driver: "native", state: "serving", files: 6 },
    ]);
    expect(status.errors).toEqual([]);
    await rig.ok("unmount", dir);
    expect(rig.mountPoints()).toEqual([]);
  });

  test("stays what it was when a file that was read changes", async () => {
    await using rig = await loggedRig();
    const dir = await rig.mount("demo", "mnt");
    await readFileElsewhere(join(dir, "a.txt"));
    await writeFile(rig.path("data/a.txt"), "other");
    await run("sh", "-c", "echo 3 > /proc/sys/vm/drop_caches");
    expect(String(await readFileElsewhere(join(dir, "a.txt")))).toBe("first");
  });

  test("refuses what changed before it was read with ESTALE, and status names it", async () => {
    await using rig = await loggedRig();
    const dir = await rig.mount("demo", "mnt");
    await writeFile(rig.path("data/a.txt"), "other");
    await appendFile(rig.path("data/b.txt"), "more");
    await rm(rig.path("data/c.txt"));
    for (const name of ["a.txt", "b.txt", "c.txt"]) {
      expect(await complaint(readFileElsewhere(join(dir, name)))).toMatch(/Stale file handle/);
      const { errors } = await statusOf(rig);
      expect(errors[0]).toMatchObject({ path: name, kind: "drifted", mount: "demo:v0" });
      expect(errors[0]?.subject).toBe(`file://${rig.path("data", name)}`);
    }
    const why = await run("getfattr", "-n", "user.refmount.error", join(dir, "c.txt"));
    expect(String(why)).toMatch(/drifted/);
    expect(String(await readFileElsewhere(join(dir, "d.txt")))).toBe("fourth");
  });

  test("is served again when the bytes come back, whatever their times", async () => {
    await using rig = await loggedRig();
    const dir = await rig.mount("demo", "mnt");
    await rename(rig.path("data/a.txt"), rig.path("data/away"));
    expect(await complaint(readFileElsewhere(join(dir, "a.txt")))).toMatch(/Stale file handle/);
    await writeFile(rig.path("data/a.txt"), "first");
    // The failure is remembered for about a second.
    await expect
      .poll(() => complaint(readFileElsewhere(join(dir, "a.txt"))), { timeout: 5000 })
      .toBe("read");
  });

  test("is not fetched again after unmounting, and equal files are one blob", async () => {
    await using rig = await loggedRig();
    await rig.tree("data", { "copy.bin": LARGE });
    await rig.ok("log", "other", "--type", "dataset", "--ref", `file://${rig.path("data")}`);
    const dir = await rig.mount("demo", "mnt");
    await readFileElsewhere(join(dir, "train/large.bin"));
    await rig.ok("unmount", dir);
    await rm(rig.path("data"), { recursive: true });
    await until(
      () => rig.processes(),
      (pids) => pids.length === 0,
    );
    const again = await rig.mount("demo", "mnt");
    const other = await rig.mount("other", "mnt2");
    expect((await readFileElsewhere(join(again, "train/large.bin"))).equals(LARGE)).toBe(true);
    expect((await readFileElsewhere(join(other, "copy.bin"))).equals(LARGE)).toBe(true);
    const { cache } = await statusOf(rig);
    expect(cache.misses).toBe(0);
    expect(cache.usedBytes).toBe(LARGE.length);
  });

  test("a cached file that is flipped, cut, replaced or removed is fetched anew", async () => {
    await using rig = await loggedRig();
    const dir = await rig.mount("demo", "mnt", "--io", "cached");
    const path = join(dir, "train/large.bin");
    expect((await readFileElsewhere(path)).equals(LARGE)).toBe(true);
    const blob = onlyBlob(rig);
    const drop = "echo 3 > /proc/sys/vm/drop_caches";
    const harms = [
      `chmod u+w ${blob}; printf X | dd of=${blob} bs=1 seek=12345678 conv=notrunc status=none`,
      `chmod u+w ${blob}; truncate -s 1000 ${blob}`,
      `rm ${blob}; head -c 20000000 /dev/zero > ${blob}`,
      `rm ${blob}`,
    ];
    for (const harm of harms) {
      await run("sh", "-c", `${harm}; ${drop}`);
      expect((await readFileElsewhere(path)).equals(LARGE)).toBe(true);
    }
    expect((await statusOf(rig)).errors).toEqual([]);
  });

  test("another user reads it with --allow-other only", async () => {
    await using rig = await loggedRig();
    await chmod(rig.dir, 0o755);
    const closed = await rig.mount("demo", "closed");
    const open = await rig.mount("demo", "open", "--allow-other");
    const asNobody = (path: string): Promise<Buffer> =>
      run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "cat", path);
    expect(String(await asNobody(join(open, "a.txt")))).toBe("first");
    expect(await complaint(asNobody(join(closed, "a.txt")))).toMatch(/Permission denied/);
  });

  test("several are mounted at once in one daemon, and unmounted from outside", async () => {
    await using rig = await loggedRig();
    const one = await rig.mount("demo", "one");
    const two = await rig.mount("demo", "two");
    const three = await rig.mount("demo", "three");
    const before = await statusOf(rig);
    expect(before.mounts.map((mount) => mount.path)).toEqual([one, two, three]);
    await run("fusermount3", "-u", one);
    await run("umount", two);
    await expect
      .poll(async () => (await statusOf(rig)).mounts.map((mount) => mount.path))
      .toEqual([three]);
    expect(String(await readFileElsewhere(join(three, "a.txt")))).toBe("first");
  });

  test("the daemon ends after the last unmount and leaves no process and no litter", async () => {
    await using rig = await loggedRig();
    const dir = await rig.mount("demo", "mnt");
    await readFileElsewhere(join(dir, "a.txt"));
    await rig.ok("unmount", dir);
    await expect.poll(() => rig.processes(), { timeout: 10_000 }).toEqual([]);
    expect(readdirSync(rig.path("home/cache/tmp"))).toEqual([]);
    expect(await rig.json("status")).toMatchObject({ mounts: [] });
  });

  test("a warm file is read without any message", async () => {
    await using rig = await loggedRig();
    const dir = await rig.mount("demo", "mnt", "--io", "cached");
    const path = join(dir, "train/large.bin");
    await readFileElsewhere(path);
    const before = (await statusOf(rig)).mounts[0]?.reads;
    for (let time = 0; time < 3; time++) await readFileElsewhere(path);
    expect((await statusOf(rig)).mounts[0]?.reads).toBe(before);
  });
});

describe.runIf(needs("fuse", "addon", "root"))("run", () => {
  test("mounts, runs, unmounts and exits with the command's code", async () => {
    await using rig = await loggedRig();
    const script = 'cat "$REFMOUNT_DIR/a.txt" "$1/b.txt"; exit 7';
    const outcome = await rig.run("run", "demo:v0", "--", "sh", "-c", script, "sh", "{}");
    expect(outcome).toMatchObject({ code: 7, stdout: "firstsecond" });
    expect(rig.mountPoints()).toEqual([]);
  });

  test("forwards SIGTERM and unmounts", async () => {
    await using rig = await loggedRig();
    const mnt = rig.path("at");
    await mkdir(mnt);
    const script = 'trap "echo caught; exit 3" TERM; echo ready; while :; do sleep 0.05; done';
    const running = rig.start(["run", "demo", "--at", mnt, "--", "sh", "-c", script]);
    await running.output(/ready/);
    expect(rig.mountPoints()).toEqual([mnt]);
    running.child.kill("SIGTERM");
    expect(await running.ended).toMatchObject({ code: 3 });
    expect(rig.mountPoints()).toEqual([]);
    expect(existsSync(mnt)).toBe(true);
  });

  test("a command that is not there exits 127, one killed by a signal 128 and its number", async () => {
    await using rig = await loggedRig();
    expect((await rig.run("run", "demo", "--", "no-such-command")).code).toBe(127);
    expect((await rig.run("run", "demo", "--", "sh", "-c", "kill -9 $$")).code).toBe(137);
    expect(rig.mountPoints()).toEqual([]);
  });
});

/** The only blob there is. */
function onlyBlob(rig: Rig): string {
  const folder = rig.path("home/cache/blobs");
  const found = readdirSync(folder, { recursive: true, withFileTypes: true, encoding: "utf8" })
    .filter((item) => item.isFile() && /^[0-9a-f]{64}$/.test(item.name))
    .map((item) => join(item.parentPath, item.name));
  expect(found).toHaveLength(1);
  return found[0] ?? "";
}
