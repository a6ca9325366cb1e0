// What can go wrong on the machine itself: folders, disks, databases and files that are not what they
// were. Whatever happens, a reader gets the logged bytes or an error, and the user gets a reason.

import { randomBytes } from "node:crypto";
import {
  closeSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import {
  appendFile,
  mkdir,
  open,
  rename,
  rm,
  symlink,
  truncate,
  writeFile,
} from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { call } from "../../src/daemon/channel.js";
import { openSqlite } from "../../src/native/sqlite.js";
import { needs } from "../support/needs.js";
import { readFileElsewhere, run } from "../support/reader.js";
import { Rig } from "../support/rig.js";
import { startS3Double } from "../support/s3-double.js";
import { statusOf, until } from "../support/status.js";

const READY = needs("fuse", "addon", "root");
const FILES = { "a.txt": "first", "b.txt": "second", "c.txt": "third", "sub/d.txt": "fourth" };

async function loggedRig(
  files: Readonly<Record<string, string | Uint8Array>> = FILES,
): Promise<Rig> {
  const rig = await Rig.create();
  await log(rig, await rig.tree("data", files));
  return rig;
}

async function log(rig: Rig, data: string): Promise<void> {
  await rig.ok("log", "demo", "--type", "dataset", "--ref", `file://${data}`);
}

/** What a reader of `path` gets: the text, or its complaint. */
function outcomeOf(path: string): Promise<string> {
  return readFileElsewhere(path).then(String, (error: unknown) => `failed: ${String(error)}`);
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true, encoding: "utf8" })
    .filter((item) => item.isFile())
    .map((item) => join(item.parentPath, item.name));
}

function sealed(rig: Rig, extension: "manifest" | "idx"): string {
  const found = filesBelow(rig.path("home/manifests")).filter((path) =>
    path.endsWith(`.${extension}`),
  );
  expect(found).toHaveLength(1);
  return found[0] ?? "";
}

async function overwriteAt(path: string, offset: number, text: string): Promise<void> {
  await using file = await open(path, "r+");
  await file.write(text, offset);
}

/** Flips one bit. */
function flip(path: string, offset: number): void {
  const fd = openSync(path, "r+");
  const byte = Buffer.alloc(1);
  readSync(fd, byte, 0, 1, offset);
  byte[0] = (byte[0] ?? 0) ^ 0x10;
  writeSync(fd, byte, 0, 1, offset);
  closeSync(fd);
}

describe.runIf(READY)("a cache folder", () => {
  test("that cannot be written is denied before anything is mounted", async () => {
    await using rig = await loggedRig();
    const cache = rig.path("home/cache");
    await mkdir(cache, { recursive: true });
    await run("mount", "--bind", cache, cache);
    await run("mount", "-o", "remount,bind,ro", cache);
    await mkdir(rig.path("mnt"));
    expect(await rig.run("mount", "demo", rig.path("mnt"))).toMatchObject({
      code: 4,
      stderr: expect.stringMatching(/Cannot write .*home\/cache.*writable/) as string,
    });
    expect(rig.mountPoints()).toEqual([cache]);
    await run("umount", cache);
    const dir = await rig.mount("demo", "mnt");
    expect(await outcomeOf(join(dir, "a.txt"))).toBe("first");
  });

  test("that becomes read-only goes on serving what is in it, and the rest is an error", async () => {
    await using rig = await loggedRig();
    const dir = await rig.mount("demo", "mnt", "--io", "cached");
    expect(await outcomeOf(join(dir, "a.txt"))).toBe("first");
    const cache = rig.path("home/cache");
    await run("mount", "--bind", cache, cache);
    await run("mount", "-o", "remount,bind,ro", cache);
    await run("sh", "-c", "echo 3 > /proc/sys/vm/drop_caches");
    expect(await outcomeOf(join(dir, "a.txt"))).toBe("first");
    expect(await outcomeOf(join(dir, "b.txt"))).toMatch(/^failed: /);
    await run("umount", "-l", cache);
    await expect.poll(() => outcomeOf(join(dir, "b.txt")), { timeout: 5000 }).toBe("second");
  });

  test("that is removed while mounted costs a fetch and nothing else", async () => {
    await using rig = await loggedRig();
    const dir = await rig.mount("demo", "mnt", "--io", "cached");
    expect(await outcomeOf(join(dir, "a.txt"))).toBe("first");
    await rm(rig.path("home/cache/blobs"), { recursive: true });
    await rm(rig.path("home/cache/tmp"), { recursive: true });
    await run("sh", "-c", "echo 3 > /proc/sys/vm/drop_caches");
    for (const [path, text] of Object.entries(FILES)) {
      expect(await outcomeOf(join(dir, path))).toBe(text);
    }
  });

  test("of another daemon is busy, named with its process, and free when that one ends", async () => {
    await using rig = await loggedRig();
    const first = await rig.mount("demo", "first");
    const home = rig.path("second-home");
    const cache = ["--home", home];
    await rig.ok(...cache, "log", "demo", "--type", "t", "--ref", `file://${rig.path("data")}`);
    await rm(join(home, "cache"), { recursive: true, force: true });
    await symlink(rig.path("home/cache"), join(home, "cache"));
    await mkdir(rig.path("second"));
    const { workerPid } = await statusOf(rig);
    const refused = await rig.run(...cache, "mount", "demo", rig.path("second"));
    expect(refused).toMatchObject({
      code: 9,
      stderr: expect.stringContaining(`is held by the process ${workerPid}`) as string,
    });
    expect(rig.mountPoints()).toEqual([first]);
    await rig.ok("unmount", first);
    await until(
      () => rig.run(...cache, "mount", "demo", rig.path("second")),
      ({ code }) => code === 0,
    );
    expect(await outcomeOf(rig.path("second/a.txt"))).toBe("first");
    // Its daemon has another home in its environment than the rig looks for.
    await rig.ok(...cache, "unmount", rig.path("second"));
  });
});

