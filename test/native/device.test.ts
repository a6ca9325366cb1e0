import { execFileSync, spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { addon, holderPath } from "../../src/native/addon.js";
import { lacks } from "../support/needs.js";

const NOBODY = 65_534;
let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "refmount-device-"));
  chmodSync(dir, 0o755);
});
afterEach(() => rmSync(dir, { recursive: true }));

interface MountLine {
  readonly options: readonly string[];
  readonly type: string;
  readonly source: string;
  readonly superOptions: readonly string[];
}

/** The mount at `path` in the kernel's table. */
function mountAt(path: string): MountLine | undefined {
  const line = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((text) => text.split(" "))
    .find((fields) => fields[4] === path);
  if (line === undefined) return undefined;
  const [type = "", source = "", superOptions = ""] = line.slice(line.indexOf("-") + 1);
  return {
    options: (line[5] ?? "").split(","),
    type,
    source,
    superOptions: superOptions.split(","),
  };
}

describe.skipIf(lacks("root", "fuse"))("as root", () => {
  test("attach mounts read-only with the name given, and detach takes it away", () => {
    const fd = addon().attach(dir, { fsname: "entity/project/name:v3", allowOther: true });
    const mount = mountAt(dir);
    addon().detach(dir, false);
    addon().closeFd(fd);
    expect(mount?.type).toBe("fuse.refmount");
    expect(mount?.source).toBe("entity/project/name:v3");
    expect(mount?.options).toEqual(expect.arrayContaining(["ro", "nosuid", "nodev"]));
    expect(mount?.superOptions).toEqual(
      expect.arrayContaining(["default_permissions", "allow_other"]),
    );
    expect(mountAt(dir)).toBeUndefined();
  });

  test("without allowOther the mount is its owner's alone", () => {
    const fd = addon().attach(dir, { fsname: "x", allowOther: false });
    const mount = mountAt(dir);
    addon().detach(dir, true);
    addon().closeFd(fd);
    expect(mount?.superOptions).not.toContain("allow_other");
  });

  test("failures carry their code and path", () => {
    const options = { fsname: "x", allowOther: false };
    const missing = join(dir, "missing");
    expect(() => addon().attach(missing, options)).toThrow(
      expect.objectContaining({ code: "ENOENT", syscall: "mount", path: missing }),
    );
    expect(() => addon().detach(dir, false)).toThrow(expect.objectContaining({ code: "EINVAL" }));
  });
});

/** Runs `body` in a process of the user nobody; gives what it prints as JSON. */
function asNobody(body: string): unknown {
  const script = `
    const addon = require(${JSON.stringify(join(holderPath(), "../refmount.node"))});
    const fs = require("node:fs");
    const mounts = () => fs.readFileSync("/proc/self/mountinfo", "utf8").split("\\n")
      .filter((line) => line.includes(${JSON.stringify(dir)}));
    const attempt = (call) => {
      try { return call(); } catch ({ code, message, syscall }) { return { code, message, syscall }; }
    };
    console.log(JSON.stringify((() => { ${body} })()));`;
  const { stdout, stderr } = spawnSync(
    "setpriv",
    [
      "--reuid",
      `${NOBODY}`,
      "--regid",
      `${NOBODY}`,
      "--clear-groups",
      process.execPath,
      "-e",
      script,
    ],
    { encoding: "utf8" },
  );
  if (stdout === "") throw new Error(stderr);
  return JSON.parse(stdout);
}

