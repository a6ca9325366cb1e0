// Which lane a path is on, and how long somebody waits for it. What real threads do under a dead
// server is in test/e2e/nfs.test.ts.

import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { deferred } from "../../src/model/deferred.js";
import { openFileStore } from "../../src/stores/file.js";
import { FileSystems, SilentFileSystem, type FileSystem } from "../../src/stores/file-systems.js";
import { formatFileUri } from "../../src/stores/uri.js";
import { collect, entryOf, listOptions } from "../contract/store.js";
import { FaultFs } from "../support/fault-fs.js";
import { lacks } from "../support/needs.js";

const PATIENCE = { timeoutMs: 10_000 };

let root: string;
let systems: FileSystems;

beforeEach(async () => {
  root = await realpath(await mkdtemp(join(tmpdir(), "refmount-systems-")));
  systems = new FileSystems();
});
afterEach(async () => {
  await rm(root, { recursive: true, force: true });
});

describe("a path without its links", () => {
  test.each([
    ["real/file", "real/file"],
    ["link/file", "real/file"],
    ["absolute/file", "real/file"],
    ["real/up/real/file", "real/file"],
    ["twice/./file", "real/file"],
    ["real", "real"],
  ])("%s is %s", async (path, real) => {
    await mkdir(join(root, "real"));
    await writeFile(join(root, "real/file"), "x");
    await symlink("real", join(root, "link"));
    await symlink(join(root, "real"), join(root, "absolute"));
    await symlink("..", join(root, "real/up"));
    await symlink("link/up/absolute", join(root, "twice"));
    expect(await systems.resolve(join(root, path), PATIENCE)).toBe(join(root, real));
  });

  test("that leads in a circle is ELOOP, one that leads nowhere ENOENT", async () => {
    await symlink("b", join(root, "a"));
    await symlink("a", join(root, "b"));
    await symlink("nowhere", join(root, "c"));
    await expect(systems.resolve(join(root, "a"), PATIENCE)).rejects.toMatchObject({
      code: "ELOOP",
    });
    await expect(systems.resolve(join(root, "c"), PATIENCE)).rejects.toMatchObject({
      code: "ENOENT",
    });
  });
});

describe.skipIf(lacks("root"))("a mount below", () => {
  beforeEach(async () => {
    await mkdir(join(root, "mnt"));
    execFileSync("mount", ["-t", "tmpfs", "none", join(root, "mnt")]);
  });
  afterEach(() => {
    execFileSync("umount", ["-l", join(root, "mnt")]);
  });

  test("is a file system of its own, seen through a link, too", async () => {
    await mkdir(join(root, "mnt/dir"));
    await symlink("mnt", join(root, "link"));
    const inside = systems.at(join(root, "mnt"));
    expect(inside.mount).toMatchObject({ mountPoint: join(root, "mnt"), fsType: "tmpfs" });
    expect(systems.at(join(root, "mnt/dir/file"))).toBe(inside);
    expect(systems.at(join(root, "mnt2"))).not.toBe(inside);
    expect(await systems.holding(join(root, "link/dir/file"), PATIENCE)).toBe(inside);
  });
});

describe("waiting for a file system", () => {
  const path = "/some/file";
  let fileSystem: FileSystem;
  beforeEach(() => {
    fileSystem = systems.at("/");
  });

  test("ends at the deadline, and a late result is discarded", async () => {
    const call = deferred<string>();
    const late = deferred<string>();
    const running = fileSystem.run(
      path,
      { timeoutMs: 10 },
      () => call.promise,
      (value) => {
        late.resolve(value);
      },
    );
    await expect(running).rejects.toThrow(SilentFileSystem);
    call.resolve("opened");
    expect(await late.promise).toBe("opened");
  });

  test("ends with the reason of the signal, before and after it began", async () => {
    const reason = new Error("enough");
    const controller = new AbortController();
    const running = fileSystem.run(path, { ...PATIENCE, signal: controller.signal }, () => {
      controller.abort(reason);
      return new Promise(() => undefined);
    });
    await expect(running).rejects.toBe(reason);
    let called = false;
    const never = fileSystem.run("/other", { ...PATIENCE, signal: controller.signal }, () => {
      called = true;
      return Promise.resolve();
    });
    await expect(never).rejects.toBe(reason);
    expect(called).toBe(false);
  });

  test("begins anew with progress", async () => {
    const call = deferred<string>();
    let steps = 0;
    const running = fileSystem.run(path, { timeoutMs: 200 }, (_lane, progress) => {
      const timer = setInterval(() => {
        progress();
        if (++steps < 10) return;
        clearInterval(timer);
        call.resolve("done");
      }, 50);
      return call.promise;
    });
    expect(await running).toBe("done");
  });

  test("is in turn for a file that was given up, and for nothing else", async () => {
    const first = deferred<string>();
    await expect(fileSystem.run(path, { timeoutMs: 1 }, () => first.promise)).rejects.toThrow();
    expect(await fileSystem.run("/other", PATIENCE, () => Promise.resolve("free"))).toBe("free");
    let called = false;
    const again = (): Promise<string> => {
      called = true;
      return Promise.resolve("again");
    };
    await expect(fileSystem.run(path, { timeoutMs: 20 }, again)).rejects.toThrow(SilentFileSystem);
    expect(called).toBe(false);
    const waiting = fileSystem.run(path, PATIENCE, again);
    first.resolve("late");
    expect(await waiting).toBe("again");
  });

  test("is for a place where all are taken, and the last one out makes room", async () => {
    const calls = Array.from({ length: 200 }, () => deferred<number>());
    let begun = 0;
    const running = calls.map(({ promise }, index) =>
      fileSystem.run(`/file${index}`, PATIENCE, () => {
        begun += 1;
        return promise;
      }),
    );
    await new Promise(setImmediate);
    expect(begun).toBeLessThan(100);
    for (const [index, call] of calls.entries()) call.resolve(index);
    expect(await Promise.all(running)).toEqual(calls.map((_call, index) => index));
  });
});

test.skipIf(lacks("root", "fuse", "python3"))(
  "a file of another machine is offered to nobody who would open it again",
  async () => {
    await mkdir(join(root, "behind"));
    await mkdir(join(root, "nas"));
    await writeFile(join(root, "behind/a"), "x");
    await using _ = await FaultFs.mount(join(root, "behind"), join(root, "nas"));
    const store = openFileStore({});
    for (const [folder, offered] of [
      ["behind", join(root, "behind/a")],
      ["nas", undefined],
    ] as const) {
      const uri = formatFileUri(join(root, folder));
      const [listed] = await collect(store.list(uri, listOptions()));
      if (listed === undefined) throw new Error("nothing listed");
      await using fetched = await store.fetch(entryOf(listed), null, new AbortController().signal);
      expect(fetched.localPath).toBe(offered);
    }
  },
);
