import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { addon, holderPath } from "../../src/native/addon.js";

let dir: string;
let path: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "refmount-files-"));
  path = join(dir, "file");
});
afterEach(() => rmSync(dir, { recursive: true }));

test("a lock is held by one until it is closed", () => {
  const fd = addon().lockFile(path);
  expect(fd).not.toBeNull();
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(addon().lockFile(path)).toBeNull();
  addon().closeFd(fd ?? -1);
  const again = addon().lockFile(path);
  expect(again).not.toBeNull();
  addon().closeFd(again ?? -1);
});

test("a lock ends with its process, however it ends", () => {
  const script = `
    const addon = require(${JSON.stringify(join(holderPath(), "../refmount.node"))});
    if (addon.lockFile(process.argv[1]) !== null) process.kill(process.pid, "SIGKILL");`;
  expect(spawnSync(process.execPath, ["-e", script, path]).signal).toBe("SIGKILL");
  const fd = addon().lockFile(path);
  expect(fd).not.toBeNull();
  addon().closeFd(fd ?? -1);
});

test("a lock file that cannot be made names the path", () => {
  expect(() => addon().lockFile(join(dir, "none", "lock"))).toThrow(
    expect.objectContaining({ code: "ENOENT", path: join(dir, "none", "lock") }),
  );
});

test("syncFs works on a directory and names what is missing", async () => {
  await addon().syncFs(dir);
  await expect(addon().syncFs(join(dir, "none"))).rejects.toMatchObject({ code: "ENOENT" });
});

test("closing a descriptor that is not open is EBADF", () => {
  expect(() => addon().closeFd(987_654)).toThrow(expect.objectContaining({ code: "EBADF" }));
});

test("exec becomes the program with its arguments, its environment and only the named descriptors", () => {
  const script = `
    const addon = require(${JSON.stringify(join(holderPath(), "../refmount.node"))});
    const fs = require("node:fs");
    const [kept, other] = [fs.openSync("/dev/zero"), fs.openSync("/dev/full")];
    process.env.MARK = "a mark";
    addon.exec("/bin/sh",
      ["-c", 'echo "$MARK" "$1"; readlink /proc/$$/fd/*; cat /proc/$$/status', "sh", "an argument"], [kept]);`;
  const { stdout, status, pid } = spawnSync(process.execPath, ["-e", script], { encoding: "utf8" });
  expect(status).toBe(0);
  expect(stdout.split("\n")[0]).toBe("a mark an argument");
  expect(stdout).toContain("/dev/zero");
  expect(stdout).not.toContain("/dev/full");
  expect(stdout).not.toContain("eventpoll");
  expect(stdout).toMatch(new RegExp(`^Pid:\\s+${pid}$`, "m"));
  // Node ignores some signals, and what it starts must not.
  expect(stdout).toMatch(/^SigIgn:\s+0+$/m);
});

test("an exec of what does not exist throws and changes nothing", () => {
  expect(() => addon().exec(join(dir, "none"), [], [])).toThrow(
    expect.objectContaining({ code: "ENOENT", syscall: "execve" }),
  );
});