describe.runIf(READY)("room", () => {
  const large = randomBytes(5_000_000);

  test("for less than one object fails no read and is not exceeded", async () => {
    await using rig = await loggedRig({ ...FILES, "large.bin": large });
    const dir = await rig.mount("demo", "mnt", "--cache-size", "1MB");
    for (let epoch = 0; epoch < 2; epoch++) {
      expect((await readFileElsewhere(join(dir, "large.bin"))).equals(large)).toBe(true);
      for (const [path, text] of Object.entries(FILES)) {
        expect(await outcomeOf(join(dir, path))).toBe(text);
      }
      await run("sh", "-c", "echo 3 > /proc/sys/vm/drop_caches");
    }
    const { cache, errors } = await statusOf(rig);
    expect(errors).toEqual([]);
    expect(cache.limitBytes).toBe(1_000_000);
    expect(cache.usedBytes).toBe(Object.values(FILES).join("").length);
    expect(bytesBelow(rig.path("home/cache/blobs"))).toBe(cache.usedBytes);
    await rig.ok("unmount", dir);
    await until(
      () => rig.processes(),
      (processes) => processes.length === 0,
    );
    expect(readdirSync(rig.path("home/cache/tmp"))).toEqual([]);
  });

  test("that is not on the disk is ENOSPC for that file alone and leaves nothing", async () => {
    const huge = randomBytes(20_000_000);
    await using rig = await loggedRig({ ...FILES, "huge.bin": huge });
    const cache = rig.path("home/cache");
    await mkdir(cache, { recursive: true });
    await run("mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", cache);
    const dir = await rig.mount("demo", "mnt");
    expect(await outcomeOf(join(dir, "a.txt"))).toBe("first");
    expect(await outcomeOf(join(dir, "huge.bin"))).toMatch(/No space left on device/);
    const { errors, fetches } = await statusOf(rig);
    expect(fetches).toEqual([]);
    expect(errors[0]).toMatchObject({ path: "huge.bin", kind: "full" });
    expect(readdirSync(join(cache, "tmp"))).toEqual([]);
    for (const [path, text] of Object.entries(FILES)) {
      expect(await outcomeOf(join(dir, path))).toBe(text);
    }
    await run("mount", "-o", "remount,size=64m", cache);
    await until(
      () => readFileElsewhere(join(dir, "huge.bin")).catch(() => null),
      (bytes) => bytes?.equals(huge) === true,
    );
  });
});

