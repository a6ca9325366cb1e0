// Readers that wait for bytes, and everybody else meanwhile: the store holds its answers back until
// the test releases them, so nothing here depends on time.

import { createHash, randomBytes } from "node:crypto";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { needs } from "../support/needs.js";
import { readFileElsewhere, run } from "../support/reader.js";
import { Reading } from "../support/reading.js";
import { Rig } from "../support/rig.js";
import { startS3Double, type Held, type S3Double } from "../support/s3-double.js";
import { statusOf, until } from "../support/status.js";

const READERS = 50;
const COLD_FILES = 200;
const COLD_BYTES = 60_000;
const LARGE = randomBytes(20_000_000);
const SMALL = randomBytes(300_000);
const IO_MODES = ["cached", "passthrough"] as const;
/** Tells the world that a signal handler ran, in the middle of what was waited for. */
const INTERRUPTED = `
import os, signal, sys
class Caught(Exception): pass
def caught(number, frame): raise Caught()
signal.signal(signal.SIGTERM, caught)
def attempt(work):
    try: work(sys.argv[1])
    except Caught: sys.exit(42)
`;

/** A mounted version whose objects the store holds back. */
class World implements AsyncDisposable {
  readonly rig: Rig;
  readonly double: S3Double;
  readonly dir: string;
  readonly #readings: Reading[] = [];
  #held: Held | null = null;

  private constructor(rig: Rig, double: S3Double, dir: string) {
    this.rig = rig;
    this.double = double;
    this.dir = dir;
  }

  static async create(objects: Readonly<Record<string, Buffer>>, io = "cached"): Promise<World> {
    const double = await startS3Double();
    for (const [key, bytes] of Object.entries(objects)) double.bucket("data").put(key, bytes);
    const rig = await Rig.create(double.environment);
    await rig.ok("log", "demo", "--type", "t", "--ref", "s3://data");
    return new World(rig, double, await rig.mount("demo", "mnt", "--io", io));
  }

  path(key: string): string {
    return join(this.dir, key);
  }

  /** A process that reads an object through the mount. */
  cat(key: string): Reading {
    return this.watch(Reading.start(this.path(key)));
  }

  /** Ends `reading` with this world, if it has not ended by then. */
  watch(reading: Reading): Reading {
    this.#readings.push(reading);
    return reading;
  }

  /** From now on no object is answered until `release`. */
  hold(): Held {
    this.#held = this.double.hold({ operation: "GetObject" });
    return this.#held;
  }

  release(): void {
    this.#held?.release();
    this.#held = null;
  }

  gets(key: string): number {
    const { requests } = this.double;
    return requests.filter((seen) => seen.operation === "GetObject" && seen.key === key).length;
  }

