import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { openHome } from "../../src/daemon/home.js";

const folder = mkdtempSync(join(tmpdir(), "refmount-home-"));
afterAll(() => rmSync(folder, { recursive: true }));

let made = 0;

function fresh(): string {
  const path = join(folder, String(++made));
  mkdirSync(path);
  return path;
}

function mode(path: string): number {
  return statSync(path).mode & 0o777;
}

test("a chosen home holds everything, for its owner only", () => {
  const root = join(fresh(), "deep/home");
  const home = openHome(root, {});
  expect(home).toMatchObject({
    root,
    registryPath: join(root, "registry.sqlite"),
    manifestsDir: join(root, "manifests"),
    cacheDir: join(root, "cache"),
    runDir: join(root, "run"),
    controlSocket: join(root, "run/control.sock"),
    logPath: join(root, "daemon.log"),
  });
  for (const made of [root, home.manifestsDir, home.cacheDir, home.runDir]) {
    expect(mode(made), made).toBe(0o700);
  }
});

test("--home is preferred to REFMOUNT_HOME, and an empty one counts as none", () => {
  const [one, other] = [fresh(), fresh()];
  expect(openHome(one, { REFMOUNT_HOME: other }).root).toBe(one);
  expect(openHome(undefined, { REFMOUNT_HOME: other }).root).toBe(other);
  const xdg = { HOME: one, XDG_RUNTIME_DIR: join(one, "runtime"), REFMOUNT_HOME: "" };
  expect(openHome(undefined, xdg).root).toBeNull();
});

test("without one the XDG folders are used, and the defaults below HOME", () => {
  const user = fresh();
  const runtime = join(user, "runtime");
  const home = openHome(undefined, { HOME: user, XDG_RUNTIME_DIR: runtime });
  expect(home.registryPath).toBe(join(user, ".local/share/refmount/registry.sqlite"));
  expect(home.cacheDir).toBe(join(user, ".cache/refmount"));
  expect(home.runDir).toBe(join(runtime, "refmount"));
  const data = openHome(undefined, {
    HOME: user,
    XDG_RUNTIME_DIR: runtime,
    XDG_DATA_HOME: join(user, "data"),
    XDG_CACHE_HOME: join(user, "cache"),
  });
  expect(data.registryPath).toBe(join(user, "data/refmount/registry.sqlite"));
  expect(data.cacheDir).toBe(join(user, "cache/refmount"));
});

test("a relative XDG folder is ignored: the daemon, which runs elsewhere, would find another", () => {
  const user = fresh();
  const home = openHome(undefined, {
    HOME: user,
    XDG_RUNTIME_DIR: join(user, "runtime"),
    XDG_DATA_HOME: "data",
    XDG_CACHE_HOME: "./cache",
  });
  expect(home.registryPath).toBe(join(user, ".local/share/refmount/registry.sqlite"));
  expect(home.cacheDir).toBe(join(user, ".cache/refmount"));
});

test("the sockets of a home that is too deep for one are in a short folder, always the same", () => {
  const root = join(fresh(), "deep/".repeat(30), "home");
  const home = openHome(root, {});
  expect(Buffer.byteLength(home.controlSocket)).toBeLessThan(108);
  expect(openHome(root, {}).controlSocket).toBe(home.controlSocket);
  expect(openHome(join(root, "x"), {}).runDir).not.toBe(home.runDir);
  rmSync(home.runDir, { recursive: true });
  rmSync(openHome(join(root, "x"), {}).runDir, { recursive: true });
});

test("a run folder that others may enter is closed to them", () => {
  const root = fresh();
  mkdirSync(join(root, "run"));
  chmodSync(join(root, "run"), 0o777);
  expect(mode(openHome(root, {}).runDir)).toBe(0o700);
});

test("a run folder that somebody else laid there is refused", () => {
  const root = fresh();
  symlinkSync(fresh(), join(root, "run"));
  expect(() => openHome(root, {})).toThrow(/is not a folder of yours; remove it or set/);
});

test("a home that cannot be made is a fault that says what to do", () => {
  const file = join(fresh(), "file");
  writeFileSync(file, "");
  expect(() => openHome(join(file, "home"), {})).toThrow(
    expect.objectContaining({
      kind: "denied",
      message: expect.stringMatching(/Cannot make the folder .*--home or REFMOUNT_HOME/) as string,
    }),
  );
});
