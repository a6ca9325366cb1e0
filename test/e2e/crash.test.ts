// Everything is killed with -9 at each step of a cold read, and under load: what the next start serves
// was checked, and nothing is left lying about.

import { createHash } from "node:crypto";
import { chmodSync, readdirSync, statSync, writeFileSync, readFileSync, rmSync } from "node:fs";
import { truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { call } from "../../src/daemon/channel.js";
import { needs } from "../support/needs.js";
import { readFileElsewhere, run } from "../support/reader.js";
import { Rig } from "../support/rig.js";
import { startS3Double, type S3Double } from "../support/s3-double.js";
import { SteadyReader } from "../support/steady-reader.js";
import { killDaemon, statusOf, until } from "../support/status.js";

const READY = needs("fuse", "addon", "root");

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Bytes that are the same in every run. */
function seededBytes(sizeBytes: number, seed: number): Buffer {
  const bytes = Buffer.alloc(sizeBytes);
  let state = seed;
  for (let at = 0; at + 4 <= sizeBytes; at += 4) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes.writeUInt32LE(state, at);
  }
  return bytes;
}

/** The blobs on disk, by name. */
function blobs(rig: Rig): Map<string, string> {
  const folder = rig.path("home/cache/blobs");
  return new Map(
    readdirSync(folder, { recursive: true, withFileTypes: true, encoding: "utf8" })
      .filter((item) => item.isFile() && /^[0-9a-f]{64}$/.test(item.name))
      .map((item) => [item.name, join(item.parentPath, item.name)]),
  );
}

function strayFiles(rig: Rig): string[] {
  const cache = rig.path("home/cache");
  const stray = readdirSync(join(cache, "blobs"), { recursive: true, encoding: "utf8" }).filter(
    (name) => !/^[0-9a-f]{2}(\/[0-9a-f]{64}(\.crc)?)?$/.test(name),
  );
  return [...stray, ...readdirSync(join(cache, "tmp"))];
}

/** What is on disk is what the cache says, all of it good, and nothing is half done. */
async function expectSoundCache(rig: Rig): Promise<void> {
  const names = blobs(rig);
  for (const [name, path] of names) expect(sha256(readFileSync(path))).toBe(name);
  const onDisk = [...names.values()].reduce((sum, path) => sum + statSync(path).size, 0);
  await until(
    async () => (await statusOf(rig)).cache.usedBytes,
    (usedBytes) => usedBytes === onDisk,
  );
  expect(strayFiles(rig)).toEqual([]);
}

async function expectSoundRegistry(rig: Rig): Promise<void> {
  const { versions } = await rig.json<{ versions: readonly unknown[] }>("ls", "demo");
  expect(versions).toHaveLength(1);
  const litter = readdirSync(rig.path("home/manifests")).filter((name) => name.startsWith("."));
  expect(litter).toEqual([]);
}

/** Has a mount, whose daemon is then killed, replaced by a new one. */
async function mountAgain(rig: Rig, dir: string, ...options: readonly string[]): Promise<void> {
  await killDaemon(rig);
  const outcome = await rig.run("mount", "demo", dir, ...options);
  expect(outcome).toMatchObject({
    code: 0,
    stderr: expect.stringMatching(/removed a dead mount/) as string,
  });
}

