// What a disk of its own is needed for: one that is full, and one that shares extents.

import { execFileSync, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  appendFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Cache } from "../../src/cache/cache.js";
import { receive } from "../../src/cache/receive.js";
import type { Entry } from "../../src/model/entry.js";
import { Fault } from "../../src/model/fault.js";
import { needs } from "../support/needs.js";
import { Folder, hashed, Origin, sha256 } from "./origin.js";

const MIB = 1_048_576;

let folder: Folder;
let origin: Origin;
let disk: string;
let mounted: boolean;

beforeEach(() => {
  folder = new Folder();
  origin = new Origin();
  disk = join(folder.path, "disk");
  mounted = false;
  mkdirSync(disk);
});

afterEach(() => {
  if (mounted) execFileSync("umount", [disk]);
  folder[Symbol.dispose]();
});

function mount(...options: readonly string[]): void {
  execFileSync("mount", [...options, disk]);
  mounted = true;
}

describe.runIf(needs("root"))("a full disk", () => {
  let cache: Cache;

  beforeEach(async () => {
    mount("-t", "tmpfs", "-o", "size=32m", "tmpfs");
    cache = await Cache.open({
      dir: join(disk, "cache"),
      limitBytes: 1024 * MIB,
      floorBytes: 0,
      onEvict: () => undefined,
      log: () => undefined,
    });
  });

  afterEach(async () => {
    await cache[Symbol.asyncDispose]();
  });

  const fill = async (name: string, bytes: Uint8Array): Promise<void> => {
    const options = { fetch: origin.fetch, timeoutMs: 5000 };
    (await cache.fill(hashed(name, bytes), options))[Symbol.dispose]();
  };

  it("is made room on in advance where its size tells", async () => {
    for (const name of ["a", "b", "c", "d", "e"]) await fill(name, origin.put(name, 10 * MIB));
    expect(cache.stats().usedBytes).toBe(20 * MIB);
    expect(origin.requests.filter(({ range }) => range === null)).toHaveLength(5);
  });

  it("in the middle of a fetch evicts and tries once more", async () => {
    await fill("a", origin.put("a", 10 * MIB));
    const bytes = origin.put("b", 10 * MIB);
    const release = origin.hold();
    const filling = fill("b", bytes);
    await origin.waiting(1);
    writeFileSync(join(disk, "other"), randomBytes(15 * MIB));
    release();
    await filling;
    expect(cache.stats().usedBytes).toBe(10 * MIB);
  });

  it("without anything to evict is a fault, and leaves no file", async () => {
    const bytes = origin.put("b", 10 * MIB);
    const release = origin.hold();
    const failed = expect(fill("b", bytes)).rejects.toMatchObject({ kind: "full" });
    await origin.waiting(1);
    writeFileSync(join(disk, "other"), randomBytes(25 * MIB));
    release();
    await failed;
    expect(readdirSync(join(disk, "cache", "tmp"))).toEqual([]);
    expect(cache.stats().fetches).toEqual([]);
  });
});

it.runIf(needs("root"))("a cache folder that cannot be written is refused", async () => {
  mount("-t", "tmpfs", "-o", "ro", "tmpfs");
  const options = { limitBytes: null, floorBytes: null, onEvict: () => undefined };
  const opening = Cache.open({ ...options, dir: join(disk, "cache"), log: () => undefined });
  await expect(opening).rejects.toMatchObject({ kind: "denied" });
});

describe("a local source", () => {
  const signal = new AbortController().signal;
  let source: string;
  let entry: Entry;

  function logSource(bytes: Uint8Array): void {
    source = join(disk, "source");
    writeFileSync(source, bytes);
    entry = hashed("source", bytes, { pin: {} });
    origin.put("source", bytes);
    const before = statSync(source);
    origin.answer = {
      pinned: false,
      localPath: source,
      confirm: () => {
        const now = statSync(source);
        return now.size === before.size && now.mtimeMs === before.mtimeMs
          ? Promise.resolve()
          : Promise.reject(new Fault("drifted", "it changed while it was read"));
      },
    };
  }

  const take = (): Promise<{ sha256: string }> =>
    receive(entry, origin.fetch, join(disk, "target"), { observed: null, timeoutMs: 5000, signal });

  it("that is changed while it is read is refused, even when the bytes read were right", async () => {
    logSource(randomBytes(3 * MIB));
    const release = origin.hold();
    const failed = expect(take()).rejects.toMatchObject({ kind: "drifted" });
    await origin.waiting(1);
    appendFileSync(source, "more");
    release();
    await failed;
    expect(readdirSync(disk)).toEqual(["source"]);
  });

  const reflinks = spawnSync("mkfs.xfs", ["-V"]).status === 0 && process.getuid?.() === 0;

  it.runIf(reflinks)(
    "is cloned where the file system shares extents, and hashed then",
    async () => {
      const image = join(folder.path, "image");
      execFileSync("truncate", ["-s", "400M", image]);
      execFileSync("mkfs.xfs", ["-q", "-m", "reflink=1", image]);
      mount("-o", "loop", image);
      const bytes = randomBytes(20 * MIB);
      logSource(bytes);
      expect((await take()).sha256).toBe(sha256(bytes));
      expect(statSync(join(disk, "target")).mode & 0o777).toBe(0o400);
      // Nothing was read from the store's body: it would have been held.
      const release = origin.hold();
      execFileSync("rm", ["-f", join(disk, "target")]);
      await take();
      expect(readFileSync(join(disk, "target")).equals(bytes)).toBe(true);
      appendFileSync(source, "more");
      execFileSync("rm", ["-f", join(disk, "target")]);
      origin.plan.length = 0;
      await expect(take()).rejects.toMatchObject({ kind: "drifted" });
      expect(readdirSync(disk)).toEqual(["source"]);
      release();
    },
  );
});
