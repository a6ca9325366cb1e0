import { chmodSync, existsSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { NO_PIN } from "../../src/model/pin.js";
import { openSqlite } from "../../src/native/sqlite.js";
import { Manifest } from "../../src/registry/manifest.js";
import { ManifestWriter } from "../../src/registry/manifest-writer.js";
import { anEntry, Folder, seal } from "../support/entries.js";

const PATHS = ["a", "a-b/x", "a.txt", "dir/b", "dir/b-c/x", "dir/b/x", "dir/c"].filter(
  (path) => path !== "dir/b",
);
const ENTRIES = PATHS.map((path) => anEntry(path));

/** Changes a sealed manifest as no program of ours would. */
function tamper(folder: Folder, digest: string, sql: string): void {
  const path = join(folder.path, `${digest}.manifest`);
  chmodSync(path, 0o600);
  const db = openSqlite(path);
  expect(db.prepare(sql).run().changes).toBeGreaterThan(0);
  db.close();
}

function children(manifest: Manifest, path: string): string[] {
  return [...manifest.list(path)].map((node) =>
    node.kind === "directory" ? `${node.path}/` : node.path,
  );
}

test("a directory lists its files and directories by name, a file lists itself", () => {
  using folder = new Folder();
  using manifest = Manifest.open(folder.path, seal(folder.path, ENTRIES).digest);
  expect(children(manifest, "")).toEqual(["a", "a-b/", "a.txt", "dir/"]);
  expect(children(manifest, "dir")).toEqual(["dir/b/", "dir/b-c/", "dir/c"]);
  expect(children(manifest, "dir/c")).toEqual(["dir/c"]);
  expect(() => children(manifest, "dir/nothing")).toThrow(
    expect.objectContaining({ kind: "not-found", subject: "dir/nothing" }),
  );
});

test("find tells files, directories and nothing apart", () => {
  using folder = new Folder();
  using manifest = Manifest.open(folder.path, seal(folder.path, ENTRIES).digest);
  expect(manifest.find("")).toMatchObject({ kind: "directory", id: 1, childCount: 4 });
  expect(manifest.find("dir/b")).toMatchObject({ kind: "directory", childCount: 1 });
  expect(manifest.find("dir/b/x")).toMatchObject({ kind: "file", assurance: "provider" });
  expect(manifest.find("dir/")).toBeNull();
  expect(manifest.find("di")).toBeNull();
});

test("entries come in the byte order of their paths and may be left halfway", () => {
  using folder = new Folder();
  using manifest = Manifest.open(folder.path, seal(folder.path, ENTRIES).digest);
  const sorted = [...PATHS].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  expect([...manifest.entries()].map((entry) => entry.path)).toEqual(sorted);
  for (const entry of manifest.entries()) {
    expect(entry.path).toBe("a");
    break;
  }
});

test("the weakest entries are named, in order and no more than asked for", () => {
  using folder = new Folder();
  const entries = [
    anEntry("content", { digests: { sha256: "00".repeat(32) } }),
    anEntry("none-1", { claims: [], pin: NO_PIN }),
    anEntry("none-2", { claims: [], pin: { etag: 'W/"weak"' } }),
    anEntry("none-3", { claims: [], pin: { versionId: "null" } }),
    anEntry("pin", { claims: [] }),
    anEntry("provider"),
  ];
  const sealed = seal(folder.path, entries);
  expect(sealed.assurances).toEqual({ content: 1, provider: 1, pin: 1, none: 3 });
  using manifest = Manifest.open(folder.path, sealed.digest);
  const below = (...parameters: Parameters<Manifest["firstBelow"]>): string[] =>
    manifest.firstBelow(...parameters).map((entry) => entry.path);
  expect(below("none", 10)).toEqual([]);
  expect(below("pin", 10)).toEqual(["none-1", "none-2", "none-3"]);
  expect(below("pin", 2)).toEqual(["none-1", "none-2"]);
  expect(below("provider", 10)).toEqual(["none-1", "none-2", "none-3", "pin"]);
  expect(below("content", 10)).toHaveLength(5);
});

test("the bytes in large files are summed", () => {
  using folder = new Folder();
  const sizes = [1, 10, 6_000_000_000, null];
  const entries = sizes.map((sizeBytes, index) => anEntry(`f${index}`, { sizeBytes }));
  using manifest = Manifest.open(folder.path, seal(folder.path, entries).digest);
  expect(manifest.bytesInFilesOfAtLeast(10)).toBe(6_000_000_010);
  expect(manifest.bytesInFilesOfAtLeast(1e12)).toBe(0);
});

test.each([
  ["missing", (path: string): void => rmSync(path)],
  ["cut", (path: string): void => writeFileSync(path, readFileSync(path).subarray(0, -1))],
  ["too long", (path: string): void => writeFileSync(path, "x", { flag: "a" })],
  ["empty", (path: string): void => writeFileSync(path, "")],
  [
    "of another manifest",
    (path: string): void => {
      using other = new Folder();
      const { digest } = seal(other.path, [anEntry("other")]);
      writeFileSync(path, readFileSync(join(other.path, `${digest}.idx`)));
    },
  ],
  [
    "damaged in its header",
    (path: string): void => {
      const bytes = readFileSync(path);
      bytes[100] = (bytes[100] ?? 0) ^ 1;
      writeFileSync(path, bytes);
    },
  ],
])("an index that is %s is written anew", (_, damage) => {
  using folder = new Folder();
  const { digest } = seal(folder.path, ENTRIES);
  const path = join(folder.path, `${digest}.idx`);
  const sound = readFileSync(path);
  chmodSync(path, 0o600);
  damage(path);
  using manifest = Manifest.open(folder.path, digest);
  expect(manifest.ensureIndex()).toBe(path);
  expect(readFileSync(path).equals(sound)).toBe(true);
  expect(statSync(path).mode & 0o777).toBe(0o400);
});

test("a whole index is left as it is", () => {
  using folder = new Folder();
  const { digest } = seal(folder.path, ENTRIES);
  const { ino } = statSync(join(folder.path, `${digest}.idx`));
  using manifest = Manifest.open(folder.path, digest);
  expect(statSync(manifest.ensureIndex()).ino).toBe(ino);
});

test("a missing manifest is a fault that says what to do", () => {
  using folder = new Folder();
  const digest = "ab".repeat(32);
  expect(() => Manifest.open(folder.path, digest)).toThrow(
    expect.objectContaining({
      kind: "corrupt",
      message: expect.stringMatching(
        /is missing\. Restore it .* or log the same data again/,
      ) as string,
    }),
  );
  expect(existsSync(join(folder.path, `${digest}.manifest`))).toBe(false);
});

test.each([
  ["cut to half", (bytes: Buffer): Buffer => bytes.subarray(0, bytes.length / 2)],
  ["empty", (): Buffer => Buffer.alloc(0)],
  ["something else", (): Buffer => Buffer.alloc(8192, "text ")],
])("a manifest file that is %s is corrupt, and logging again repairs it", (_, damage) => {
  using folder = new Folder();
  const { digest } = seal(folder.path, ENTRIES);
  const path = join(folder.path, `${digest}.manifest`);
  const bytes = readFileSync(path);
  chmodSync(path, 0o600);
  writeFileSync(path, damage(bytes));
  expect(() => {
    using manifest = Manifest.open(folder.path, digest);
    manifest.verify();
  }).toThrow(expect.objectContaining({ kind: "corrupt", subject: path }));
  seal(folder.path, ENTRIES);
  using repaired = Manifest.open(folder.path, digest);
  repaired.verify();
});

test("a flipped bit anywhere in a manifest is found or harmless", () => {
  using folder = new Folder();
  const { digest } = seal(folder.path, ENTRIES);
  const path = join(folder.path, `${digest}.manifest`);
  const sound = readFileSync(path);
  chmodSync(path, 0o600);
  using reference = Manifest.open(folder.path, digest);
  const expected = [...reference.entries()];
  let found = 0;
  for (let at = 0; at < sound.length; at += 127) {
    const bytes = Buffer.from(sound);
    bytes[at] = (bytes[at] ?? 0) ^ 0x10;
    writeFileSync(path, bytes);
    try {
      using manifest = Manifest.open(folder.path, digest);
      manifest.verify();
      expect([...manifest.entries()]).toEqual(expected);
      expect(children(manifest, "dir")).toEqual(["dir/b/", "dir/b-c/", "dir/c"]);
    } catch (error) {
      expect(error).toMatchObject({ kind: "corrupt" });
      found++;
    }
  }
  expect(found).toBeGreaterThan(10);
});

test.each([
  "UPDATE entry SET size_bytes = 1 WHERE path = 'dir/c'",
  "UPDATE entry SET uri = 's3://bucket/other' WHERE path = 'dir/c'",
  "UPDATE entry SET mtime_ms = 0 WHERE path = 'dir/c'",
  "UPDATE entry SET id = id + 100 WHERE path = 'dir/c'",
  "DELETE FROM entry WHERE path = 'dir/c'",
])("verify finds: %s", (sql) => {
  using folder = new Folder();
  const { digest } = seal(folder.path, ENTRIES);
  tamper(folder, digest, sql);
  using manifest = Manifest.open(folder.path, digest);
  expect(() => manifest.verify()).toThrow(expect.objectContaining({ kind: "corrupt" }));
});

test.each([
  "DELETE FROM directory WHERE path = 'empty'",
  "UPDATE directory SET path = 'emptied' WHERE path = 'empty'",
  "INSERT INTO directory (id, path) VALUES (99, 'more')",
])("verify finds that an empty directory was changed: %s", (sql) => {
  using folder = new Folder();
  using writer = ManifestWriter.create(folder.path);
  for (const entry of ENTRIES) writer.add(entry);
  writer.addDirectory("empty");
  const { digest } = writer.seal();
  tamper(folder, digest, sql);
  using manifest = Manifest.open(folder.path, digest);
  expect(() => manifest.verify()).toThrow(expect.objectContaining({ kind: "corrupt" }));
});

test("verify finds an empty directory in a manifest that was sealed without any", () => {
  using folder = new Folder();
  const { digest } = seal(folder.path, ENTRIES);
  tamper(folder, digest, "INSERT INTO directory (id, path) VALUES (99, 'more')");
  using manifest = Manifest.open(folder.path, digest);
  expect(() => manifest.verify()).toThrow(expect.objectContaining({ kind: "corrupt" }));
});

test.each([
  "UPDATE directory SET child_count = 2 WHERE path = 'dir'",
  "UPDATE directory SET subdir_count = 5 WHERE path = 'dir'",
  "UPDATE directory SET path = 'dis' WHERE path = 'dir'",
  "UPDATE directory SET first_child = first_child + 1 WHERE path = 'a-b'",
  "DELETE FROM directory WHERE path = 'a-b'",
])("a damaged tree is never compiled: %s", (sql) => {
  using folder = new Folder();
  const { digest } = seal(folder.path, ENTRIES);
  tamper(folder, digest, sql);
  rmSync(join(folder.path, `${digest}.idx`));
  using manifest = Manifest.open(folder.path, digest);
  expect(() => manifest.ensureIndex()).toThrow(expect.objectContaining({ kind: "corrupt" }));
  expect(existsSync(join(folder.path, `${digest}.idx`))).toBe(false);
});

test("two rows that changed places are found on reading either", () => {
  using folder = new Folder();
  const { digest } = seal(folder.path, ENTRIES);
  using before = Manifest.open(folder.path, digest);
  const [one, two] = [before.find("a")?.id ?? 0, before.find("a.txt")?.id ?? 0];
  tamper(folder, digest, `UPDATE entry SET id = -1 WHERE id = ${one}`);
  tamper(folder, digest, `UPDATE entry SET id = ${one} WHERE id = ${two}`);
  tamper(folder, digest, `UPDATE entry SET id = ${two} WHERE id = -1`);
  using manifest = Manifest.open(folder.path, digest);
  expect(() => manifest.entry(one)).toThrow(expect.objectContaining({ kind: "corrupt" }));
  expect(() => manifest.entry(two)).toThrow(expect.objectContaining({ kind: "corrupt" }));
});

test("damaged chunk digests are found", () => {
  using folder = new Folder();
  const chunks = new Uint8Array(64).fill(3);
  const { digest } = seal(folder.path, [anEntry("a", { chunks })]);
  tamper(folder, digest, "UPDATE chunk SET sha256s = zeroblob(64)");
  using manifest = Manifest.open(folder.path, digest);
  expect(() => manifest.entry(2)).toThrow(expect.objectContaining({ kind: "corrupt" }));
});

test("a node that is no file is refused", () => {
  using folder = new Folder();
  const { digest } = seal(folder.path, ENTRIES);
  using manifest = Manifest.open(folder.path, digest);
  for (const id of [0, 1, 99]) {
    expect(() => manifest.entry(id)).toThrow(expect.objectContaining({ kind: "corrupt" }));
  }
});