describe.skipIf(lacks("root", "fuse", "fusermount3"))("as an unprivileged user", () => {
  let deviceMode: number;
  beforeAll(() => {
    deviceMode = statSync("/dev/fuse").mode & 0o777;
    // What distributions ship.
    chmodSync("/dev/fuse", 0o666);
  });
  afterAll(() => chmodSync("/dev/fuse", deviceMode));
  beforeEach(() => chownSync(dir, NOBODY, NOBODY));
  afterEach(() => {
    if (mountAt(dir) !== undefined) execFileSync("umount", ["-l", dir]);
  });

  test("fusermount3 mounts and hands over the device, and takes it away again", () => {
    const seen = asNobody(`
      const dir = ${JSON.stringify(dir)};
      const fd = addon.attach(dir, { fsname: "a,b\\\\c:v0", allowOther: false });
      const device = fs.readlinkSync("/proc/self/fd/" + fd);
      const mounted = mounts();
      addon.detach(dir, false);
      const left = mounts();
      const second = addon.attach(dir, { fsname: "x", allowOther: false });
      addon.detach(dir, true);
      return { device, mounted, left, lazily: mounts(), second };
    `) as { device: string; mounted: string[]; left: string[]; lazily: string[] };
    expect(seen.device).toBe("/dev/fuse");
    expect(seen.mounted).toHaveLength(1);
    expect(seen.mounted[0]).toContain(" fuse.refmount a,b\\134c:v0 ");
    expect(seen.mounted[0]).toMatch(/ ro,nosuid,nodev/);
    expect(seen.mounted[0]).toContain("default_permissions");
    expect(seen.left).toEqual([]);
    expect(seen.lazily).toEqual([]);
  });

  test("the device that comes from fusermount3 can be cloned by the user's holder", () => {
    const script = `
      const path = fs.mkdtempSync("/tmp/refmount-nobody-");
      const fd = addon.attach(${JSON.stringify(dir)}, { fsname: "x", allowOther: false });
      const child = require("node:child_process").spawn(${JSON.stringify(holderPath())},
        ["--socket", path + "/h", "--", process.execPath, "-e",
         "require('node:fs').writeFileSync(process.argv[1], ''); setInterval(() => 0, 1e6)", path + "/up"],
        { stdio: "ignore" });
      const cell = new Int32Array(new SharedArrayBuffer(4));
      while (!fs.existsSync(path + "/up")) Atomics.wait(cell, 0, 0, 5);
      const link = addon.connectHolder(path + "/h");
      const record = JSON.stringify({ directory: ${JSON.stringify(dir)} });
      const adopted = link.call("adopt m 2 64\\n" + record, [fd]).message;
      const [, holder] = link.call("ping", []).message.split(" ");
      // SIGTERM ends this worker as a crash: the holder detaches what it left.
      process.kill(Number(holder), "SIGTERM");
      let gone;
      while ((gone = attempt(() => link.call("ping", []))).code === undefined) Atomics.wait(cell, 0, 0, 5);
      fs.rmSync(path, { recursive: true });
      return { adopted, gone: gone.code, mounted: mounts() };`;
    expect(asNobody(script)).toEqual({ adopted: "ok 2", gone: "ECONNRESET", mounted: [] });
  });

  test("what fusermount3 refuses comes with its words and a code", () => {
    const elsewhere = join(dir, "root-owned");
    mkdirSync(elsewhere, { mode: 0o755 });
    expect(
      asNobody(`
        const attach = (dir) => attempt(() => addon.attach(dir, { fsname: "x", allowOther: false }));
        const dir = ${JSON.stringify(dir)};
        return [attach(${JSON.stringify(elsewhere)}), attach(dir + "/missing"),
          attempt(() => addon.detach(dir, false))];
      `),
    ).toEqual([
      expect.objectContaining({
        code: "EACCES",
        syscall: "fusermount3",
        message: expect.stringContaining("no write access") as unknown,
      }),
      expect.objectContaining({ code: "ENOENT", syscall: "fusermount3" }),
      expect.objectContaining({ code: "EINVAL", syscall: "fusermount3" }),
    ]);
  });

  test("a missing fusermount3 is ENOENT and says what to install", () => {
    expect(
      asNobody(`
        process.env.PATH = "/nonexistent";
        return attempt(() => addon.attach(${JSON.stringify(dir)}, { fsname: "x", allowOther: false }));
      `),
    ).toMatchObject({
      code: "ENOENT",
      syscall: "spawn",
      message: expect.stringContaining("fuse3") as unknown,
    });
  });
});