describe.runIf(READY)("a daemon that is killed with -9 while it fetches", () => {
  const small = seededBytes(300_000, 1);
  const large = seededBytes(40_000_000, 2);

  async function s3Rig(double: S3Double): Promise<{ rig: Rig; dir: string }> {
    const rig = await Rig.create(double.environment);
    const bucket = double.bucket("bucket");
    bucket.put("first.bin", seededBytes(100_000, 3));
    bucket.put("small.bin", small);
    bucket.put("large.bin", large);
    await rig.ok("log", "demo", "--type", "dataset", "--ref", "s3://bucket");
    const dir = await rig.mount("demo", "mnt", "--io", "cached");
    return { rig, dir };
  }

  test.each([
    ["small.bin", small],
    ["large.bin", large],
  ])("%s, before the first byte, leaves nothing of it", async (key, content) => {
    await using double = await startS3Double();
    const { rig, dir } = await s3Rig(double);
    await using _rig = rig;
    await readFileElsewhere(join(dir, "first.bin"));
    const held = double.hold({ operation: "GetObject", key });
    const reading = readFileElsewhere(join(dir, key)).then(
      () => "read",
      (error: unknown) => String(error),
    );
    await held.arrived;
    await mountAgain(rig, dir);
    expect(await reading).toMatch(/cat: /);
    expect(strayFiles(rig)).toEqual([]);
    held.release();
    expect((await readFileElsewhere(join(dir, key))).equals(content)).toBe(true);
    const { cache } = await statusOf(rig);
    expect(cache.misses).toBe(1);
    await expectSoundCache(rig);
    expect(blobs(rig).size).toBe(2);
    await expectSoundRegistry(rig);
  });

  test.each([
    ["small.bin", small, 100_000],
    ["large.bin", large, 3_000_000],
  ])(
    "%s, in the middle of its body, leaves nothing of it",
    async (key, content, stallAfterBytes) => {
      await using double = await startS3Double();
      const { rig, dir } = await s3Rig(double);
      await using _rig = rig;
      double.upset({ operation: "GetObject", key }, { stallAfterBytes }, 100);
      const reading = readFileElsewhere(join(dir, key)).then(
        () => "read",
        (error: unknown) => String(error),
      );
      const socket = rig.path("home/run/control.sock");
      await until(
        async () => (await call(socket, "status", {}))?.answer.fetches[0]?.doneBytes ?? 0,
        (doneBytes) => doneBytes >= (key === "small.bin" ? 1 : 1_000_000),
      );
      await mountAgain(rig, dir);
      expect(await reading).toMatch(/cat: /);
      expect(strayFiles(rig)).toEqual([]);
      double.calm();
      expect((await readFileElsewhere(join(dir, key))).equals(content)).toBe(true);
      await expectSoundCache(rig);
      await expectSoundRegistry(rig);
    },
  );
});

describe.runIf(READY)("what was cached before everything was killed with -9", () => {
  async function cachedRig(io: string): Promise<{ rig: Rig; dir: string }> {
    const rig = await Rig.create();
    const data = await rig.tree("data", {
      "small.bin": seededBytes(100_000, 4),
      "large.bin": seededBytes(6_000_000, 5),
    });
    await rig.ok("log", "demo", "--type", "dataset", "--ref", `file://${data}`);
    const dir = await rig.mount("demo", "mnt", "--io", io);
    for (const name of ["small.bin", "large.bin"]) await readFileElsewhere(join(dir, name));
    return { rig, dir };
  }

  test("is served without a fetch when it is whole", async () => {
    const { rig, dir } = await cachedRig("cached");
    await using _rig = rig;
    await mountAgain(rig, dir);
    rmSync(rig.path("data"), { recursive: true });
    const read = await readFileElsewhere(join(dir, "large.bin"));
    expect(read.equals(seededBytes(6_000_000, 5))).toBe(true);
    expect((await statusOf(rig)).cache.misses).toBe(0);
    await expectSoundCache(rig);
  });

  test.each([
    ["flipped", "cached", flip],
    ["flipped", "passthrough", flip],
    ["cut", "cached", (path: string) => truncate(path, 5000)],
    ["of zeros, as after a power failure,", "cached", zero],
    ["of zeros, as after a power failure,", "passthrough", zero],
    ["gone", "cached", (path: string) => rmSync(path)],
  ] as const)("and is %s by then is fetched anew (%s)", async (_how, io, harm) => {
    const { rig, dir } = await cachedRig(io);
    await using _rig = rig;
    await killDaemon(rig);
    for (const path of blobs(rig).values()) {
      chmodSync(path, 0o600);
      await harm(path);
    }
    await rig.ok("mount", "demo", dir, "--io", io);
    for (const [name, content] of [
      ["small.bin", seededBytes(100_000, 4)],
      ["large.bin", seededBytes(6_000_000, 5)],
    ] as const) {
      expect((await readFileElsewhere(join(dir, name))).equals(content)).toBe(true);
    }
    const { cache, errors } = await statusOf(rig);
    expect(cache.misses).toBe(2);
    expect(errors).toEqual([]);
    await expectSoundCache(rig);
  });

  test("is served with a lost ledger, and what the ledger said is not believed", async () => {
    const { rig, dir } = await cachedRig("cached");
    await using _rig = rig;
    await killDaemon(rig);
    for (const part of ["", "-wal", "-shm"]) {
      rmSync(rig.path(`home/cache/ledger.sqlite${part}`), { force: true });
    }
    await rig.ok("mount", "demo", dir);
    await expectSoundCache(rig);
    const read = await readFileElsewhere(join(dir, "small.bin"));
    expect(read.equals(seededBytes(100_000, 4))).toBe(true);
    expect((await statusOf(rig)).cache.misses).toBe(0);
  });

  function flip(path: string): void {
    const bytes = readFileSync(path);
    bytes[bytes.length - 7] = (bytes.at(-7) ?? 0) ^ 1;
    writeFileSync(path, bytes);
  }

  function zero(path: string): void {
    writeFileSync(path, Buffer.alloc(statSync(path).size));
  }
});