describe("a registry", () => {
  /** Holds the registry's database so that nobody else can even read it, as a backup might. */
  function locked(rig: Rig): Disposable {
    const database = openSqlite(rig.path("home/registry.sqlite"));
    database.pragma("locking_mode = EXCLUSIVE");
    database.exec("BEGIN EXCLUSIVE");
    return { [Symbol.dispose]: () => database.close() };
  }

  test("that another process keeps locked is busy after a while", async () => {
    await using rig = await loggedRig();
    using _lock = locked(rig);
    await mkdir(rig.path("mnt"));
    const outcomes = await Promise.all([
      rig.run("ls"),
      rig.run("mount", "demo", rig.path("mnt")),
      rig.run("log", "more", "--type", "t", "--ref", `file://${rig.path("data")}`),
    ]);
    for (const outcome of outcomes) {
      expect(outcome).toMatchObject({
        code: 9,
        stdout: "",
        stderr: expect.stringMatching(/The registry .* is locked by another process/) as string,
      });
    }
    expect(rig.mountPoints()).toEqual([]);
  });

  test("that another process writes can be read meanwhile", async () => {
    await using rig = await loggedRig();
    const database = openSqlite(rig.path("home/registry.sqlite"));
    database.exec("BEGIN IMMEDIATE");
    expect(await rig.ok("ls")).toMatch(/demo/);
    database.close();
  });

  test("of a newer version is refused and left as it is", async () => {
    await using rig = await loggedRig();
    const path = rig.path("home/registry.sqlite");
    const database = openSqlite(path);
    database.pragma("user_version = 1000");
    database.close();
    for (const args of [
      ["ls"],
      ["log", "x", "--type", "t", "--ref", `file://${rig.path("data")}`],
    ]) {
      expect(await rig.run(...args)).toMatchObject({
        code: 2,
        stderr: expect.stringMatching(/newer/) as string,
      });
    }
    const after = openSqlite(path);
    expect(after.pragma("user_version", { simple: true })).toBe(1000);
    after.close();
  });

  test.each([
    ["overwritten", (path: string) => writeFile(path, randomBytes(8192))],
    ["cut", (path: string) => truncate(path, 5000)],
  ])("that was %s is corrupt, and says so", async (_how, harm) => {
    await using rig = await loggedRig();
    await harm(rig.path("home/registry.sqlite"));
    await mkdir(rig.path("mnt"));
    expect(await rig.run("mount", "demo", rig.path("mnt"))).toMatchObject({
      code: 6,
      stderr: expect.stringMatching(/registry\.sqlite is damaged/) as string,
    });
    expect(rig.mountPoints()).toEqual([]);
  });
});

describe.runIf(READY)("a manifest", () => {
  test("with damaged rows fails the reads of those files alone", async () => {
    await using rig = await loggedRig();
    const database = openSqlite(sealed(rig, "manifest"));
    // Both say where real files are: other files than were logged under these names.
    database.exec(`
      UPDATE entry SET uri = (SELECT uri FROM entry WHERE path = 'c.txt'),
        digests = (SELECT digests FROM entry WHERE path = 'c.txt') WHERE path = 'a.txt';
      UPDATE entry SET path = 'b.txt2' WHERE path = 'b.txt';`);
    database.close();
    const dir = await rig.mount("demo", "mnt");
    expect(await outcomeOf(join(dir, "a.txt"))).toMatch(/Input\/output error/);
    expect(await outcomeOf(join(dir, "b.txt"))).toMatch(/Input\/output error/);
    expect(await outcomeOf(join(dir, "c.txt"))).toBe("third");
    expect(await outcomeOf(join(dir, "sub/d.txt"))).toBe("fourth");
    expect((await statusOf(rig)).errors[0]).toMatchObject({
      kind: "corrupt",
      message: expect.stringMatching(/manifest .* is damaged/) as string,
    });
    expect((await rig.run("download", "demo", rig.path("out"))).code).toBe(6);
  });

  test.each([
    ["a damaged header", (path: string) => overwriteAt(path, 0, "not a database")],
    ["its end cut off", (path: string) => truncate(path, 4096)],
    ["nothing in it", (path: string) => truncate(path, 0)],
    ["no file", (path: string) => rm(path)],
  ])("with %s is refused, and logging the same again mends it", async (_how, harm) => {
    await using rig = await loggedRig();
    await harm(sealed(rig, "manifest"));
    await mkdir(rig.path("mnt"));
    expect(await rig.run("mount", "demo", rig.path("mnt"))).toMatchObject({
      code: 6,
      stderr: expect.stringMatching(/log the same data again/) as string,
    });
    expect(rig.mountPoints()).toEqual([]);
    await log(rig, rig.path("data"));
    const dir = await rig.mount("demo:v0", "mnt");
    expect(await outcomeOf(join(dir, "a.txt"))).toBe("first");
  });

  test.each(["manifest", "idx"] as const)(
    "whose %s has one flipped bit anywhere gives right bytes or an error",
    { timeout: 120_000 },
    async (extension) => {
      await using rig = await loggedRig();
      const path = sealed(rig, extension);
      const whole = readFileSync(path);
      for (let at = 0; at < 12; at++) {
        // Anew each time: a damaged index may have been mended or dropped.
        rmSync(path, { force: true });
        writeFileSync(path, whole);
        flip(path, Math.floor(((at + 0.37) * whole.length) / 12));
        await mkdir(rig.path("mnt"), { recursive: true });
        const outcome = await rig.run("mount", "demo", rig.path("mnt"));
        if (outcome.code === 0) {
          for (const [name, text] of Object.entries(FILES)) {
            const got = await outcomeOf(rig.path("mnt", name));
            if (got !== text) expect(got).toMatch(/Input\/output error|No such file/);
          }
          await rig.ok("unmount", rig.path("mnt"));
        } else {
          expect(outcome.code).toBe(6);
        }
      }
    },
  );
});

