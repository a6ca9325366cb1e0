// What a driver's upcalls give: a real manifest, a real cache and the file store.

import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { Cache } from "../../src/cache/cache.js";
import { FaultLog } from "../../src/daemon/fault-log.js";
import type { IoMode, MountRecord } from "../../src/daemon/protocol.js";
import { serveUpcalls } from "../../src/daemon/serving.js";
import type { Assurance } from "../../src/model/assurance.js";
import type { Entry } from "../../src/model/entry.js";
import { NO_PIN } from "../../src/model/pin.js";
import type { LentBlob, Upcalls } from "../../src/mount/driver.js";
import { openSqlite } from "../../src/native/sqlite.js";
import { Manifest } from "../../src/registry/manifest.js";
import { openStores } from "../../src/stores/schemes.js";
import { anEntry, seal } from "../support/entries.js";

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");
const md5 = (text: string): string => createHash("md5").update(text).digest("hex");

class Served implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), "refmount-serving-"));
  readonly faults = new FaultLog((line) => this.log.push(line));
  readonly log: string[] = [];
  readonly bugs: unknown[] = [];
  readonly evicted: string[] = [];
  io: IoMode = "cached";
  manifest!: Manifest;
  cache!: Cache;
  upcalls!: Upcalls;

  /** Serves files with these contents; `entryOf` says how they were logged. */
  static async of(
    files: Readonly<Record<string, string>>,
    entryOf: (uri: string, text: string) => Partial<Entry>,
    require: Assurance = "pin",
    tamper: (manifestPath: string) => void = () => undefined,
  ): Promise<Served> {
    const served = new Served();
    const { folder } = served;
    const entries = Object.entries(files).map(([path, text]) => {
      writeFileSync(join(folder, path), text);
      const uri = `file://${folder}/${path}`;
      return anEntry(path, { uri, sizeBytes: text.length, claims: [], ...entryOf(uri, text) });
    });
    const { digest } = seal(folder, entries);
    tamper(join(folder, `${digest}.manifest`));
    served.manifest = Manifest.open(folder, digest);
    served.cache = await Cache.open({
      dir: join(folder, "cache"),
      limitBytes: 1_000_000,
      floorBytes: 0,
      onEvict: (name) => served.evicted.push(name),
      log: (line) => served.log.push(line),
    });
    served.upcalls = serveUpcalls({
      record: { ref: "demo:v0", require, timeoutMs: 5000, io: "passthrough" } as MountRecord,
      manifest: served.manifest,
      cache: served.cache,
      use: served.cache.openUse("mount"),
      fetch: openStores({}).fetch,
      faults: served.faults,
      io: () => served.io,
      onBug: (error) => served.bugs.push(error),
    });
    return served;
  }

  node(path: string): number {
    return this.manifest.find(path)?.id ?? 0;
  }

  fill(path: string): Promise<LentBlob> {
    return this.upcalls.fill(this.node(path));
  }

  async xattr(path: string, name: string): Promise<string | null> {
    const value = await this.upcalls.xattr(this.node(path), `user.refmount.${name}`);
    return value === null ? null : Buffer.from(value).toString();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cache[Symbol.asyncDispose]();
    this.manifest.close();
    rmSync(this.folder, { recursive: true });
  }
}

const hashed = (_uri: string, text: string): Partial<Entry> => ({
  digests: { sha256: sha256(text), md5: md5(text) },
  pin: NO_PIN,
});

test("a fill gives the checked blob, and its attributes say what is known", async () => {
  await using served = await Served.of({ "a.txt": "first" }, hashed);
  using blob = await served.fill("a.txt");
  expect(blob).toMatchObject({ sha256: sha256("first"), sizeBytes: 5, temporary: false });
  expect(await served.xattr("a.txt", "sha256")).toBe(sha256("first"));
  expect(await served.xattr("a.txt", "assurance")).toBe("content");
  expect(await served.xattr("a.txt", "uri")).toBe(`file://${served.folder}/a.txt`);
  expect(await served.xattr("a.txt", "error")).toBeNull();
  expect(await served.xattr("a.txt", "other")).toBeNull();
  expect(served.faults.list()).toEqual([]);
});

