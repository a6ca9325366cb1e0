import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { mountAt, readMountInfo } from "../../src/mount/mountinfo.js";
import { requestsMayBeLost } from "../../src/mount/takeover.js";
import { lacks } from "../support/needs.js";

const folder = realpathSync(mkdtempSync(join(tmpdir(), "refmount-mountinfo-")));
afterAll(() => rmSync(folder, { recursive: true }));

const LINE =
  "36 35 0:52 / /data/mnist ro,nosuid,nodev shared:1 master:2 - fuse.refmount team/mnist:v3 ro,user_id=0";

test("of several mounts at one place the last one is seen", () => {
  const path = join(folder, "mountinfo");
  writeFileSync(path, `${LINE}\n${LINE.replace("fuse.refmount team/mnist:v3", "tmpfs none")}\n`);
  expect(mountAt("/data/mnist", readMountInfo(path))).toMatchObject({ fsType: "tmpfs" });
  expect(mountAt("/data", readMountInfo(path))).toBeUndefined();
});

test.skipIf(lacks("root"))("a real mount at an odd name is found", () => {
  const path = join(folder, "odd - name\t\n\\040é");
  mkdirSync(path);
  execFileSync("mount", ["-t", "tmpfs", "none", path]);
  try {
    expect(mountAt(path)).toMatchObject({ mountPoint: path, fsType: "tmpfs" });
  } finally {
    execFileSync("umount", [path]);
  }
  expect(mountAt(path)).toBeUndefined();
});

test("a kernel that sends requests again loses none to a dead server", () => {
  for (const release of ["6.9.0", "6.18.5-generic", "7.0-rc1", "10.1"]) {
    expect(requestsMayBeLost("/nowhere", { release }), release).toBe(false);
  }
});

test("an older kernel may have lost some, unless its table says that nobody waits", () => {
  const mountInfoPath = join(folder, "mountinfo");
  writeFileSync(mountInfoPath, `${LINE}\n`);
  const connectionsDir = join(folder, "connections");
  mkdirSync(join(connectionsDir, "52"), { recursive: true });
  const waiting = (count: string): boolean => {
    writeFileSync(join(connectionsDir, "52/waiting"), count);
    return requestsMayBeLost("/data/mnist", { release: "6.8.0", mountInfoPath, connectionsDir });
  };
  expect(waiting("3\n")).toBe(true);
  expect(waiting("0\n")).toBe(false);
  const other = { release: "5.15.0-1", mountInfoPath, connectionsDir };
  expect(requestsMayBeLost("/elsewhere", other)).toBe(true);
  rmSync(connectionsDir, { recursive: true });
  expect(requestsMayBeLost("/data/mnist", other)).toBe(true);
});
