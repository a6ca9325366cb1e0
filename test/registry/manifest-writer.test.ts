import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { canonicalRow, type Entry } from "../../src/model/entry.js";
import { Fault } from "../../src/model/fault.js";
import { Manifest } from "../../src/registry/manifest.js";
import { ManifestWriter } from "../../src/registry/manifest-writer.js";
import type { SealedManifest } from "../../src/registry/manifest-meta.js";
import { openSqlite } from "../../src/native/sqlite.js";
import { wandbDigest } from "../../src/registry/wandb-digest.js";
import { anEntry, Folder, seal } from "../support/entries.js";
import { buildIndex } from "../support/index-builder.js";
import { lacks } from "../support/needs.js";

const bytewise = (a: Entry, b: Entry): number =>
  Buffer.compare(Buffer.from(a.path), Buffer.from(b.path));

function expectedDigest(entries: readonly Entry[], tail: readonly string[] = []): string {
  const lines = [...entries].sort(bytewise).map((entry) => {
    const { chunks } = entry;
    const sum = chunks === null ? "" : `\t${createHash("sha256").update(chunks).digest("hex")}`;
    return `${canonicalRow(entry)}${sum}\n`;
  });
  for (const line of tail) lines.push(`${line}\n`);
  return createHash("sha256")
    .update(`refmount-manifest-v1\n${lines.join("")}`)
    .digest("hex");
}

/** A tree in which the order of paths, of names and of UTF-16 all differ. */
const TRICKY = [
  "a",
  "a-b/x",
  "a.d/x",
  "a.txt",
  "aa/b/c/d",
  "aa/b-c/d",
  "aa/b.c",
  "b/\uff5e",
  "b/\u{1f600}",
  "b/\u00e9/x y",
  "b-/x",
  "b0",
  "#?%/\\\n\u0001",
].map((path) => anEntry(path));

function shuffled<T>(items: readonly T[], seed: number): T[] {
  const result = [...items];
  for (let index = result.length - 1; index > 0; index--) {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
    const other = seed % (index + 1);
    [result[index], result[other]] = [result[other] as T, result[index] as T];
  }
  return result;
}