test("the SHA-256 of what is not fetched yet is empty, and known from then on", async () => {
  await using served = await Served.of({ "a.txt": "first" }, (_uri, text) => ({
    digests: { md5: md5(text) },
    pin: NO_PIN,
  }));
  expect(await served.xattr("a.txt", "sha256")).toBe("");
  (await served.fill("a.txt"))[Symbol.dispose]();
  expect(await served.xattr("a.txt", "sha256")).toBe(sha256("first"));
  expect(await served.xattr("a.txt", "digest")).toContain(md5("first"));
});

test("a failure is told to status, the log and the attribute, and remembered for a moment", async () => {
  await using served = await Served.of({ "a.txt": "first" }, hashed);
  writeFileSync(join(served.folder, "a.txt"), "other");
  await expect(served.fill("a.txt")).rejects.toMatchObject({ kind: "drifted" });
  // The kernel sends READ twice for one failing read().
  await expect(served.fill("a.txt")).rejects.toMatchObject({ kind: "drifted" });
  expect(served.faults.list()).toMatchObject([
    { mount: "demo:v0", path: "a.txt", kind: "drifted", subject: `file://${served.folder}/a.txt` },
  ]);
  expect(served.log.filter((line) => line.startsWith("demo:v0 a.txt: drifted: "))).toHaveLength(1);
  expect(await served.xattr("a.txt", "error")).toMatch(/^drifted: /);
  expect(served.bugs).toEqual([]);
});

test("bytes that turn out to be assured by less than the mount requires are refused", async () => {
  await using served = await Served.of(
    { "a.txt": "first" },
    () => ({ digests: {}, pin: NO_PIN }),
    "content",
  );
  await expect(served.fill("a.txt")).rejects.toMatchObject({
    kind: "usage",
    message: expect.stringMatching(/assured by "none" only.*log it with --hash/) as string,
  });
});

test("a damaged row fails its own file only, whatever is asked of it", async () => {
  await using served = await Served.of(
    { "a.txt": "first", "b.txt": "second" },
    hashed,
    "pin",
    (path) => {
      chmodSync(path, 0o600);
      const db = openSqlite(path);
      db.exec("UPDATE entry SET uri = 'file:///elsewhere' WHERE path = 'a.txt'");
      db.close();
    },
  );
  const damaged = 2;
  await expect(served.upcalls.fill(damaged)).rejects.toMatchObject({ kind: "corrupt" });
  // As a rejection, never as an exception: it is the kernel that calls.
  const asked = served.upcalls.xattr(damaged, "user.refmount.uri");
  await expect(asked).rejects.toMatchObject({ kind: "corrupt" });
  using blob = await served.fill("b.txt");
  expect(blob.sha256).toBe(sha256("second"));
});

test("a blob is hashed again before the kernel reads it by itself, and only then", async () => {
  await using served = await Served.of({ "a.txt": "first" }, hashed);
  const { path } = await served.fill("a.txt").then((blob) => {
    blob[Symbol.dispose]();
    return blob;
  });
  chmodSync(path, 0o600);
  writeFileSync(path, "FIRST");
  (await served.fill("a.txt"))[Symbol.dispose]();
  expect(served.evicted).toEqual([]);
  served.io = "passthrough";
  using blob = await served.fill("a.txt");
  expect(served.evicted).toEqual([sha256("first")]);
  expect(blob.sha256).toBe(sha256("first"));
});

test("a blob that a reader found damaged is fetched anew", async () => {
  await using served = await Served.of({ "a.txt": "first" }, hashed);
  (await served.fill("a.txt"))[Symbol.dispose]();
  served.upcalls.damaged(served.node("a.txt"), sha256("first"));
  (await served.fill("a.txt"))[Symbol.dispose]();
  expect(served.cache.stats().misses).toBe(2);
});
