// Blobs that have no place in the cache must not fill the disk by being open: neither in the worker nor
// in the kernel, which reads some by itself.

import { randomBytes } from "node:crypto";
import { mkdir, statfs } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { needs } from "../support/needs.js";
import { Holding, readFileElsewhere, run } from "../support/reader.js";
import { Rig } from "../support/rig.js";

const MIB = 1_048_576;

async function usedBytes(dir: string): Promise<number> {
  const { blocks, bfree, bsize } = await statfs(dir);
  return (blocks - bfree) * bsize;
}

describe.runIf(needs("fuse", "addon", "root"))("a data set larger than the cache", () => {
  test.each(["cached", "passthrough"])("is read on a disk with little room (%s)", async (io) => {
    await using rig = await Rig.create();
    const cache = rig.path("home/cache");
    await mkdir(cache, { recursive: true });
    await run("mount", "-t", "tmpfs", "-o", "size=40m,mode=0700", "tmpfs", cache);
    const contents = Array.from({ length: 8 }, () => randomBytes(8 * MIB));
    const files = contents.map((bytes, at) => [`${at}.bin`, bytes] as const);
    const data = await rig.tree("data", Object.fromEntries(files));
    await rig.ok("log", "demo", "--type", "dataset", "--ref", `file://${data}`);
    const dir = await rig.mount("demo", "mnt", "--io", io, "--cache-size", "10MB");
    {
      // One that stays open keeps what it has.
      await using _held = await Holding.open(join(dir, "7.bin"));
      for (const [name, bytes] of files) {
        expect((await readFileElsewhere(join(dir, name))).equals(bytes), name).toBe(true);
      }
    }
    if (io === "passthrough") expect(await usedBytes(cache)).toBeLessThan(20 * MIB);
    await rig.ok("unmount", dir);
  });
});
