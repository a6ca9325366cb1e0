// Where a mount may go: real directories, real mounts, and mounts whose server is gone.

import { execFileSync } from "node:child_process";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { mountpointPath, prepareMountpoint, refuseMounted } from "../../src/daemon/mountpoint.js";
import { mountAt, readMountInfo } from "../../src/mount/mountinfo.js";
import { addon } from "../../src/native/addon.js";
import { lacks } from "../support/needs.js";

let folder: string;
const devices: number[] = [];

beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), "refmount-mountpoint-")));
});
afterEach(() => {
  for (const fd of devices.splice(0)) addon().closeFd(fd);
  for (const { mountPoint } of [...readMountInfo()].reverse()) {
    if (mountPoint.startsWith(folder)) execFileSync("umount", ["-l", mountPoint]);
  }
  rmSync(folder, { recursive: true });
});

function dir(name: string): string {
  const path = join(folder, name);
  mkdirSync(path, { recursive: true });
  return path;
}

/** Mounts without a server: nobody answers as long as the device is open. */
function attach(path: string): number {
  const fd = addon().attach(path, { fsname: "demo:v0", allowOther: false });
  devices.push(fd);
  return fd;
}

/** The mount's server is gone: "Transport endpoint is not connected". */
function die(fd: number): void {
  devices.splice(devices.indexOf(fd), 1);
  addon().closeFd(fd);
}

describe("the path of a mountpoint", () => {
  test("is absolute and without symlinks", async () => {
    const real = dir("real/inner");
    symlinkSync(join(folder, "real"), join(folder, "link"));
    symlinkSync(real, join(folder, "direct"));
    expect(await mountpointPath(join(folder, "link/inner"))).toBe(real);
    expect(await mountpointPath(join(folder, "direct"))).toBe(real);
    expect(await mountpointPath(join(folder, "real/../real/./inner/"))).toBe(real);
    expect(await mountpointPath("/")).toBe("/");
  });

  test("may be missing itself, but not the folder that it is in", async () => {
    expect(await mountpointPath(join(folder, "new"))).toBe(join(folder, "new"));
    await expect(mountpointPath(join(folder, "no/where"))).rejects.toMatchObject({
      kind: "not-found",
    });
  });

  test.skipIf(lacks("root", "fuse", "addon"))(
    "is found for a mount that does not answer",
    async () => {
      const path = dir("silent");
      attach(path);
      expect(await mountpointPath(path)).toBe(path);
      symlinkSync(folder, `${path}-link`);
      expect(await mountpointPath(join(`${path}-link`, "silent"))).toBe(path);
    },
  );
});

describe("a place for a mount", () => {
  test("is an empty directory, or with a note a full one", async () => {
    const path = dir("mnt");
    expect(await prepareMountpoint(path)).toEqual([]);
    writeFileSync(join(path, "file"), "");
    expect(await prepareMountpoint(path)).toEqual([expect.stringContaining("is not empty")]);
  });

  test("is not a file, nor missing", async () => {
    const file = join(folder, "file");
    writeFileSync(file, "");
    await expect(prepareMountpoint(file)).rejects.toMatchObject({ kind: "usage" });
    await expect(prepareMountpoint(join(folder, "none"))).rejects.toMatchObject({
      kind: "not-found",
      message: expect.stringContaining("make it first: mkdir -p") as string,
    });
  });

  test.skipIf(lacks("root"))("is not where another file system is", async () => {
    const path = dir("tmpfs");
    execFileSync("mount", ["-t", "tmpfs", "tmpfs", path]);
    await expect(prepareMountpoint(path)).rejects.toMatchObject({
      kind: "busy",
      message: expect.stringContaining("is a mountpoint already (tmpfs)") as string,
    });
  });

  test.skipIf(lacks("root", "fuse", "addon"))(
    "is not where a mount of ours is that does not answer, which is left alone",
    async () => {
      const path = dir("silent");
      attach(path);
      await expect(prepareMountpoint(path)).rejects.toMatchObject({
        kind: "busy",
        message: expect.stringMatching(
          /^demo:v0 is already mounted at .*refmount unmount/,
        ) as string,
      });
      expect(mountAt(path)).toBeDefined();
      // Nor inside it.
      await expect(prepareMountpoint(join(path, "inner"))).rejects.toMatchObject({ kind: "usage" });
    },
  );

  test.skipIf(lacks("root", "fuse", "addon"))(
    "is cleared of a dead mount of ours, with a note",
    async () => {
      const path = dir("dead");
      die(attach(path));
      expect(await prepareMountpoint(path)).toEqual([
        expect.stringMatching(/removed a dead mount .* at .*dead$/),
      ]);
      expect(mountAt(path)).toBeUndefined();
    },
  );

  test.skipIf(lacks("root", "fuse", "addon"))(
    "is told to be taken by what is mounted since",
    () => {
      const path = dir("taken");
      refuseMounted(path);
      attach(path);
      expect(() => refuseMounted(path)).toThrow(/already mounted/);
    },
  );
});

test.skipIf(lacks("root"))("a folder that may not be looked at is denied", async () => {
  const path = dir("closed/inner");
  chmodSync(join(folder, "closed"), 0o700);
  chmodSync(folder, 0o755);
  process.seteuid?.(65_534);
  try {
    await expect(prepareMountpoint(path)).rejects.toMatchObject({ kind: "denied" });
  } finally {
    process.seteuid?.(0);
  }
});
