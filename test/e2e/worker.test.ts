// What must not end, hold up or mislead the process that serves all mounts.

import { once } from "node:events";
import {
  chmodSync,
  chownSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { mkdir } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { openSqlite } from "../../src/native/sqlite.js";
import { needs } from "../support/needs.js";
import { Holding, readFileElsewhere, run } from "../support/reader.js";
import { Rig } from "../support/rig.js";
import { statusOf, until } from "../support/status.js";

const UNKNOWN_UID = 54_321;

async function loggedRig(environment: Readonly<Record<string, string>> = {}): Promise<Rig> {
  const rig = await Rig.create(environment);
  const data = await rig.tree("data", { "a.txt": "first", "b.txt": "second", "c.txt": "third" });
  await rig.ok("log", "demo", "--type", "dataset", "--ref", `file://${data}`);
  return rig;
}

/** The only file in the folder of manifests with this ending. */
function manifestFile(rig: Rig, ending: string): string {
  const dir = join(rig.home, "manifests");
  const name = readdirSync(dir).find((each) => each.endsWith(ending));
  return join(dir, name ?? "none");
}

describe.runIf(needs("fuse", "addon", "root"))("the worker", () => {
  test("survives a damaged manifest row: only its file fails", async () => {
    await using rig = await loggedRig();
    const manifest = manifestFile(rig, ".manifest");
    chmodSync(manifest, 0o600);
    const db = openSqlite(manifest);
    db.exec("UPDATE entry SET uri = 'file:///elsewhere' WHERE path = 'a.txt'");
    db.close();
    const dir = await rig.mount("demo", "mnt");
    const { workerPid } = await statusOf(rig);
    const uri = run("getfattr", "-n", "user.refmount.uri", join(dir, "a.txt"));
    await expect(uri).rejects.toThrow(/No such attribute/);
    await expect(readFileElsewhere(join(dir, "a.txt"))).rejects.toThrow(/Input\/output error/);
    expect(String(await readFileElsewhere(join(dir, "b.txt")))).toBe("second");
    const status = await statusOf(rig);
    expect(status.workerPid).toBe(workerPid);
    expect(status.errors[0]).toMatchObject({ kind: "corrupt" });
  });

  test("takes mounts over although their index is gone, which it makes anew", async () => {
    await using rig = await loggedRig();
    const dir = await rig.mount("demo", "mnt");
    const index = manifestFile(rig, ".idx");
    rmSync(index);
    const { workerPid } = await statusOf(rig);
    await run("kill", "-9", String(workerPid));
    expect(String(await readFileElsewhere(join(dir, "a.txt")))).toBe("first");
    expect(existsSync(index)).toBe(true);
    expect((await statusOf(rig)).mounts).toMatchObject([{ path: dir, state: "serving" }]);
  });

  test("gives a mount up when its manifest is gone: readers get an error and do not wait", async () => {
    await using rig = await loggedRig({ REFMOUNT_GRACE_MS: "5000" });
    const dir = await rig.mount("demo", "mnt");
    await using _held = await Holding.open(join(dir, "a.txt"));
    rmSync(manifestFile(rig, ".manifest"));
    const { workerPid } = await statusOf(rig);
    await run("kill", "-9", String(workerPid));
    await until(
      () => rig.mountPoints(),
      (points) => points.length === 0,
    );
    expect(existsSync(join(dir, "a.txt"))).toBe(false);
    expect((await statusOf(rig)).mounts).toEqual([]);
  });

  test("ends in time although somebody uses the mount and a client is stopped", async () => {
    await using rig = await loggedRig();
    const dir = await rig.mount("demo", "mnt");
    const { pid } = await statusOf(rig);
    const client = connect(join(rig.home, "run/control.sock"));
    client.on("error", () => undefined);
    await once(client, "connect");
    await using _held = await Holding.open(join(dir, "a.txt"));
    const begun = performance.now();
    process.kill(pid, "SIGTERM");
    await until(
      () => rig.processes(),
      (pids) => pids.length === 0,
    );
    // A container gets ten seconds from its runtime.
    expect(performance.now() - begun).toBeLessThan(8_000);
    expect(rig.mountPoints()).toEqual([]);
    client.destroy();
  });

  test("takes the cache size that was asked for last", async () => {
    await using rig = await loggedRig();
    await rig.mount("demo", "one", "--cache-size", "300MB");
    expect((await statusOf(rig)).cache.limitBytes).toBe(300_000_000);
    await rig.mount("demo", "two");
    expect((await statusOf(rig)).cache.limitBytes).toBe(300_000_000);
    await rig.mount("demo", "three", "--cache-size", "200MB");
    expect((await statusOf(rig)).cache.limitBytes).toBe(200_000_000);
  });

  test("begins a new log when the old one has grown large", async () => {
    await using rig = await loggedRig();
    const log = join(rig.home, "daemon.log");
    writeFileSync(log, "old\n");
    truncateSync(log, 20_000_000);
    await rig.mount("demo", "mnt");
    expect(statSync(`${log}.1`).size).toBe(20_000_000);
    expect(readFileSync(log, "utf8")).toContain("demo:v0 is readable at");
  });

  test("writes to the log what readers met, and no secret of the shell that mounted", async () => {
    await using rig = await loggedRig({ AWS_SECRET_ACCESS_KEY: "very-secret" });
    const dir = await rig.mount("demo", "mnt");
    rmSync(rig.path("data/a.txt"));
    await expect(readFileElsewhere(join(dir, "a.txt"))).rejects.toThrow(/Stale file handle/);
    const log = readFileSync(join(rig.home, "daemon.log"), "utf8");
    expect(log).toMatch(/demo:v0 a\.txt: drifted: .*data\/a\.txt/);
    expect(log).not.toContain("very-secret");
  });
});

test("a user without an entry in /etc/passwd and without HOME can use refmount", async () => {
  await using rig = await Rig.create();
  await mkdir(rig.home);
  if (process.getuid?.() === 0) {
    for (const dir of [rig.dir, rig.home]) chownSync(dir, UNKNOWN_UID, UNKNOWN_UID);
  }
  const user = process.getuid?.() === 0 ? { uid: UNKNOWN_UID, gid: UNKNOWN_UID } : {};
  const listed = await rig.start(["ls"], { ...user, environment: { HOME: "" } }).ended;
  expect(listed).toMatchObject({ code: 0, stderr: "" });
});
