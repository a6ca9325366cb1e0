// Case 49 of the reference implementation, by what a reader and the disk see, not by its file names.
// Eviction and a full disk are in test/cache and test/e2e/local-bad-luck.test.ts.

import { createHash } from "node:crypto";
import { readdirSync } from "node:fs";
import { chmod, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { LogWorld } from "../support/log-world.js";
import { needs } from "../support/needs.js";
import { readFileElsewhere } from "../support/reader.js";
import { statusOf, until } from "../support/status.js";

const BYTES = Buffer.alloc(100_000, "some bytes ");
const SHA256 = createHash("sha256").update(BYTES).digest("hex");

/** A version of one object, and the one file that its bytes are kept in. */
async function logged(world: LogWorld): Promise<string> {
  world.s3.bucket("bkt").put("k/x.bin", BYTES);
  await world.log(["s3://bkt/k"]);
  return world.rig.path("home/cache/blobs", SHA256.slice(0, 2), SHA256);
}

describe.runIf(needs("fuse", "root"))("49: the cache", () => {
  test.each([
    ["cut", (blob: string) => truncate(blob, 99_999)],
    ["of other bytes", (blob: string) => writeFile(blob, Buffer.alloc(BYTES.length, "X"))],
  ])("does not take a file %s for a hit", async (_how, harm) => {
    await using world = await LogWorld.create();
    const blob = await logged(world);
    const first = await world.rig.mount("mnist", "mnt");
    expect(await readFileElsewhere(join(first, "x.bin"))).toEqual(BYTES);
    await world.rig.ok("unmount", first);
    await chmod(blob, 0o600);
    await harm(blob);
    const second = await world.rig.mount("mnist", "mnt");
    expect(await readFileElsewhere(join(second, "x.bin"))).toEqual(BYTES);
    expect(world.s3.counts().GetObject).toBe(2);
  });

  test("keeps one file for readers that come at once, by one fetch", async () => {
    await using world = await LogWorld.create();
    const blob = await logged(world);
    const mounts = [await world.rig.mount("mnist", "one"), await world.rig.mount("mnist", "two")];
    const held = world.s3.hold({ operation: "GetObject" });
    const reads = Promise.all(mounts.map((mount) => readFileElsewhere(join(mount, "x.bin"))));
    await held.arrived;
    held.release();
    expect(await reads).toEqual([BYTES, BYTES]);
    expect(world.s3.counts().GetObject).toBe(1);
    expect(await readFileElsewhere(blob)).toEqual(BYTES);
    expect((await statusOf(world.rig)).cache.usedBytes).toBe(BYTES.length);
  });

  test("shows no part of an object whose writer was killed", async () => {
    await using world = await LogWorld.create();
    await logged(world);
    const mount = await world.rig.mount("mnist", "mnt");
    // Half of it has come, and no more comes.
    world.s3.bytesPerSecond = 10_000;
    const reading = readFileElsewhere(join(mount, "x.bin"));
    const { workerPid } = await until(
      () => statusOf(world.rig),
      ({ fetches }) => (fetches[0]?.doneBytes ?? 0) > 0,
    );
    process.kill(workerPid, "SIGKILL");
    world.s3.bytesPerSecond = 0;
    expect(await reading).toEqual(BYTES);
    expect(readdirSync(world.rig.path("home/cache/tmp"))).toEqual([]);
  });
});