  /** Settles when the kernel has at least `count` requests that wait for bytes. */
  async parked(count: number): Promise<void> {
    await until(
      async () => (await statusOf(this.rig)).mounts[0]?.parked ?? -1,
      (parked) => (count === 0 ? parked === 0 : parked >= count),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const reading of this.#readings) await reading[Symbol.asyncDispose]();
    this.release();
    await this.rig[Symbol.asyncDispose]();
    await this.double[Symbol.asyncDispose]();
  }
}

/** Settles when every one of `readings` is in the kernel, waiting. */
async function allWait(readings: readonly Reading[]): Promise<void> {
  await until(
    () => readings.filter((reading) => !reading.waits()).length,
    (others) => others === 0,
  );
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Makes the kernel forget the pages of a file, so that its next read comes to the daemon. */
async function forgetPages(path: string): Promise<void> {
  await run("dd", `if=${path}`, "iflag=nocache", "count=0", "status=none");
}

describe.runIf(needs("fuse", "addon", "root", "python3"))("readers of a cold file", () => {
  test.each(IO_MODES)("cost one fetch, however many they are (%s)", async (io) => {
    await using world = await World.create({ small: SMALL, large: LARGE }, io);
    for (const [key, bytes] of Object.entries({ small: SMALL, large: LARGE })) {
      const held = world.hold();
      const all = Array.from({ length: READERS }, () => world.cat(key));
      await held.arrived;
      if (io === "cached") await allWait(all);
      else await world.parked(READERS);
      world.release();
      for (const reading of all) {
        expect(await reading.ended).toMatchObject({ code: 0, sha256: sha256(bytes) });
      }
    }
    expect(world.gets("small")).toBe(1);
    expect((await statusOf(world.rig)).cache.misses).toBe(2);
  });

  test("get each their own part of it", async () => {
    await using world = await World.create({ large: LARGE });
    world.hold();
    const offsets = [0, 1, 4_095, 4_097, 1_048_575, 8_388_607, 12_345_678, 19_999_990, 19_999_999];
    const all = offsets.map((offset) => ({
      reading: world.watch(Reading.startAt(world.path("large"), offset, 1_000_000)),
      bytes: LARGE.subarray(offset, offset + 1_000_000),
    }));
    await world.parked(1);
    world.release();
    for (const { reading, bytes } of all) {
      expect(await reading.ended).toMatchObject({ code: 0, sha256: sha256(bytes) });
    }
    expect((await statusOf(world.rig)).cache.misses).toBe(1);
  });

  test.each(IO_MODES)("hold up nobody: 200 wait, warm files read (%s)", async (io) => {
    const cold = Object.fromEntries(
      Array.from({ length: COLD_FILES }, (_, index) => [`cold/${index}`, randomBytes(COLD_BYTES)]),
    );
    await using world = await World.create(
      { ...cold, "warm/large": LARGE, "warm/small": SMALL },
      io,
    );
    await readFileElsewhere(world.path("warm/large"));
    await readFileElsewhere(world.path("warm/small"));
    world.hold();
    const all = Object.entries(cold).map(([key, bytes]) => ({
      reading: world.cat(key),
      bytes,
    }));
    await world.parked(COLD_FILES);

    await forgetPages(world.path("warm/large"));
    const readsBefore = (await statusOf(world.rig)).mounts[0]?.reads ?? 0;
    expect((await readFileElsewhere(world.path("warm/large"))).equals(LARGE)).toBe(true);
    expect((await readFileElsewhere(world.path("warm/small"))).equals(SMALL)).toBe(true);
    if (io === "cached") {
      expect((await statusOf(world.rig)).mounts[0]?.reads).toBeGreaterThan(readsBefore);
    }
    const names = String(await run("ls", "-1U", world.path("cold"))).split("\n");
    expect(names.length - 1).toBe(COLD_FILES);
    await run("stat", world.path("warm/small"), world.path("cold/7"));
    expect(String(await run("find", world.dir, "-name", "missing"))).toBe("");
    await run("test", "!", "-e", world.path("nothing/here"));
    const { mounts, fetches } = await statusOf(world.rig);
    expect(mounts[0]?.parked).toBeGreaterThanOrEqual(COLD_FILES);
    expect(fetches.length).toBeGreaterThan(0);

    world.release();
    for (const { reading, bytes } of all) {
      expect(await reading.ended).toMatchObject({ code: 0, sha256: sha256(bytes) });
    }
    await world.parked(0);
    expect((await statusOf(world.rig)).cache.misses).toBe(COLD_FILES + 2);
  });

  const endings = IO_MODES.flatMap((io) =>
    (["SIGTERM", "SIGKILL", "SIGINT"] as const).map((signal) => ({ io, signal })),
  );
  test.each(endings)("end at once by $signal ($io)", async ({ io, signal }) => {
    await using world = await World.create({ small: SMALL }, io);
    const held = world.hold();
    const killed = world.cat("small");
    const other = world.cat("small");
    await held.arrived;
    if (io === "cached") await allWait([killed, other]);
    else await world.parked(2);
    killed.kill(signal);
    expect(await killed.ended).toMatchObject({ signal });
    // The fetch goes on, and the other one gets it.
    expect((await statusOf(world.rig)).fetches).toHaveLength(1);
    world.release();
    expect(await other.ended).toMatchObject({ code: 0, sha256: sha256(SMALL) });
    expect(world.gets("small")).toBe(1);
  });

  test.each([
    { what: "O_DIRECT read", io: "cached", call: "os.preadv(fd, [mmap.mmap(-1, 65536)], 0)" },
    { what: "open", io: "passthrough", call: "None" },
  ])("are interrupted by a signal that they handle: $what ($io)", async ({ io, call }) => {
    await using world = await World.create({ small: SMALL }, io);
    const held = world.hold();
    const script = `${INTERRUPTED}
import mmap
def work(path):
    fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
    ${call}
attempt(work)
`;
    const reading = world.watch(Reading.startPython(world.path("small"), script));
    await held.arrived;
    await world.parked(1);
    reading.kill("SIGTERM");
    expect(await reading.ended).toMatchObject({ code: 42, complaint: "" });
    await world.parked(0);
    world.release();
    expect((await readFileElsewhere(world.path("small"))).equals(SMALL)).toBe(true);
    expect(world.gets("small")).toBe(1);
  });
});

describe.runIf(needs("fuse", "addon", "root"))("a fetch in flight", () => {
  test("is shown by status with its object, its age and how far it is", async () => {
    await using world = await World.create({ "set/large": LARGE });
    const held = world.hold();
    const reading = world.cat("set/large");
    await held.arrived;
    const [first] = (await statusOf(world.rig)).fetches;
    expect(first).toMatchObject({
      uri: "s3://data/set/large",
      path: "set/large",
      sizeBytes: LARGE.length,
      doneBytes: 0,
    });
    const ageMs = first?.ageMs ?? 0;
    await expect
      .poll(async () => (await statusOf(world.rig)).fetches[0]?.ageMs)
      .toBeGreaterThan(ageMs);
    expect(await world.rig.ok("status")).toMatch(/FETCHING.*\n.*s3:\/\/data\/set\/large/);
    world.double.bytesPerSecond = 2_000_000;
    world.release();
    const done = async (): Promise<number> =>
      (await statusOf(world.rig)).fetches[0]?.doneBytes ?? LARGE.length;
    expect(await until(done, (bytes) => bytes > 0)).toBeLessThan(LARGE.length);
    world.double.bytesPerSecond = 0;
    expect(await reading.ended).toMatchObject({ code: 0, sha256: sha256(LARGE) });
    await expect.poll(async () => (await statusOf(world.rig)).fetches).toEqual([]);
  });
});

describe.runIf(needs("fuse", "addon", "root"))("unmounting while readers wait", () => {
  test.each(IO_MODES)(
    "is refused as busy, and with --force they get their bytes (%s)",
    async (io) => {
      await using world = await World.create({ small: SMALL }, io);
      const held = world.hold();
      const reading = world.cat("small");
      await held.arrived;
      await world.parked(1);
      const refused = await world.rig.run("unmount", world.dir);
      expect(refused).toMatchObject({ code: 9 });
      expect(refused.stderr).toMatch(/is in use.*--force/);
      await world.rig.ok("unmount", "--force", world.dir);
      expect(world.rig.mountPoints()).toEqual([]);
      world.release();
      expect(await reading.ended).toMatchObject({ code: 0, sha256: sha256(SMALL) });
      await expect.poll(() => world.rig.processes(), { timeout: 10_000 }).toEqual([]);
    },
  );

  test.each(IO_MODES)("with --force lets the daemon end when they are killed (%s)", async (io) => {
    await using world = await World.create({ small: SMALL }, io);
    const held = world.hold();
    const reading = world.cat("small");
    await held.arrived;
    await world.rig.ok("unmount", "--force", world.dir);
    reading.kill("SIGKILL");
    await reading.ended;
    await expect.poll(() => world.rig.processes(), { timeout: 10_000 }).toEqual([]);
  });

  test("by umount -f fails them at once, and the directory can be mounted again", async () => {
    await using world = await World.create({ small: SMALL });
    const held = world.hold();
    const reading = world.cat("small");
    await held.arrived;
    await allWait([reading]);
    // Aborts the connection first; the mount itself may still be busy then.
    await run("umount", "-f", world.dir).catch(() => undefined);
    const outcome = await reading.ended;
    expect(outcome.code).toBe(1);
    expect(outcome.complaint).toMatch(/not connected|connection abort|Input\/output error/);
    await expect.poll(async () => (await statusOf(world.rig)).mounts).toEqual([]);
    world.release();
    await world.rig.ok("mount", "demo", world.dir);
    expect((await readFileElsewhere(world.path("small"))).equals(SMALL)).toBe(true);
    expect((await stat(world.dir)).isDirectory()).toBe(true);
  });
});