test.runIf(READY && needs("python3"))(
  "killed with -9 under load again and again, the cache stays sound and no reader sees a wrong byte",
  { timeout: 180_000 },
  async () => {
    await using rig = await Rig.create();
    const files: Record<string, Buffer> = {};
    const expected: Record<string, string> = {};
    for (let number = 0; number < 1500; number++) {
      const path = `${number % 7}/${number}.bin`;
      const sizeBytes = number % 100 === 0 ? 5_000_000 : 1000 + number * 40;
      files[path] = seededBytes(sizeBytes, number + 10);
      expected[path] = sha256(files[path]);
    }
    const data = await rig.tree("data", files);
    await writeFile(rig.path("expected.json"), JSON.stringify(expected));
    await rig.ok("log", "demo", "--type", "dataset", "--ref", `file://${data}`);
    const dir = await rig.mount("demo", "mnt", "--cache-size", "40MB");
    // Where in its work each daemon is killed: after so many rounds of its readers.
    for (const rounds of [1, 25, 7, 60, 3, 40]) {
      await using one = new SteadyReader(dir, rig.path("expected.json"));
      await using two = new SteadyReader(dir, rig.path("expected.json"));
      await until(
        () => one.rounds + two.rounds,
        (count) => count >= rounds,
      );
      await mountAgain(rig, dir, "--cache-size", "40MB");
      const reports = [await one.finish(), await two.finish()];
      // Without a daemon reads fail, of course; none may succeed with other bytes.
      for (const report of reports) expect(report.wrong).toEqual([]);
      const { cache } = await statusOf(rig);
      expect(cache.usedBytes).toBeLessThanOrEqual(cache.limitBytes);
      await expectSoundRegistry(rig);
    }
    await until(
      async () => (await statusOf(rig)).fetches.length,
      (fetches) => fetches === 0,
    );
    await expectSoundCache(rig);
    const sums = await run("sh", "-c", 'cd "$1" && find . -type f | xargs sha256sum', "sh", dir);
    const read = new Map(
      String(sums)
        .trimEnd()
        .split("\n")
        .map((line) => [line.slice(68), line.slice(0, 64)]),
    );
    expect(Object.fromEntries(read)).toEqual(expected);
  },
);

describe("log killed with -9", () => {
  test("in the middle leaves no version, and its litter goes with the next log", async () => {
    await using double = await startS3Double();
    await using rig = await Rig.create(double.environment);
    const bucket = double.bucket("bucket");
    for (let number = 0; number < 20; number++) bucket.put(`${number}.bin`, `content ${number}`);
    const held = double.hold({ operation: "GetObject", key: "13.bin" });
    const args = ["log", "demo", "--type", "dataset", "--ref", "s3://bucket", "--hash"];
    const running = rig.start(args);
    await running.until(held.arrived);
    running.child.kill("SIGKILL");
    await running.ended;
    held.release();
    expect(await rig.json("ls")).toEqual({ collections: [] });
    const manifests = rig.path("home/manifests");
    expect(readdirSync(manifests)).not.toEqual([]);
    expect(await rig.ok(...args)).toMatch(/^demo:v0/);
    const left = readdirSync(manifests).map((name) => name.replace(/^[0-9a-f]{64}/, "x"));
    expect(left.sort()).toEqual(["x.idx", "x.manifest"]);
    await expectSoundRegistry(rig);
  });

  test("while it lists leaves no version, too", async () => {
    await using double = await startS3Double();
    await using rig = await Rig.create(double.environment);
    const bucket = double.bucket("bucket");
    for (let number = 0; number < 1500; number++) bucket.put(`${number}.bin`, "x");
    const held = double.hold({ operation: "ListObjectVersions" });
    const args = ["log", "demo", "--type", "dataset", "--ref", "s3://bucket"];
    const running = rig.start(args);
    await running.until(held.arrived);
    running.child.kill("SIGKILL");
    await running.ended;
    held.release();
    expect(await rig.json("ls")).toEqual({ collections: [] });
    expect(await rig.ok(...args)).toMatch(/^demo:v0/);
    await expectSoundRegistry(rig);
  });
});