describe.runIf(READY)("an inode index", () => {
  test.each([
    ["missing", (path: string) => rm(path)],
    ["of another length", (path: string) => appendFile(path, "x")],
    ["cut", (path: string) => truncate(path, 100)],
    ["empty", (path: string) => truncate(path, 0)],
    ["damaged in its header", (path: string) => overwriteAt(path, 20, "x")],
    ["of another manifest", (path: string) => overwriteAt(path, 70, "other")],
  ])("that is %s is compiled anew", async (_how, harm) => {
    await using rig = await loggedRig();
    await harm(sealed(rig, "idx"));
    const dir = await rig.mount("demo", "mnt");
    for (const [path, text] of Object.entries(FILES)) {
      expect(await outcomeOf(join(dir, path))).toBe(text);
    }
  });

  test("damaged in a record while mounted is EIO for that file alone", async () => {
    await using rig = await loggedRig();
    const dir = await rig.mount("demo", "mnt");
    // Nodes are numbered by depth and name: the root, a.txt, b.txt, ...
    flip(sealed(rig, "idx"), 128 + 48 * 2);
    expect(await outcomeOf(join(dir, "b.txt"))).toMatch(/Input\/output error/);
    expect(await outcomeOf(join(dir, "a.txt"))).toBe("first");
    expect(await outcomeOf(join(dir, "c.txt"))).toBe("third");
    expect(await outcomeOf(join(dir, "sub/d.txt"))).toBe("fourth");
    const { errors } = await statusOf(rig);
    expect(errors).toMatchObject([
      {
        kind: "corrupt",
        message: expect.stringMatching(/index .*unmount and mount again/) as string,
      },
    ]);
    await rig.ok("unmount", dir);
    await rig.ok("mount", "demo", dir);
    expect(await outcomeOf(join(dir, "b.txt"))).toBe("second");
  });

  test("cut while mounted is an error for what was in it, and the daemon lives on", async () => {
    await using rig = await loggedRig();
    const dir = await rig.mount("demo", "mnt");
    expect(await outcomeOf(join(dir, "a.txt"))).toBe("first");
    const { workerPid } = await statusOf(rig);
    await truncate(sealed(rig, "idx"), 0);
    expect(await outcomeOf(join(dir, "b.txt"))).toMatch(/Input\/output error/);
    const other = await rig.mount("demo", "mnt2");
    expect(await outcomeOf(join(other, "b.txt"))).toBe("second");
    expect((await statusOf(rig)).workerPid).toBe(workerPid);
  });
});