function faultOf(work: () => unknown): Fault {
  try {
    work();
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

test("the digests are those of the canonical rows in the byte order of paths", () => {
  using folder = new Folder();
  const sealed = seal(folder.path, TRICKY);
  expect(sealed.digest).toBe(expectedDigest(TRICKY));
  expect(sealed.wandbDigest).toBe(wandbDigest(TRICKY));
  expect(sealed).toMatchObject({ files: TRICKY.length, unknownSizes: 0 });
});

test("the order of adding does not matter", () => {
  using folder = new Folder();
  const sealed = seal(folder.path, TRICKY);
  for (const seed of [1, 2, 3, 4]) {
    using other = new Folder();
    expect(seal(other.path, shuffled(TRICKY, seed))).toEqual(sealed);
  }
});

test("an empty manifest has W&B's digest of nothing and one node", () => {
  using folder = new Folder();
  const sealed = seal(folder.path, []);
  expect(sealed).toMatchObject({ wandbDigest: "64e7c61456b10382e2f3b571ac24b659", files: 0 });
  using manifest = Manifest.open(folder.path, sealed.digest);
  expect([...manifest.list("")]).toEqual([]);
  expect(manifest.nodeCount).toBe(1);
  manifest.verify();
});

/** A tree with empty directories at the top, deep down, and beside names that sort around them. */
function sealWithEmpty(folder: Folder, directories: readonly string[]): SealedManifest {
  using writer = ManifestWriter.create(folder.path);
  for (const path of directories) writer.addDirectory(path);
  for (const entry of TRICKY) writer.add(entry);
  return writer.seal();
}

test("empty directories have lines of their own in the manifest's digest, and none in W&B's", () => {
  using folder = new Folder();
  const plain = seal(folder.path, TRICKY);
  const sealed = sealWithEmpty(folder, ["z", "aa/b/empty", "aa/e/f"]);
  expect(sealed).toMatchObject({ wandbDigest: plain.wandbDigest, files: TRICKY.length });
  expect(sealed.digest).toBe(expectedDigest(TRICKY, ['["aa/b/empty/"]', '["aa/e/f/"]', '["z/"]']));
  using manifest = Manifest.open(folder.path, sealed.digest);
  manifest.verify();
  expect([...manifest.emptyDirectories()]).toEqual(["aa/b/empty", "aa/e/f", "z"]);
  expect(manifest.find("aa/b/empty")).toMatchObject({ kind: "directory", childCount: 0 });
  expect([...manifest.list("z")]).toEqual([]);
  expect([...manifest.list("aa")].map(({ path }) => path)).toContain("aa/e");
  expect([...manifest.entries()]).toHaveLength(TRICKY.length);
});

test("empty directories stand in the index as its description asks for", () => {
  using folder = new Folder();
  const emptyDirectories = ["z", "aa/b/empty", "aa/e/f", "a-b/0"];
  const sealed = sealWithEmpty(folder, emptyDirectories);
  using manifest = Manifest.open(folder.path, sealed.digest);
  const files = TRICKY.map(({ path, sizeBytes, mtimeMs }) => ({
    path,
    sizeBytes,
    mtimeMs: mtimeMs ?? 0,
  }));
  const built = buildIndex(files, {
    manifestDigest: sealed.digest,
    rootMtimeMs: manifest.createdMs,
    emptyDirectories,
  });
  expect(readFileSync(manifest.ensureIndex()).equals(built.bytes)).toBe(true);
});

test("a directory that gets a file after all changes nothing", () => {
  using folder = new Folder();
  const plain = seal(folder.path, TRICKY);
  expect(sealWithEmpty(folder, ["aa", "aa/b", "b"])).toEqual(plain);
});

test("an empty directory in the place of a file is refused, in either order", () => {
  using folder = new Folder();
  using writer = ManifestWriter.create(folder.path);
  writer.addDirectory("empty/below");
  writer.add(anEntry("file"));
  for (const work of [
    () => writer.add(anEntry("empty")),
    () => writer.add(anEntry("empty/below")),
    () => writer.addDirectory("file"),
    () => writer.addDirectory("file/below"),
    () => writer.addDirectory("../up"),
  ]) {
    expect(faultOf(work).kind).toBe("usage");
  }
  const sealed = writer.seal();
  expect(sealed.files).toBe(1);
  using manifest = Manifest.open(folder.path, sealed.digest);
  expect([...manifest.emptyDirectories()]).toEqual(["empty/below"]);
});

test("a manifest without empty directories has the format and the keys that it always had", () => {
  using folder = new Folder();
  const metaOf = ({ digest }: SealedManifest): Map<string, string> => {
    const db = openSqlite(join(folder.path, `${digest}.manifest`));
    const rows = db.prepare("SELECT key, value FROM meta").all() as {
      key: string;
      value: string;
    }[];
    db.close();
    return new Map(rows.map(({ key, value }) => [key, value]));
  };
  const plain = metaOf(seal(folder.path, TRICKY));
  expect(plain.get("format")).toBe("1");
  expect(plain.has("empty_directories")).toBe(false);
  const other = metaOf(sealWithEmpty(folder, ["z"]));
  expect([other.get("format"), other.get("empty_directories")]).toEqual(["2", "1"]);
});

test("the index has the bytes that its description asks for", () => {
  using folder = new Folder();
  const entries = [
    ...TRICKY,
    anEntry("big", { sizeBytes: 5_000_000_000, mtimeMs: null }),
    anEntry("unknown", { sizeBytes: null, mtimeMs: -1 }),
    anEntry("deep/" + "d/".repeat(60) + "n".repeat(255)),
  ];
  const sealed = seal(folder.path, entries);
  using manifest = Manifest.open(folder.path, sealed.digest);
  const built = buildIndex(
    entries.map(({ path, sizeBytes, mtimeMs }) => ({
      path,
      sizeBytes,
      ...(mtimeMs === null ? {} : { mtimeMs }),
    })),
    { manifestDigest: sealed.digest, rootMtimeMs: manifest.createdMs },
  );
  const written = readFileSync(manifest.ensureIndex());
  expect(written.equals(built.bytes)).toBe(true);
  for (const { path } of entries) expect(manifest.find(path)?.id).toBe(built.ids.get(path));
});

test("random trees get the index of an independent builder", () => {
  for (let seed = 1; seed <= 20; seed++) {
    using folder = new Folder();
    const names = ["a", "a-", "a.b", "a0", "\u00e4", "\u{1f600}", "\uff5e", "z"];
    const paths = new Set<string>();
    let state = seed;
    const next = (limit: number): number => {
      state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
      return Math.floor((state / 2_147_483_648) * limit);
    };
    for (let count = 0; count < 60; count++) {
      const dirs = Array.from({ length: next(4) }, () => names[next(names.length)]);
      paths.add([...dirs, `f${next(20)}`].join("/"));
    }
    const entries = [...paths].map((path) => anEntry(path));
    const sealed = seal(folder.path, entries);
    using manifest = Manifest.open(folder.path, sealed.digest);
    const built = buildIndex(
      entries.map(({ path, sizeBytes, mtimeMs }) => ({ path, sizeBytes, mtimeMs: mtimeMs ?? 0 })),
      { manifestDigest: sealed.digest, rootMtimeMs: manifest.createdMs },
    );
    expect(readFileSync(manifest.ensureIndex()).equals(built.bytes)).toBe(true);
    manifest.verify();
  }
});

test("only the manifest and its index are left, readable by their owner alone", () => {
  using folder = new Folder();
  const { digest } = seal(folder.path, TRICKY);
  expect(readdirSync(folder.path).sort()).toEqual([`${digest}.idx`, `${digest}.manifest`]);
  for (const name of readdirSync(folder.path)) {
    expect(statSync(join(folder.path, name)).mode & 0o777).toBe(0o400);
  }
});

test("while writing, files are for their owner alone; abort leaves nothing", () => {
  using folder = new Folder();
  const writer = ManifestWriter.create(folder.path);
  writer.add(anEntry("a"));
  const names = readdirSync(folder.path);
  expect(names).toHaveLength(1);
  for (const name of names) expect(statSync(join(folder.path, name)).mode & 0o777).toBe(0o600);
  writer.abort();
  writer.abort();
  expect(readdirSync(folder.path)).toEqual([]);
});

test("sealing the same entries again keeps the file that is there", () => {
  using folder = new Folder();
  const first = seal(folder.path, TRICKY);
  const path = join(folder.path, `${first.digest}.manifest`);
  const before = statSync(path);
  const second = seal(
    folder.path,
    TRICKY.map((entry) => ({ ...entry, mtimeMs: 1 })),
  );
  expect(second).toEqual(first);
  expect(statSync(path).ino).toBe(before.ino);
  using manifest = Manifest.open(folder.path, first.digest);
  expect(manifest.find("a")).toMatchObject({ mtimeMs: 1_600_000_000_001 });
});

test("the same path with the same content is one entry", () => {
  using folder = new Folder();
  using writer = ManifestWriter.create(folder.path);
  expect(writer.add(anEntry("a/b"))).toBe(true);
  expect(writer.add(anEntry("a/b", { uri: "s3://other/a/b" }))).toBe(false);
  const sealed = writer.seal();
  expect(sealed.files).toBe(1);
  using manifest = Manifest.open(folder.path, sealed.digest);
  expect([...manifest.entries()][0]?.uri).toBe("s3://bucket/a/b");
});

test("the same path with other content is refused, and the writer goes on", () => {
  using folder = new Folder();
  using writer = ManifestWriter.create(folder.path);
  writer.add(anEntry("a/b"));
  const fault = faultOf(() =>
    writer.add(anEntry("a/b", { entryDigest: "other", uri: "s3://other/b" })),
  );
  expect(fault.kind).toBe("usage");
  expect(fault.message).toMatch(/^Cannot add the same path twice: "a\/b" is s3:\/\/bucket\/a\/b/);
  expect(fault.message).toContain("s3://other/b");
  writer.add(anEntry("a/c"));
  expect(writer.seal()).toEqual(seal(folder.path, [anEntry("a/b"), anEntry("a/c")]));
});

test("a file where a directory is needed is refused, in either order, naming both", () => {
  using folder = new Folder();
  using writer = ManifestWriter.create(folder.path);
  writer.add(anEntry("a"));
  writer.add(anEntry("x/y/z"));
  for (const work of [
    () => writer.add(anEntry("a/b/c")),
    () => writer.add(anEntry("x/y")),
    () => writer.add(anEntry("x/y", { chunks: new Uint8Array(64) })),
  ]) {
    const fault = faultOf(work);
    expect(fault.kind).toBe("usage");
    expect(fault.message).toMatch(/"a" .*"a\/b\/c"|"x\/y" .*"x\/y\/z"/);
  }
  // Nothing of the refused ones stays, such as an empty directory.
  expect(writer.seal()).toEqual(seal(folder.path, [anEntry("a"), anEntry("x/y/z")]));
});

test.each(["", ".", "../x", "a/../x", "/x", "//x", "C:\\x", "\\x", "a//b", "a/", "a\0b", "\ud800"])(
  "the path %j is refused",
  (path) => {
    using folder = new Folder();
    using writer = ManifestWriter.create(folder.path);
    expect(faultOf(() => writer.add(anEntry(path))).kind).toBe("usage");
    expect(writer.seal().files).toBe(0);
  },
);

test("sizes and texts that a manifest cannot hold are refused", () => {
  using folder = new Folder();
  using writer = ManifestWriter.create(folder.path);
  for (const wrong of [{ sizeBytes: -1 }, { sizeBytes: 1.5 }, { uri: "s3://b/\ud800" }]) {
    expect(faultOf(() => writer.add(anEntry("a", wrong))).kind).toBe("usage");
  }
  expect(writer.seal().files).toBe(0);
});

test("entries come back as they were added, with their chunk digests", () => {
  using folder = new Folder();
  const chunks = Buffer.alloc(96, 7);
  const entries: Entry[] = [
    anEntry("a", { chunks, digests: { sha256: "ab".repeat(32), md5: "cd".repeat(16) } }),
    anEntry("b", { sizeBytes: null, pin: {}, claims: [], mtimeMs: null }),
    anEntry("c/d", { pin: { generation: "1700000000000000" }, sizeBytes: 2 ** 52 }),
    anEntry("c/e", { claims: [{ algorithm: "crc64nvme", source: "checksum" }], mtimeMs: 12.75 }),
  ];
  const sealed = seal(folder.path, entries);
  expect(sealed.digest).toBe(expectedDigest(entries));
  expect(sealed.unknownSizes).toBe(1);
  expect(sealed.assurances).toEqual({ content: 1, provider: 2, pin: 0, none: 1 });
  using manifest = Manifest.open(folder.path, sealed.digest);
  const read = [...manifest.entries()];
  expect(read).toEqual(
    entries.map((entry) => (entry.mtimeMs === 12.75 ? { ...entry, mtimeMs: 12 } : entry)),
  );
  for (const entry of read) {
    expect(manifest.entry(manifest.find(entry.path)?.id ?? 0)).toEqual(entry);
  }
});

test("several writers in one folder do not disturb each other", () => {
  using folder = new Folder();
  const first = ManifestWriter.create(folder.path);
  first.add(anEntry("a"));
  const second = ManifestWriter.create(folder.path);
  second.add(anEntry("b"));
  const sealedSecond = second.seal();
  first.add(anEntry("c"));
  const sealedFirst = first.seal();
  expect(sealedFirst.files).toBe(2);
  expect(sealedSecond.files).toBe(1);
  expect(readdirSync(folder.path)).toHaveLength(4);
});

test.skipIf(lacks("root"))("a full disk is told as such and nothing is left on it", () => {
  using folder = new Folder();
  const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", folder.path]);
  expect(mounted.status).toBe(0);
  try {
    let faults = 0;
    // From what fits, over an index that does not, to a manifest that does not.
    for (const count of [1000, 3000, 3300, 3600, 3900, 4200, 4500, 6000]) {
      try {
        using writer = ManifestWriter.create(folder.path);
        for (let index = 0; index < count; index++) writer.add(anEntry(`dir/${index}`));
        writer.seal();
      } catch (error) {
        faults++;
        expect(error).toMatchObject({
          kind: "full",
          message: expect.stringMatching(/is full; free some space/) as string,
        });
        expect(readdirSync(folder.path)).toEqual([]);
      }
      for (const name of readdirSync(folder.path)) rmSync(join(folder.path, name));
    }
    expect(faults).toBeGreaterThanOrEqual(3);
  } finally {
    spawnSync("umount", [folder.path]);
  }
});
