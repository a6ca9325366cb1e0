// mount, unmount, status and run through the built command line and the native driver.

import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { lacks } from "../support/needs.js";
import { Rig } from "../support/rig.js";

interface Status {
  readonly pid: number | null;
  readonly workerPid: number | null;
  readonly mounts: readonly { readonly ref: string; readonly path: string }[];
  readonly cache: { readonly usedBytes: number | null; readonly limitBytes: number | null };
  readonly fetches: readonly object[];
  readonly errors: readonly { readonly path: string; readonly kind: string }[];
}

const FILES = { "a.txt": "hello", "late/b.txt": "later" };

async function logged(): Promise<Rig> {
  const rig = await Rig.create();
  const dir = await rig.tree("data", FILES);
  await rig.ok("log", "demo", "--type", "dataset", "--ref", `file://${dir}`);
  return rig;
}

// A mount is read by another process, never by the one that tests.
async function cat(path: string): Promise<string> {
  return (await promisify(execFile)("cat", [path])).stdout;
}

test("status without a daemon has the same keys", async () => {
  await using rig = await Rig.create();
  expect(await rig.ok("status")).toMatch(/^Nothing is mounted/);
  expect(await rig.json<Status>("status")).toEqual({
    pid: null,
    workerPid: null,
    mounts: [],
    cache: {
      dir: rig.path("home/cache"),
      usedBytes: null,
      limitBytes: null,
      hits: 0,
      misses: 0,
    },
    fetches: [],
    errors: [],
  });
  expect(rig.processes()).toEqual([]);
});

describe.skipIf(lacks("fuse", "root"))("with a mount", () => {
  test("mount returns when it is readable, unmount when it is gone", async () => {
    await using rig = await logged();
    await mkdir(rig.path("mnt"));
    const printed = await rig.ok("mount", "demo", "mnt");
    expect(printed).toBe(`demo:v0 is mounted at ${rig.path("mnt")} (2 files, 10 B)\n`);
    expect(await cat(rig.path("mnt/a.txt"))).toBe("hello");
    const status = await rig.json<Status>("status");
    expect(status).toMatchObject({
      pid: expect.any(Number) as number,
      workerPid: expect.any(Number) as number,
      mounts: [{ ref: "demo:v0", path: rig.path("mnt"), files: 2, bytes: 10, state: "serving" }],
      fetches: [],
      errors: [],
    });
    expect(await rig.ok("status")).toMatch(/^demo:v0 +\S+\/mnt +serving/m);
    expect(await rig.ok("unmount", "mnt")).toBe("");
    expect(rig.mountPoints()).toEqual([]);
    expect(await rig.run("umount", "mnt")).toMatchObject({ code: 3, stdout: "" });
  });

  test("mount --json prints where and what; the second mount there is busy", async () => {
    await using rig = await logged();
    await mkdir(rig.path("mnt"));
    expect(await rig.json("mount", "demo:latest", "mnt")).toMatchObject({
      ref: "demo:v0",
      version: "v0",
      path: rig.path("mnt"),
      files: 2,
      bytes: 10,
    });
    const again = await rig.run("mount", "demo", "mnt");
    expect(again).toMatchObject({ code: 9, stdout: "" });
    expect(again.stderr).toMatch(/already mounted/);
  });

  test("status names what went wrong, with the object and the reason", async () => {
    await using rig = await logged();
    const dir = await rig.mount("demo", "mnt");
    await writeFile(rig.path("data/late/b.txt"), "other");
    await expect(cat(`${dir}/late/b.txt`)).rejects.toThrow(/Stale file handle/);
    const { errors } = await rig.json<Status>("status");
    expect(errors[0]).toMatchObject({ path: "late/b.txt", kind: "drifted" });
    expect(await rig.ok("status")).toMatch(/drifted {2}demo:v0\/late\/b\.txt\n {4}\S+late\/b\.txt/);
  });
});

describe.skipIf(lacks("fuse", "root"))("run", () => {
  test("names the directory by {} and $REFMOUNT_DIR and exits with the command's code", async () => {
    await using rig = await logged();
    const script = 'test "$1" = "$REFMOUNT_DIR/a.txt" && cat "$1" && exit 7';
    const outcome = await rig.run("run", "demo", "--", "sh", "-c", script, "sh", "{}/a.txt");
    expect(outcome).toMatchObject({ code: 7, stdout: "hello", stderr: "" });
    expect(rig.mountPoints()).toEqual([]);
    expect(await readdir(rig.path("tmp"))).toEqual([]);
  });

  test("mounts where --at says and leaves the directory there", async () => {
    await using rig = await logged();
    await mkdir(rig.path("at"));
    const outcome = await rig.run(
      "run",
      "demo",
      "--at",
      "at",
      "--",
      "sh",
      "-c",
      "echo $REFMOUNT_DIR",
    );
    expect(outcome).toMatchObject({ code: 0, stdout: `${rig.path("at")}\n` });
    expect(existsSync(rig.path("at"))).toBe(true);
    expect(rig.mountPoints()).toEqual([]);
  });

  test("gives the command its own stdin and every argument as it is", async () => {
    await using rig = await logged();
    const running = rig.start(["run", "demo", "--", "cat", "-", "--", "/dev/null"], {
      input: "in",
    });
    expect(await running.ended).toMatchObject({ code: 0, stdout: "in" });
    const echo = await rig.run("run", "demo", "--", "printf", "%s|", "--json", "--", "-x", "");
    expect(echo.stdout).toBe("--json|--|-x||");
  });

  test.each([
    [["sh", "-c", "kill -9 $$"], 137],
    [["no-such-command-at-all"], 127],
    [["/dev/null"], 126],
  ])("%j ends with %d, and is unmounted", async (argv, code) => {
    await using rig = await logged();
    expect((await rig.run("run", "demo", "--", ...argv)).code).toBe(code);
    expect(rig.mountPoints()).toEqual([]);
  });

  test.each(["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"] as const)(
    "%s reaches the command, whose own code counts",
    async (signal) => {
      await using rig = await logged();
      const trap = `trap 'echo got; exit 3' ${signal.slice(3)}; echo ready; while :; do sleep 0.05; done`;
      const running = rig.start(["run", "demo", "--", "sh", "-c", trap]);
      await running.output(/ready/);
      running.child.kill(signal);
      expect(await running.ended).toMatchObject({ code: 3, stdout: "ready\ngot\n" });
      expect(rig.mountPoints()).toEqual([]);
    },
  );

  test("what the command left running does not keep it mounted, and that is said", async () => {
    await using rig = await logged();
    const script = "cd $REFMOUNT_DIR && sleep 60 >/dev/null 2>&1 & sleep 0.3; echo $!";
    const outcome = await rig.run("run", "demo", "--", "sh", "-c", script);
    process.kill(Number(outcome.stdout));
    expect(outcome.code).toBe(0);
    expect(outcome.stderr).toMatch(/was still in use; it is detached/);
    expect(rig.mountPoints()).toEqual([]);
  });

  test("a ref that is not there runs nothing", async () => {
    await using rig = await logged();
    const outcome = await rig.run("run", "nope", "--", "sh", "-c", "echo ran");
    expect(outcome).toMatchObject({ code: 3, stdout: "" });
    expect(await readdir(rig.path("tmp"))).toEqual([]);
    await rm(rig.path("data"), { recursive: true });
  });
});
