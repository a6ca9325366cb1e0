import { randomBytes } from "node:crypto";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Blob, CacheUse, FillOptions } from "../../src/cache/cache.js";
import { Cache, type CacheOptions } from "../../src/cache/cache.js";
import type { Entry } from "../../src/model/entry.js";
import { Fault } from "../../src/model/fault.js";
import { flipped, Folder, hashed, md5, Origin, pinned, sha256 } from "./origin.js";

const MIB = 1_048_576;

let folder: Folder;
let dir: string;
let origin: Origin;
let cache: Cache;
let log: string[];
let evicted: string[];

beforeEach(async () => {
  folder = new Folder();
  dir = join(folder.path, "cache");
  origin = new Origin();
  log = [];
  evicted = [];
  cache = await open();
});

afterEach(async () => {
  await cache[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

function open(options: Partial<CacheOptions> = {}): Promise<Cache> {
  return Cache.open({
    dir,
    limitBytes: 100 * MIB,
    floorBytes: 0,
    onEvict: (sha) => evicted.push(sha),
    log: (line) => log.push(line),
    ...options,
  });
}

async function reopen(options: Partial<CacheOptions> = {}): Promise<void> {
  await cache[Symbol.asyncDispose]();
  cache = await open(options);
  await cache.idle();
}

/** Reopens as after a crash: the folder as it stood while the cache was open. */
async function crash(change: (dir: string) => void = () => undefined): Promise<void> {
  const left = join(folder.path, "left");
  // A copy, since this process cannot lose its own lock and connections as a dead one does.
  cpSync(dir, left, { recursive: true });
  await cache[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true });
  renameSync(left, dir);
  change(dir);
  cache = await open();
}

const filling = (options: Partial<FillOptions> = {}): FillOptions => ({
  fetch: origin.fetch,
  timeoutMs: 5000,
  ...options,
});

async function fill(entry: Entry, options: Partial<FillOptions> = {}): Promise<Blob> {
  const blob = await cache.fill(entry, filling(options));
  blob[Symbol.dispose]();
  return blob;
}

const pathOf = (bytes: Uint8Array): string => {
  const name = sha256(bytes);
  return join(dir, "blobs", name.slice(0, 2), name);
};

describe("a fill", () => {
  it("fetches once, checks, and serves from disk from then on", async () => {
    const bytes = origin.put("a", 10_000);
    for (let round = 0; round < 3; round++) {
      const blob = await fill(hashed("a", bytes));
      expect(blob).toMatchObject({ sha256: sha256(bytes), sizeBytes: 10_000, temporary: false });
      expect(readFileSync(blob.path).equals(bytes)).toBe(true);
      expect(blob.blockCrcs?.length).toBe(12);
    }
    expect(origin.requests).toHaveLength(1);
    expect(cache.stats()).toMatchObject({ hits: 2, misses: 1, usedBytes: 10_000, fetches: [] });
  });

  it("keeps blobs where nobody else can read or change them", async () => {
    const bytes = origin.put("a", 10);
    const blob = await fill(hashed("a", bytes));
    expect(blob.path).toBe(pathOf(bytes));
    expect(statSync(blob.path).mode & 0o777).toBe(0o400);
    for (const name of ["", "blobs", "tmp"]) {
      expect(statSync(join(dir, name)).mode & 0o777, name).toBe(0o700);
    }
  });

  it("has the block CRCs of a large blob in a file beside it", async () => {
    const bytes = origin.put("a", 5 * MIB);
    const blob = await fill(hashed("a", bytes));
    expect(blob.blockCrcs).toBeNull();
    expect(statSync(`${blob.path}.crc`).size).toBe((4 * 5 * MIB) / 4096);
    rmSync(`${blob.path}.crc`);
    await fill(hashed("a", bytes));
    expect(statSync(`${blob.path}.crc`).size).toBe((4 * 5 * MIB) / 4096);
    expect(origin.requests).toHaveLength(1);
  });

  it("is joined by a hundred others, and there is one fetch", async () => {
    const bytes = origin.put("a", 100);
    const release = origin.hold();
    const fills = Array.from({ length: 100 }, () => cache.fill(hashed("a", bytes), filling()));
    await origin.waiting(1);
    expect(cache.stats().fetches).toMatchObject([
      { uri: "test://bucket/a", path: "a", sizeBytes: 100, doneBytes: 0 },
    ]);
    release();
    const blobs = await Promise.all(fills);
    expect(origin.requests).toHaveLength(1);
    expect(cache.stats()).toMatchObject({ hits: 99, misses: 1 });
    for (const blob of blobs) blob[Symbol.dispose]();
  });

  it("of an entry that only its pin names is joined as well", async () => {
    origin.put("a", 100);
    const release = origin.hold();
    const fills = Array.from({ length: 10 }, () => fill(pinned("a", 100)));
    await origin.waiting(1);
    release();
    expect((await Promise.all(fills)).map(({ assurance }) => assurance)).toEqual(
      Array.from({ length: 10 }, () => "pin"),
    );
    expect(origin.requests).toHaveLength(1);
  });

  it("that joined one of less assurance fetches for itself, and is never given that", async () => {
    const bytes = origin.put("a", 100);
    const release = origin.hold();
    const first = fill(pinned("a", 100));
    const other = fill(pinned("a", 100, { digests: { md5: md5(flipped(bytes)) } }));
    await origin.waiting(1);
    release();
    expect((await first).assurance).toBe("pin");
    await expect(other).rejects.toMatchObject({ kind: "corrupt" });
  });

  it("goes on for the others when the source of the first one fails", async () => {
    const bytes = origin.put("b", 100);
    const release = origin.hold();
    origin.put("a", flipped(bytes));
    const first = fill(hashed("a", bytes));
    const second = fill(hashed("b", bytes));
    await origin.waiting(1);
    release();
    await expect(first).rejects.toMatchObject({ kind: "corrupt" });
    expect((await second).sha256).toBe(sha256(bytes));
  });

  it("tries its own credentials when those of another mount were refused", async () => {
    const bytes = origin.put("a", 100);
    const refused = new Origin();
    refused.plan.push({ refuse: new Fault("denied", "no") });
    const first = fill(hashed("a", bytes), { fetch: refused.fetch });
    const second = fill(hashed("a", bytes));
    await expect(first).rejects.toMatchObject({ kind: "denied" });
    expect((await second).sha256).toBe(sha256(bytes));
  });

  it("stores equal bytes of different objects once", async () => {
    const bytes = origin.put("a", 1000);
    origin.put("b", bytes);
    await Promise.all([fill(pinned("a", 1000)), fill(pinned("b", 1000))]);
    await fill(hashed("c", bytes));
    expect(cache.stats().usedBytes).toBe(1000);
    expect(readdirSync(join(dir, "tmp"))).toEqual([]);
    expect(origin.requests).toHaveLength(2);
  });

  it("that fails leaves nothing behind, and the next one may succeed", async () => {
    const bytes = randomBytes(1000);
    origin.put("a", flipped(bytes));
    await expect(fill(hashed("a", bytes))).rejects.toMatchObject({ kind: "corrupt" });
    expect(readdirSync(join(dir, "tmp"))).toEqual([]);
    expect(cache.stats()).toMatchObject({ usedBytes: 0, fetches: [] });
    origin.put("a", bytes);
    await fill(hashed("a", bytes));
  });

  it("tells the assurance that an encrypted object really has, on the first and the next hit", async () => {
    origin.put("a", 1000);
    origin.answer = { etagIsHash: false };
    const entry = pinned("a", 1000, {
      claims: [{ algorithm: "md5", value: "0".repeat(32), source: "etag" }],
    });
    expect((await fill(entry)).assurance).toBe("pin");
    expect((await fill(entry)).assurance).toBe("pin");
    expect(origin.requests).toHaveLength(1);
  });

  it("ends with the cache, and leaves no file", async () => {
    const bytes = origin.put("a", 1000);
    origin.hold();
    const filling = fill(hashed("a", bytes));
    const failed = expect(filling).rejects.toMatchObject({ kind: "unavailable" });
    await origin.waiting(1);
    await cache[Symbol.asyncDispose]();
    await failed;
    expect(readdirSync(join(dir, "tmp"))).toEqual([]);
    await expect(fill(hashed("a", bytes))).rejects.toMatchObject({ kind: "unavailable" });
  });

  it("waits for its turn behind others, small ones not behind large ones", async () => {
    await reopen({ smallFills: 2, largeFills: 1 });
    const release = origin.hold();
    const large = [origin.put("l1", 17 * MIB), origin.put("l2", 17 * MIB)];
    const small = ["s1", "s2", "s3"].map((name) => origin.put(name, 10));
    const fills = [
      ...large.map((bytes, index) => fill(hashed(`l${index + 1}`, bytes))),
      ...small.map((bytes, index) => fill(hashed(`s${index + 1}`, bytes))),
    ];
    await origin.waiting(5);
    // Which ones come first is the disk's affair.
    const kinds = cache.stats().fetches.map(({ path }) => path.slice(0, 1));
    expect(kinds.sort()).toEqual(["l", "s", "s"]);
    release();
    await Promise.all(fills);
  });
});

describe("a blob on disk", () => {
  it("that vanished, shrank or is reported damaged is fetched anew", async () => {
    const bytes = origin.put("a", 10_000);
    const { path } = await fill(hashed("a", bytes));
    const harms = [
      () => rmSync(path),
      () => {
        chmodSync(path, 0o600);
        writeFileSync(path, bytes.subarray(0, 9999));
      },
      () => {
        cache.damaged(sha256(bytes));
      },
    ];
    for (const [index, harm] of harms.entries()) {
      harm();
      await fill(hashed("a", bytes));
      expect(readFileSync(path).equals(bytes)).toBe(true);
      expect(origin.requests).toHaveLength(index + 2);
      expect(cache.stats().usedBytes).toBe(10_000);
    }
    expect(evicted).toContain(sha256(bytes));
  });

  it("survives an orderly stop and is not hashed again", async () => {
    const bytes = origin.put("a", 10_000);
    const { path } = await fill(hashed("a", bytes));
    await reopen();
    // Only a re-hash would notice: that this is not noticed shows that there was none.
    chmodSync(path, 0o600);
    writeFileSync(path, flipped(bytes));
    await fill(hashed("a", bytes));
    expect(origin.requests).toHaveLength(1);
    expect(cache.stats()).toMatchObject({ hits: 1, misses: 0, usedBytes: 10_000 });
  });

  it("is re-hashed on request, and replaced when it is bad", async () => {
    const bytes = origin.put("a", 10_000);
    const { path } = await fill(hashed("a", bytes));
    chmodSync(path, 0o600);
    writeFileSync(path, flipped(bytes));
    await fill(hashed("a", bytes), { rehash: true });
    expect(readFileSync(path).equals(bytes)).toBe(true);
    expect(log.join()).toContain("damaged on disk");
  });

  it("is re-hashed on first use after an unclean stop, and only then", async () => {
    const good = origin.put("good", 10_000);
    const bad = origin.put("bad", 10_000);
    await fill(hashed("good", good));
    await fill(hashed("bad", bad));
    // From here on both are in the ledger, whatever happens.
    await reopen();
    await crash(() => {
      chmodSync(pathOf(bad), 0o600);
      writeFileSync(pathOf(bad), flipped(bad, 5000));
    });
    await fill(hashed("good", good));
    expect(origin.requests).toHaveLength(2);
    await fill(hashed("bad", bad));
    expect(origin.requests).toHaveLength(3);
    expect(readFileSync(pathOf(bad)).equals(bad)).toBe(true);
    chmodSync(pathOf(good), 0o600);
    writeFileSync(pathOf(good), flipped(good));
    await fill(hashed("good", good));
    expect(origin.requests).toHaveLength(3);
  });

  it("that a crash left out of the ledger is adopted after a re-hash", async () => {
    const bytes = origin.put("a", 5 * MIB);
    const { path } = await fill(hashed("a", bytes));
    await crash(() => {
      for (const part of ["", "-wal", "-shm"])
        rmSync(join(dir, `ledger.sqlite${part}`), { force: true });
      rmSync(`${path}.crc`);
    });
    await cache.idle();
    expect(cache.stats().usedBytes).toBe(5 * MIB);
    await fill(hashed("a", bytes));
    expect(origin.requests).toHaveLength(1);
    expect(existsSync(`${path}.crc`)).toBe(true);
  });
});

describe("after bad luck", () => {
  it("no temporary file of a dead process stays", async () => {
    await cache[Symbol.asyncDispose]();
    writeFileSync(join(dir, "tmp", "17"), "half an object");
    mkdirSync(join(dir, "tmp", "folder"));
    cache = await open();
    expect(readdirSync(join(dir, "tmp"))).toEqual([]);
  });

  for (const [how, harm] of Object.entries({
    deleted: (path: string) => rmSync(path),
    truncated: (path: string) => writeFileSync(path, readFileSync(path).subarray(0, 5000)),
    overwritten: (path: string) => writeFileSync(path, randomBytes(8192)),
  })) {
    it(`a ledger that was ${how} is made again from the folder, and what was observed stays`, async () => {
      const bytes = origin.put("a", 10_000);
      await fill(pinned("a", 10_000));
      await cache[Symbol.asyncDispose]();
      harm(join(dir, "ledger.sqlite"));
      cache = await open();
      await cache.idle();
      expect(cache.stats().usedBytes).toBe(10_000);
      expect((await fill(pinned("a", 10_000))).path).toBe(pathOf(bytes));
      expect(origin.requests).toHaveLength(1);
      rmSync(pathOf(bytes));
      origin.put("a", flipped(bytes));
      await expect(fill(pinned("a", 10_000))).rejects.toMatchObject({ kind: "corrupt" });
    });
  }

  it("a damaged table of what was observed is set aside", async () => {
    const bytes = origin.put("a", 10_000);
    await fill(pinned("a", 10_000));
    await cache[Symbol.asyncDispose]();
    writeFileSync(join(dir, "observed.sqlite"), randomBytes(8192));
    cache = await open();
    expect(readdirSync(dir).some((name) => name.startsWith("observed.sqlite.damaged-"))).toBe(true);
    await fill(pinned("a", 10_000));
    expect(cache.stats().usedBytes).toBe(bytes.length);
  });

  it("a cache folder that vanishes while open makes every blob a miss, and no more", async () => {
    const bytes = origin.put("a", 10_000);
    await fill(hashed("a", bytes));
    rmSync(dir, { recursive: true });
    const { path } = await fill(hashed("a", bytes));
    expect(readFileSync(path).equals(bytes)).toBe(true);
    const { misses } = cache.stats();
    await fill(hashed("a", bytes));
    expect(cache.stats().misses).toBe(misses);
  });

  it("a folder in use is refused, naming the process that has it", async () => {
    await expect(open()).rejects.toMatchObject({
      kind: "busy",
      message: expect.stringContaining(`the process ${process.pid}`) as string,
    });
  });

  it("a folder where none can be made is refused", async () => {
    const file = join(folder.path, "file");
    writeFileSync(file, "");
    await expect(open({ dir: join(file, "cache") })).rejects.toMatchObject({ kind: "usage" });
  });
});

describe("room", () => {
  const KIB = 1024;
  const put = (name: string): Uint8Array => origin.put(name, 10 * KIB);
  const has = (bytes: Uint8Array): boolean => existsSync(pathOf(bytes));
  const through = async (use: CacheUse, name: string, bytes: Uint8Array): Promise<Blob> => {
    const blob = await use.fill(hashed(name, bytes), filling());
    blob[Symbol.dispose]();
    return blob;
  };

  it("is made by evicting what was used least recently, after telling who may have it open", async () => {
    await reopen({ limitBytes: 35 * KIB });
    const [a, b, c, d] = [put("a"), put("b"), put("c"), put("d")];
    await fill(hashed("a", a));
    await fill(hashed("b", b));
    await fill(hashed("c", c));
    await fill(hashed("a", a));
    await fill(hashed("d", d));
    await cache.idle();
    expect([has(a), has(b), has(c), has(d)]).toEqual([true, false, true, true]);
    expect(evicted).toEqual([sha256(b)]);
    expect(cache.stats()).toMatchObject({ usedBytes: 30 * KIB, limitBytes: 35 * KIB });
  });

  it("keeps its order over a restart", async () => {
    await reopen({ limitBytes: 35 * KIB });
    const [a, b, c, d] = [put("a"), put("b"), put("c"), put("d")];
    for (const name of ["a", "b", "c", "a"])
      await fill(hashed(name, name === "a" ? a : name === "b" ? b : c));
    await reopen({ limitBytes: 35 * KIB });
    await fill(hashed("d", d));
    await cache.idle();
    expect([has(a), has(b), has(c), has(d)]).toEqual([true, false, true, true]);
  });

  it("is not made by evicting blobs of a live mount: the rest is served from temporary files", async () => {
    await reopen({ limitBytes: 35 * KIB });
    const use = cache.openUse();
    const names = ["a", "b", "c", "d", "e"];
    const all = names.map((name) => put(name));
    for (let epoch = 0; epoch < 3; epoch++) {
      for (const [index, bytes] of all.entries()) {
        const blob = await use.fill(hashed(names[index] ?? "", bytes), filling());
        expect(blob.temporary).toBe(index >= 3);
        expect(readFileSync(blob.path).equals(bytes)).toBe(true);
        blob[Symbol.dispose]();
        await cache.idle();
        expect(existsSync(blob.path)).toBe(index < 3);
      }
    }
    expect(origin.requests).toHaveLength(3 + 3 * 2);
    expect(evicted).toEqual([]);
    use[Symbol.dispose]();
    await fill(hashed("e", all[4] ?? new Uint8Array()));
    await cache.idle();
    expect(evicted).toEqual([sha256(all[0] ?? new Uint8Array())]);
  });

  it("goes first from the mount that was unmounted longest ago", async () => {
    await reopen({ limitBytes: 45 * KIB });
    const [early, late] = [cache.openUse(), cache.openUse()];
    const [a, b, c, d, e] = [put("a"), put("b"), put("c"), put("d"), put("e")];
    await through(early, "a", a);
    await through(late, "b", b);
    await through(late, "c", c);
    late[Symbol.dispose]();
    early[Symbol.dispose]();
    await fill(hashed("d", d));
    await fill(hashed("e", e));
    await cache.idle();
    expect([has(a), has(b), has(c), has(d), has(e)]).toEqual([true, false, true, true, true]);
  });

  it("keeps what two mounts use until both are gone", async () => {
    await reopen({ limitBytes: 15 * KIB });
    const [one, two] = [cache.openUse(), cache.openUse()];
    const [a, b] = [put("a"), put("b")];
    await through(one, "a", a);
    await through(two, "a", a);
    one[Symbol.dispose]();
    expect((await through(two, "b", b)).temporary).toBe(true);
    two[Symbol.dispose]();
    expect((await fill(hashed("b", b))).temporary).toBe(false);
    expect(has(a)).toBe(false);
  });

  it("goes down to the low mark, so that it is not made for each blob", async () => {
    await reopen({ limitBytes: 1000 * KIB });
    for (let number = 0; number < 100; number++) {
      await fill(hashed(`n${number}`, put(`n${number}`)));
    }
    await fill(hashed("last", put("last")));
    await cache.idle();
    expect(cache.stats().usedBytes).toBeLessThanOrEqual(950 * KIB);
    expect(cache.stats().usedBytes).toBeGreaterThan(900 * KIB);
  });

  it("is none for an object larger than the quota: it is lent, and gone after its last holder", async () => {
    await reopen({ limitBytes: 5 * MIB });
    const bytes = origin.put("big", 6 * MIB);
    const release = origin.hold();
    const fills = [1, 2].map(() => cache.fill(hashed("big", bytes), filling()));
    await origin.waiting(1);
    release();
    const [one, two] = await Promise.all(fills);
    expect(one).toMatchObject({ temporary: true, blockCrcs: null, assurance: "content" });
    expect(statSync(`${one?.path ?? ""}.crc`).size).toBe((4 * 6 * MIB) / 4096);
    one?.[Symbol.dispose]();
    one?.[Symbol.dispose]();
    await cache.idle();
    expect(readFileSync(two?.path ?? "").equals(bytes)).toBe(true);
    two?.[Symbol.dispose]();
    await cache.idle();
    expect(readdirSync(join(dir, "tmp"))).toEqual([]);
    expect(cache.stats().usedBytes).toBe(0);
  });

  it("is not made by taking a blob that somebody is about to open", async () => {
    await reopen({ limitBytes: 15 * KIB });
    const [a, b] = [put("a"), put("b")];
    const lent = await cache.fill(hashed("a", a), filling());
    expect((await fill(hashed("b", b))).temporary).toBe(true);
    expect(readFileSync(lent.path).equals(Buffer.from(a))).toBe(true);
    lent[Symbol.dispose]();
    expect((await fill(hashed("b", b))).temporary).toBe(false);
  });

  it("is kept free on the disk: below the floor nothing is admitted", async () => {
    await reopen({ floorBytes: Number.MAX_SAFE_INTEGER });
    const a = put("a");
    expect((await fill(hashed("a", a))).temporary).toBe(true);
    expect(cache.stats().usedBytes).toBe(0);
  });

  it("is by default most of what is free, and shrinks when told", async () => {
    await reopen({ limitBytes: null, floorBytes: null });
    expect(cache.stats().limitBytes).toBeGreaterThan(0);
    const [a, b] = [put("a"), put("b")];
    await fill(hashed("a", a));
    await fill(hashed("b", b));
    await cache.setLimit(11 * KIB);
    await cache.idle();
    expect([has(a), has(b)]).toEqual([false, true]);
  });
});

it("a limit by default counts the blobs of a lost ledger, and none is evicted for it", async () => {
  const bytes = origin.put("a", 20 * MIB);
  await fill(hashed("a", bytes));
  await cache[Symbol.asyncDispose]();
  rmSync(join(dir, "ledger.sqlite"));
  cache = await open({ limitBytes: null });
  await cache.idle();
  const { limitBytes } = cache.stats();
  await reopen({ limitBytes: null });
  expect(Math.abs(cache.stats().limitBytes - limitBytes)).toBeLessThan(0.2 * limitBytes);
  expect(evicted).toEqual([]);
});

describe("an entry without a pin", () => {
  it("stays what it was at its first read, for as long as the mount lives", async () => {
    origin.answer = { pinned: false };
    const entry = pinned("a", 100, { pin: {} });
    const bytes = origin.put("a", 100);
    const use = cache.openUse("mount-1");
    (await use.fill(entry, filling()))[Symbol.dispose]();
    expect((await use.fill(entry, filling())).assurance).toBe("none");
    expect(origin.requests).toHaveLength(1);
    origin.put("a", flipped(bytes));
    cache.damaged(sha256(bytes));
    await expect(use.fill(entry, filling())).rejects.toMatchObject({ kind: "drifted" });
    // The mount outlives this process.
    await reopen();
    const again = cache.openUse("mount-1");
    await expect(again.fill(entry, filling())).rejects.toMatchObject({ kind: "drifted" });
    again[Symbol.dispose]();
    await cache.idle();
    using other = cache.openUse("mount-1");
    expect((await other.fill(entry, filling())).sha256).toBe(sha256(flipped(bytes)));
  });
});