describe.runIf(READY)("a source file, while it is fetched,", () => {
  const SIZE_BYTES = 200 * 1_048_576;

  /** Beside the folder that is logged. */
  const replacementOf = (source: string): string => `${dirname(source)}.replacement`;

  /** A mount of one large file, and a reader of it whose fetch has begun. */
  async function fetching(rig: Rig): Promise<{ source: string; reading: Promise<string> }> {
    const data = await rig.tree("data", { "large.bin": randomBytes(1_000_000) });
    const source = join(data, "large.bin");
    await truncate(source, SIZE_BYTES);
    // Made before, since making it takes too much of the fetch's time.
    await writeFile(replacementOf(source), randomBytes(1_000_000));
    await truncate(replacementOf(source), SIZE_BYTES);
    await log(rig, data);
    const dir = await rig.mount("demo", "mnt", "--io", "cached");
    const reading = run("sh", "-c", 'sha256sum < "$1"', "sh", join(dir, "large.bin")).then(
      String,
      (error: unknown) => `failed: ${String(error)}`,
    );
    // By the socket itself: starting a command takes too much of the fetch's time.
    const socket = rig.path("home/run/control.sock");
    await until(
      async () => (await call(socket, "status", {}))?.answer.fetches[0]?.doneBytes ?? 0,
      (doneBytes) => doneBytes > 0 && doneBytes < SIZE_BYTES,
    );
    return { source, reading };
  }

  test.each([
    ["truncated", (path: string) => truncate(path, 1_000_000)],
    ["changed at its end", (path: string) => overwriteAt(path, SIZE_BYTES - 10, "changed")],
    ["changed where it was read already", (path: string) => overwriteAt(path, 10, "changed")],
    ["grown", (path: string) => appendFile(path, "more")],
    ["removed", (path: string) => rm(path)],
    ["replaced", (path: string) => rename(replacementOf(path), path)],
  ])("%s is refused with ESTALE and never served", async (_how, harm) => {
    await using rig = await Rig.create();
    const { source, reading } = await fetching(rig);
    await harm(source);
    expect(await reading).toMatch(/Stale file handle/);
    const { errors, cache } = await statusOf(rig);
    expect(errors[0]).toMatchObject({ path: "large.bin", kind: "drifted" });
    expect(cache.usedBytes).toBe(0);
    expect(filesBelow(rig.path("home/cache/blobs"))).toEqual([]);
    expect(readdirSync(rig.path("home/cache/tmp"))).toEqual([]);
  });

  test("left alone is served", async () => {
    await using rig = await Rig.create();
    const { source, reading } = await fetching(rig);
    const expected = String(await run("sh", "-c", 'sha256sum < "$1"', "sh", source));
    expect(await reading).toBe(expected);
  });
});

describe("a path in a manifest", () => {
  test.each([
    ["climbs", "../up"],
    ["climbs inside", "a/../../up"],
    ["is absolute", "/etc"],
  ])("that %s is refused when logging", async (_how, path) => {
    await using rig = await Rig.create();
    const data = await rig.tree("data", FILES);
    const outcome = await rig.run("log", "x", "--type", "t", "--ref", `${path}=file://${data}`);
    expect(outcome.code).toBe(2);
    expect(await rig.json("ls")).toEqual({ collections: [] });
  });

  test.each(["../up", "a/../../up", "a/..", "..", "."])(
    "that is the key %j of a bucket is refused when logging",
    async (key) => {
      await using double = await startS3Double();
      await using rig = await Rig.create(double.environment);
      double.bucket("bucket").put(key, "x");
      double.bucket("bucket").put("fine", "x");
      const outcome = await rig.run("log", "x", "--type", "t", "--ref", "s3://bucket");
      expect(outcome).toMatchObject({ code: 2, stdout: "" });
      expect(await rig.json("ls")).toEqual({ collections: [] });
    },
  );

  test("that has empty parts lands inside", async () => {
    await using rig = await Rig.create();
    const data = await rig.tree("data", FILES);
    for (const path of ["etc//", "./etc"]) {
      await rig.ok("log", "x", "--type", "t", "--ref", `${path}=file://${data}`);
      expect(await rig.ok("ls", "x", "etc")).toMatch(/a\.txt/);
    }
  });

  test("that is a file where another needs a folder is refused when logging", async () => {
    await using rig = await Rig.create();
    const data = await rig.tree("data", FILES);
    const outcome = await rig.run(
      ...["log", "x", "--type", "t", "--ref", `x=file://${data}/a.txt`],
      ...["--ref", `x/a.txt=file://${data}`],
    );
    expect(outcome.code).toBe(2);
    expect(await rig.json("ls")).toEqual({ collections: [] });
  });
});

function bytesBelow(folder: string): number {
  return filesBelow(folder).reduce((sum, path) => sum + statSync(path).size, 0);
}
