// The whole job as a user without any rights, through fusermount3; and what users may not do to each
// other's daemon.

import { chmodSync, readFileSync, statSync } from "node:fs";
import { chmod, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { needs } from "../support/needs.js";
import { run } from "../support/reader.js";
import { Rig, type Outcome } from "../support/rig.js";
import type { StatusReport } from "../../src/daemon/protocol.js";

const NOBODY = 65534;
const AS_NOBODY = ["--reuid=65534", "--regid=65534", "--clear-groups"];

describe.runIf(needs("fuse", "addon", "root", "fusermount3"))("a user without rights", () => {
  // Distributions ship it open to all; a bare machine may not.
  const modeBefore = statSync("/dev/fuse").mode & 0o777;
  beforeAll(() => {
    chmodSync("/dev/fuse", 0o666);
  });
  afterAll(() => {
    chmodSync("/dev/fuse", modeBefore);
  });

  async function nobodysRig(): Promise<Rig> {
    const rig = await Rig.create();
    await rig.tree("data", { "a.txt": "first", "sub/b.txt": "second" });
    await mkdir(rig.path("mnt"));
    await run("chown", "-R", `${NOBODY}:${NOBODY}`, rig.dir);
    const logged = await nobody(
      rig,
      ...["log", "demo", "--type", "dataset", "--ref", `file://${rig.path("data")}`],
    );
    expect(logged).toMatchObject({
      code: 0,
      stderr: expect.not.stringMatching(/\bat \//) as string,
    });
    return rig;
  }

  /** Runs refmount as nobody. */
  function nobody(rig: Rig, ...args: readonly string[]): Promise<Outcome> {
    return rig.start(args, { uid: NOBODY, gid: NOBODY }).ended;
  }

  function readAsNobody(path: string): Promise<Buffer> {
    return run("setpriv", ...AS_NOBODY, "cat", path);
  }

  test("logs, mounts, reads, runs and unmounts in a home of his own", async () => {
    await using rig = await nobodysRig();
    const mnt = rig.path("mnt");
    expect(await nobody(rig, "mount", "demo", mnt)).toMatchObject({ code: 0, stderr: "" });
    expect(String(await readAsNobody(join(mnt, "sub/b.txt")))).toBe("second");
    const { stdout } = await nobody(rig, "--json", "status");
    const status = JSON.parse(stdout) as StatusReport;
    expect(status.mounts).toMatchObject([{ path: mnt, io: "cached", state: "serving" }]);
    expect(statSync(`/proc/${status.workerPid}`).uid).toBe(NOBODY);
    const owner = await run("setpriv", ...AS_NOBODY, "stat", "-c", "%u:%g", join(mnt, "a.txt"));
    expect(String(owner)).toBe(`${NOBODY}:${NOBODY}\n`);
    // Nobody else, not even root, reads a mount that was not opened to others.
    await expect(run("cat", join(mnt, "a.txt"))).rejects.toThrow(/Permission denied/);
    const cat = await nobody(rig, "run", "demo", "--", "cat", "{}/a.txt");
    expect(cat).toMatchObject({ code: 0, stdout: "first", stderr: "" });
    expect(await nobody(rig, "unmount", mnt)).toMatchObject({ code: 0, stderr: "" });
    expect(rig.mountPoints()).toEqual([]);
    await expect.poll(() => rig.processes(), { timeout: 10_000 }).toEqual([]);
  });

  test("asks for passthrough, gets the page cache, and is told", async () => {
    await using rig = await nobodysRig();
    const mnt = rig.path("mnt");
    expect(await nobody(rig, "mount", "demo", mnt, "--io", "passthrough")).toMatchObject({
      code: 0,
      stderr: expect.stringMatching(/passthrough needs .* root/) as string,
    });
    expect(String(await readAsNobody(join(mnt, "a.txt")))).toBe("first");
  });

  test("mounts in the foreground, and SIGTERM unmounts", async () => {
    await using rig = await nobodysRig();
    const mnt = rig.path("mnt");
    const running = rig.start(["mount", "demo", mnt, "--foreground"], { uid: NOBODY, gid: NOBODY });
    await running.output(/is mounted at/);
    expect(String(await readAsNobody(join(mnt, "a.txt")))).toBe("first");
    running.child.kill("SIGTERM");
    expect(await running.ended).toMatchObject({ code: 0 });
    expect(rig.mountPoints()).toEqual([]);
  });

  test("has his mounts taken over when his worker is killed, and replaced when all are", async () => {
    await using rig = await nobodysRig();
    const mnt = rig.path("mnt");
    await nobody(rig, "mount", "demo", mnt);
    const before = await statusOfNobody(rig);
    process.kill(before.workerPid, "SIGKILL");
    expect(String(await readAsNobody(join(mnt, "a.txt")))).toBe("first");
    const { pid, workerPid } = await statusOfNobody(rig);
    expect(workerPid).not.toBe(before.workerPid);
    process.kill(pid, "SIGSTOP");
    process.kill(workerPid, "SIGKILL");
    process.kill(pid, "SIGKILL");
    await expect.poll(() => rig.processes()).toEqual([]);
    expect(await nobody(rig, "mount", "demo", mnt)).toMatchObject({
      code: 0,
      stderr: expect.stringMatching(/removed a dead mount/) as string,
    });
    expect(String(await readAsNobody(join(mnt, "sub/b.txt")))).toBe("second");
    expect((await nobody(rig, "unmount", mnt)).code).toBe(0);
  });

  test.skipIf(/^user_allow_other/m.test(readConfiguration()))(
    "may not open a mount to others unless fuse.conf allows it, and is told in fusermount3's words",
    async () => {
      await using rig = await nobodysRig();
      const outcome = await nobody(rig, "mount", "demo", rig.path("mnt"), "--allow-other");
      expect(outcome).toMatchObject({
        code: 4,
        stdout: "",
        stderr: expect.stringMatching(/user_allow_other.*\/etc\/fuse\.conf/) as string,
      });
      expect(rig.mountPoints()).toEqual([]);
    },
  );

  test("may not mount where he may not write", async () => {
    await using rig = await nobodysRig();
    await mkdir(rig.path("roots"));
    expect(await nobody(rig, "mount", "demo", rig.path("roots"))).toMatchObject({
      code: 4,
      stderr: expect.stringMatching(/Cannot mount at .*roots/) as string,
    });
    expect(rig.mountPoints()).toEqual([]);
  });

  test("cannot talk to another user's daemon", async () => {
    await using rig = await Rig.create();
    const data = await rig.tree("data", { "a.txt": "first" });
    await rig.ok("log", "demo", "--type", "dataset", "--ref", `file://${data}`);
    const mnt = await rig.mount("demo", "mnt");
    await chmod(rig.dir, 0o755);
    for (const name of ["control.sock", "holder.sock"]) {
      expect(await connectAsNobody(rig.path("home/run", name))).toBe("EACCES");
    }
    expect((await nobody(rig, "unmount", mnt)).code).not.toBe(0);
    // Each socket is closed by itself, too, whatever became of the folders around it.
    for (const folder of ["home", "home/run"]) await chmod(rig.path(folder), 0o755);
    for (const name of ["control.sock", "holder.sock"]) {
      expect(await connectAsNobody(rig.path("home/run", name))).toBe("EACCES");
    }
    expect(rig.mountPoints()).toEqual([mnt]);
  });

  async function statusOfNobody(rig: Rig): Promise<StatusReport> {
    for (;;) {
      const { code, stdout } = await nobody(rig, "--json", "status");
      const status = JSON.parse(stdout) as Partial<StatusReport>;
      // Null while the worker is being started again.
      if (code === 0 && typeof status.workerPid === "number") return status as StatusReport;
    }
  }
});

/** The errno with which a connection fails, or "connected". */
async function connectAsNobody(path: string): Promise<string> {
  const kind = path.endsWith("holder.sock") ? "SOCK_SEQPACKET" : "SOCK_STREAM";
  const script = [
    "import errno, socket, sys",
    `s = socket.socket(socket.AF_UNIX, socket.${kind})`,
    "try:",
    "    s.connect(sys.argv[1]); print('connected')",
    "except OSError as e:",
    "    print(errno.errorcode[e.errno])",
  ].join("\n");
  // A Python of root's own may lie where nobody may not look.
  const said = await run("setpriv", ...AS_NOBODY, "/usr/bin/python3", "-I", "-c", script, path);
  return String(said).trim();
}

function readConfiguration(): string {
  try {
    return readFileSync("/etc/fuse.conf", "utf8");
  } catch {
    return "";
  }
}
