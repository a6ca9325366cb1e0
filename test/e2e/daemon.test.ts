// The daemon's life: who starts it, what it survives, how it ends, and what it leaves behind: nothing.

import { createHash } from "node:crypto";
import { existsSync, readdirSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { needs } from "../support/needs.js";
import { Holding, readFileElsewhere, run } from "../support/reader.js";
import { Rig, type Running } from "../support/rig.js";
import { killDaemon, statusOf, until } from "../support/status.js";
import { SteadyReader } from "../support/steady-reader.js";

const FILES = { "a.txt": "first", "b.txt": "second", "c.txt": "third" };

async function loggedRig(environment: Readonly<Record<string, string>> = {}): Promise<Rig> {
  const rig = await Rig.create(environment);
  const data = await rig.tree("data", FILES);
  await rig.ok("log", "demo", "--type", "dataset", "--ref", `file://${data}`);
  return rig;
}

async function textOf(path: string): Promise<string> {
  return String(await readFileElsewhere(path));
}

/** Waits until `path` is mounted, looking at the mount table only. */
function mounted(rig: Rig, path: string): Promise<unknown> {
  return until(
    () => rig.mountPoints(),
    (points) => points.includes(path),
  );
}

/** Waits until no process of this home is left. */
function ended(rig: Rig): Promise<unknown> {
  return until(
    () => rig.processes(),
    (processes) => processes.length === 0,
  );
}

function leavings(rig: Rig): string[] {
  const run = readdirSync(rig.path("home/run")).filter((name) => !name.endsWith(".lock"));
  return [...run, ...readdirSync(rig.path("home/cache/tmp"))];
}

async function killWorker(rig: Rig): Promise<number> {
  const { workerPid } = await statusOf(rig);
  process.kill(workerPid, "SIGKILL");
  return workerPid;
}

/** Waits until another worker serves and has taken the mounts over. */
async function succeeded(rig: Rig, workerPid: number, mounts: number): Promise<void> {
  await until(
    () => statusOf(rig).catch(() => null),
    (status) =>
      status !== null &&
      status.workerPid !== workerPid &&
      status.mounts.filter((mount) => mount.state === "serving").length === mounts,
  );
}

describe.runIf(needs("fuse", "addon", "root"))("a worker that is killed", () => {
  test.each(["cached", "passthrough"])("while idle has a successor (%s)", async (io) => {
    await using rig = await loggedRig();
    const dir = await rig.mount("demo", "mnt", "--io", io);
    expect(await textOf(join(dir, "a.txt"))).toBe("first");
    await using _held = await Holding.open(join(dir, "b.txt"));
    const { pid } = await statusOf(rig);
    const workerPid = await killWorker(rig);
    expect(await textOf(join(dir, "c.txt"))).toBe("third");
    await run("sh", "-c", "echo 3 > /proc/sys/vm/drop_caches");
    expect(await textOf(join(dir, "a.txt"))).toBe("first");
    await succeeded(rig, workerPid, 1);
    expect((await statusOf(rig)).pid).toBe(pid);
    expect((await statusOf(rig)).mounts).toMatchObject([{ path: dir, io }]);
  });

  test.runIf(needs("python3")).each(["cached", "passthrough"])(
    "again and again fails no read and no stat (%s)",
    { timeout: 120_000 },
    async (io) => {
      await using rig = await Rig.create();
      const files: Record<string, string> = {};
      const expected: Record<string, string> = {};
      for (let number = 0; number < 2000; number++) {
        const path = `dir${number % 10}/${number}.bin`;
        files[path] = `${number} `.repeat(500 + number * 8);
        expected[path] = createHash("sha256").update(files[path]).digest("hex");
      }
      const data = await rig.tree("data", files);
      await writeFile(rig.path("expected.json"), JSON.stringify(expected));
      await rig.ok("log", "demo", "--type", "dataset", "--ref", `file://${data}`);
      const dir = await rig.mount("demo", "mnt", "--io", io);
      await using one = new SteadyReader(dir, rig.path("expected.json"));
      await using two = new SteadyReader(dir, rig.path("expected.json"));
      await using three = new SteadyReader(dir, rig.path("expected.json"));
      const readers = [one, two, three];
      for (let time = 0; time < 6; time++) {
        const before = readers.map((reader) => reader.rounds);
        await until(
          () => readers.map((reader) => reader.rounds),
          (rounds) => rounds.every((count, at) => count >= (before[at] ?? 0) + 20),
        );
        await succeeded(rig, await killWorker(rig), 1);
      }
      for (const reader of readers) {
        const report = await reader.finish();
        expect(report).toMatchObject({ failed: [], wrong: [] });
        expect(report.rounds).toBeGreaterThan(100);
      }
      expect((await statusOf(rig)).errors).toEqual([]);
    },
  );

  test("at the same moment as another takes the mounts over has a successor, too", async () => {
    await using rig = await loggedRig();
    const dir = await rig.mount("demo", "mnt");
    const first = await killWorker(rig);
    const second = await until(
      () => workerOf(rig),
      (pid) => pid !== undefined && pid !== first,
    );
    process.kill(second ?? 0, "SIGKILL");
    await succeeded(rig, second ?? 0, 1);
    expect(await textOf(join(dir, "a.txt"))).toBe("first");
  });
});

describe.runIf(needs("fuse", "addon", "root"))("a daemon", () => {
  test("that is told to end unmounts everything, lazily what is in use, and leaves nothing", async () => {
    await using rig = await loggedRig();
    const dirs = [];
    for (const name of ["one", "two", "three"]) dirs.push(await rig.mount("demo", name));
    for (const dir of dirs) await textOf(join(dir, "a.txt"));
    const { pid } = await statusOf(rig);
    {
      await using _held = await Holding.open(join(dirs[1] ?? "", "a.txt"));
      process.kill(pid, "SIGTERM");
      await until(
        () => rig.mountPoints(),
        (points) => points.length === 0,
      );
    }
    await ended(rig);
    expect(leavings(rig)).toEqual([]);
  });

  test("ends by itself, and a mount in that very moment works", { timeout: 120_000 }, async () => {
    await using rig = await loggedRig({ REFMOUNT_GRACE_MS: "0" });
    for (let time = 0; time < 10; time++) {
      const dir = await rig.mount("demo", "mnt");
      expect(await textOf(join(dir, "a.txt"))).toBe("first");
      await rig.ok("unmount", dir);
      expect(rig.mountPoints()).toEqual([]);
    }
    await ended(rig);
    expect(leavings(rig)).toEqual([]);
  });

  test("is one, however many mount at once", async () => {
    await using rig = await loggedRig();
    const names = ["one", "two", "three", "four"];
    const dirs = await Promise.all(names.map((name) => rig.mount("demo", name)));
    const { pid, workerPid, mounts } = await statusOf(rig);
    expect(rig.processes().sort()).toEqual([pid, workerPid].sort());
    expect(mounts.map((mount) => mount.path).sort()).toEqual([...dirs].sort());
    for (const dir of dirs) expect(await textOf(join(dir, "b.txt"))).toBe("second");
  });

  test("lets one of several have a directory, and the others are busy", async () => {
    await using rig = await loggedRig();
    const dir = rig.path("mnt");
    await mkdir(dir);
    for (let round = 0; round < 3; round++) {
      const outcomes = await Promise.all([1, 2, 3].map(() => rig.run("mount", "demo", dir)));
      expect(outcomes.map(({ code }) => code).sort()).toEqual([0, 9, 9]);
      expect(rig.mountPoints()).toEqual([dir]);
      expect(await textOf(join(dir, "a.txt"))).toBe("first");
      await rig.ok("unmount", dir);
      expect(rig.mountPoints()).toEqual([]);
    }
  });

  test("that was killed as a whole is replaced by the next mount elsewhere, too", async () => {
    await using rig = await loggedRig();
    const dead = await rig.mount("demo", "dead");
    await killDaemon(rig);
    const dir = await rig.mount("demo", "mnt");
    expect(await textOf(join(dir, "a.txt"))).toBe("first");
    expect(rig.mountPoints()).toEqual([dead, dir]);
    await rig.ok("unmount", dead);
    expect(rig.mountPoints()).toEqual([dir]);
  });

  test("whose holder alone is killed unmounts in order", async () => {
    await using rig = await loggedRig();
    await rig.mount("demo", "mnt");
    const { pid } = await statusOf(rig);
    process.kill(pid, "SIGKILL");
    await ended(rig);
    expect(rig.mountPoints()).toEqual([]);
  });
});

describe.runIf(needs("fuse", "addon", "root"))("mount --foreground", () => {
  function foreground(rig: Rig, dir: string, ...options: readonly string[]): Running {
    return rig.start(["mount", "demo", dir, "--foreground", ...options]);
  }

  test.each(["SIGTERM", "SIGINT"] as const)("serves until %s, and exits with 0", async (signal) => {
    await using rig = await loggedRig();
    const dir = rig.path("mnt");
    await mkdir(dir);
    const running = foreground(rig, dir);
    await running.output(/is mounted at/);
    expect(await textOf(join(dir, "a.txt"))).toBe("first");
    const { pid } = await statusOf(rig);
    expect(pid).toBe(running.child.pid);
    running.child.kill(signal);
    const outcome = await running.ended;
    expect(outcome).toMatchObject({ code: 0, stdout: `${describeDemo(dir)}\n` });
    expect(rig.mountPoints()).toEqual([]);
    await ended(rig);
    expect(leavings(rig)).toEqual([]);
  });

  test("ends at a SIGTERM at any moment of its start and leaves no mount", async () => {
    await using rig = await loggedRig();
    const dir = rig.path("mnt");
    await mkdir(dir);
    for (let at = 0; at < 16; at++) {
      const running = foreground(rig, dir);
      // The moments are spread over the life of the command, the exec and the worker's start.
      await delay(100 + at * 20);
      running.child.kill("SIGTERM");
      const { code, signal } = await running.ended;
      expect(["0", "143", "SIGTERM"]).toContain(String(signal ?? code));
      expect(rig.mountPoints()).toEqual([]);
    }
    await ended(rig);
  });

  test("ends when it is unmounted from outside", async () => {
    await using rig = await loggedRig();
    const dir = rig.path("mnt");
    await mkdir(dir);
    const running = foreground(rig, dir);
    await running.until(mounted(rig, dir));
    await textOf(join(dir, "a.txt"));
    await run("umount", dir);
    expect((await running.ended).code).toBe(0);
    await ended(rig);
  });

  test("survives its worker", async () => {
    await using rig = await loggedRig();
    const dir = rig.path("mnt");
    await mkdir(dir);
    const running = foreground(rig, dir);
    await running.until(mounted(rig, dir));
    await textOf(join(dir, "a.txt"));
    await succeeded(rig, await killWorker(rig), 1);
    expect(await textOf(join(dir, "c.txt"))).toBe("third");
    running.child.kill("SIGTERM");
    expect((await running.ended).code).toBe(0);
  });

  test("that cannot be served fails with the reason's exit code and leaves no mount", async () => {
    await using rig = await loggedRig();
    await rig.mount("demo", "first");
    const home = rig.path("other");
    const other = { environment: { REFMOUNT_HOME: home } };
    await rig.start(["log", "demo", "--type", "t", "--ref", `file://${rig.path("data")}`], other)
      .ended;
    await run("rm", "-rf", join(home, "cache"));
    await run("ln", "-s", rig.path("home/cache"), join(home, "cache"));
    const dir = rig.path("mnt");
    await mkdir(dir);
    const running = rig.start(["mount", "demo", dir, "--foreground"], other);
    const outcome = await running.ended;
    expect(outcome).toMatchObject({
      code: 9,
      stderr: expect.stringMatching(/The cache folder .* is held by the process \d+/) as string,
    });
    expect(rig.mountPoints()).toEqual([rig.path("first")]);
  });

  test("of what is not there, or in a place that is taken, fails before anything is mounted", async () => {
    await using rig = await loggedRig();
    expect((await foreground(rig, rig.path("missing")).ended).code).toBe(3);
    const taken = await rig.mount("demo", "taken");
    expect((await foreground(rig, taken).ended).code).toBe(9);
    expect(rig.mountPoints()).toEqual([taken]);
  });

  test.each(["native", "fuse-native"])(
    "waits where a daemon serves, and SIGTERM unmounts its mount alone (%s)",
    async (driver) => {
      await using rig = await loggedRig();
      const first = await rig.mount("demo", "first");
      const dir = rig.path("mnt");
      await mkdir(dir);
      const running = foreground(rig, dir, "--driver", driver);
      await running.output(/is mounted at/);
      expect(await textOf(join(dir, "a.txt"))).toBe("first");
      expect((await statusOf(rig)).pid).not.toBe(running.child.pid);
      await succeeded(rig, 0, 2);
      running.child.kill("SIGTERM");
      expect((await running.ended).code).toBe(0);
      expect(rig.mountPoints()).toEqual([first]);
    },
  );

  test("ends where a daemon serves when it is unmounted, and not when a worker is killed", async () => {
    await using rig = await loggedRig();
    await rig.mount("demo", "first");
    const dir = rig.path("mnt");
    await mkdir(dir);
    const running = foreground(rig, dir);
    await running.output(/is mounted at/);
    await running.until(killWorker(rig).then((pid) => succeeded(rig, pid, 2)));
    expect(await textOf(join(dir, "b.txt"))).toBe("second");
    expect(running.child.exitCode).toBe(null);
    await rig.ok("unmount", dir);
    expect((await running.ended).code).toBe(0);
  });

  test("tells when the daemon that serves is killed as a whole", async () => {
    await using rig = await loggedRig();
    await rig.mount("demo", "first");
    const dir = rig.path("mnt");
    await mkdir(dir);
    const running = foreground(rig, dir);
    await running.output(/is mounted at/);
    await killDaemon(rig);
    expect(await running.ended).toMatchObject({
      code: 7,
      stderr: expect.stringMatching(/daemon that served .* was killed/) as string,
    });
    expect(rig.mountPoints()).toEqual([rig.path("first")]);
  });

  test("unmounts on a SIGTERM that comes as soon as it says that it mounted", async () => {
    await using rig = await loggedRig();
    await rig.mount("demo", "first");
    const dir = rig.path("mnt");
    await mkdir(dir);
    for (let at = 0; at < 5; at++) {
      const running = foreground(rig, dir);
      await running.output(/is mounted at/);
      running.child.kill("SIGTERM");
      expect(await running.ended).toMatchObject({ code: 0 });
      expect(rig.mountPoints()).toEqual([rig.path("first")]);
    }
  });

  test("unmounts on SIGTERM although a file is open, and says so", async () => {
    await using rig = await loggedRig();
    await rig.mount("demo", "first");
    const dir = rig.path("mnt");
    await mkdir(dir);
    const running = foreground(rig, dir);
    await running.output(/is mounted at/);
    await using _held = await Holding.open(join(dir, "a.txt"));
    running.child.kill("SIGTERM");
    expect(await running.ended).toMatchObject({
      code: 0,
      stderr: expect.stringMatching(/was still in use/) as string,
    });
    expect(rig.mountPoints()).toEqual([rig.path("first")]);
  });

  function describeDemo(dir: string): string {
    return `demo:v0 is mounted at ${dir} (3 files, 16 B)`;
  }
});

/** The worker, by its command line, also before it answers. */
async function workerOf(rig: Rig): Promise<number | undefined> {
  for (const pid of rig.processes()) {
    if (!existsSync(`/proc/${pid}/cmdline`)) continue;
    const words = String(await run("cat", `/proc/${pid}/cmdline`).catch(() => "")).split("\0");
    if (words[0]?.endsWith("node") === true && words.includes("daemon")) return pid;
  }
  return undefined;
}
