// Collects the entries and directories of one version, in any order and in bounded memory, and seals them into a
// manifest file and its inode index. Knows no versions and no names.

import { existsSync, utimesSync } from "node:fs";
import { assuranceOf, type Assurance } from "../model/assurance.js";
import { toColumns, type Entry } from "../model/entry.js";
import { Fault } from "../model/fault.js";
import { checkPath } from "../model/path.js";
import { DirectoryTable } from "./directory-table.js";
import { describeManifest, Manifest } from "./manifest.js";
import {
  depthOf,
  ENTRY_COLUMNS,
  entryCheck,
  indexPath,
  MANIFEST_INDEX,
  MANIFEST_SCHEMA,
  manifestPath,
  parentOf,
  ROOT_ID,
  sha256Hex,
  toEntryRow,
  type EntryFields,
  type EntryValues,
} from "./manifest-file.js";
import { countsBy, writeMeta, type ManifestSums, type SealedManifest } from "./manifest-meta.js";
import { digestsOf, PathDigests } from "./path-digests.js";
import { Database, type Statement } from "./sqlite.js";
import { Staging } from "./staging.js";

const FILE = 0;
const DIRECTORY = 1;
const CHUNK_DIGEST_BYTES = 32;
/** Directories remembered as known; the others are looked up. */
const MAX_KNOWN_DIRECTORIES = 50_000;
const CACHE_KIB = 32_768;

/** Ordered by its key, this table is the tree in the order of node ids. */
const STAGING_SCHEMA = `
  CREATE TABLE staged (
    depth INTEGER NOT NULL,
    path TEXT NOT NULL,
    kind INTEGER NOT NULL,
    assurance TEXT,
    chunk_id INTEGER,
    size_bytes INTEGER,
    entry_digest TEXT,
    uri TEXT,
    pin TEXT,
    digests TEXT,
    claims TEXT,
    mtime_ms INTEGER,
    chunks_sha256 TEXT,
    PRIMARY KEY (depth, path)
  ) WITHOUT ROWID;
  CREATE TABLE staged_chunk (id INTEGER PRIMARY KEY, sha256s BLOB NOT NULL);
`;

type StagedFile = readonly [
  kind: typeof FILE,
  assurance: Assurance,
  chunkId: number | null,
  ...EntryFields,
];

type StagedDirectory = readonly [
  kind: typeof DIRECTORY,
  assurance: null,
  chunkId: null,
  path: string,
  ...unset: null[],
];

const STAGED_COLUMNS =
  "kind, assurance, chunk_id, path, size_bytes, entry_digest, uri, pin, digests, claims, mtime_ms, chunks_sha256";

interface StagedRow {
  readonly kind: typeof FILE | typeof DIRECTORY;
  readonly depth: number;
  readonly entry_digest: string | null;
  readonly uri: string | null;
}

/** The values of a statement: positional ones bind almost twice as fast as named ones. */
type Values = readonly (string | number | null)[];

/** One manifest being written; ends with `seal` or `abort`. */
export class ManifestWriter implements Disposable {
  readonly #manifestsDir: string;
  readonly #staging: Staging;
  readonly #db: Database;
  readonly #insertFile: Statement<[...Values]>;
  readonly #insertDirectory: Statement<[number, string]>;
  readonly #insertChunks: Statement<[Uint8Array]>;
  readonly #find: Statement<[number, string], StagedRow>;
  #knownDirectories = new Set<string>([""]);

  /** Makes the folder if missing; removes what killed writers left there. */
  static create(manifestsDir: string): ManifestWriter {
    return new ManifestWriter(manifestsDir);
  }

  private constructor(manifestsDir: string) {
    this.#manifestsDir = manifestsDir;
    this.#staging = Staging.create(manifestsDir);
    this.#db = this.#staging.database;
    this.#db.pragma(`cache_size = -${CACHE_KIB}`);
    this.#db.exec(STAGING_SCHEMA);
    this.#insertFile = this.#db.prepare(`
      INSERT INTO staged (depth, ${STAGED_COLUMNS})
      VALUES (?, ${FILE}, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
      ON CONFLICT DO NOTHING`);
    this.#insertDirectory = this.#db.prepare(
      `INSERT INTO staged (depth, path, kind) VALUES (?, ?, ${DIRECTORY}) ON CONFLICT DO NOTHING`,
    );
    this.#insertChunks = this.#db.prepare("INSERT INTO staged_chunk (sha256s) VALUES (?)");
    this.#find = this.#db.prepare(
      "SELECT kind, depth, entry_digest, uri FROM staged WHERE depth = ? AND path = ?",
    );
  }

  /**
   * Adds one entry. False when its path is there already with the same entryDigest: then the first
   * one stays. A refused entry changes nothing, and others may follow.
   * @throws Fault `usage` for a bad path, a path added twice with different content, and a path that
   * would be file and directory.
   */
  add(entry: Entry): boolean {
    checkPath(entry.path);
    checkValues(entry);
    return this.#db.guard(() => {
      this.#addDirectory(parentOf(entry.path), entry.path);
      const depth = depthOf(entry.path);
      const existing = entry.chunks === null ? undefined : this.#find.get(depth, entry.path);
      if (existing === undefined && this.#insert(entry, depth)) return true;
      this.#checkSame(entry, existing ?? this.#find.get(depth, entry.path));
      return false;
    });
  }

  /**
   * Adds a directory, which stays when nothing is added below it.
   * @throws Fault `usage` for a bad path, and one that is a file's or below one.
   */
  addDirectory(path: string): void {
    checkPath(path);
    this.#db.guard(() => {
      this.#addDirectory(path, `${path}/`);
    });
  }

  /**
   * Writes the manifest and its index, durably, and ends this writer. The same entries give the same
   * manifest: one that exists is kept if it is sound, else replaced.
   */
  seal(): SealedManifest {
    try {
      return this.#db.guard(() => this.#seal());
    } finally {
      this.abort();
    }
  }

  /** Drops everything; does nothing after `seal`. */
  abort(): void {
    this.#staging.remove();
  }

  [Symbol.dispose](): void {
    this.abort();
  }

  #insert(entry: Entry, depth: number): boolean {
    const { chunks } = entry;
    const columns = toColumns(entry);
    const { changes } = this.#insertFile.run(
      depth,
      assuranceOf(entry),
      chunks === null ? null : Number(this.#insertChunks.run(chunks).lastInsertRowid),
      columns.path,
      columns.sizeBytes,
      columns.entryDigest,
      columns.uri,
      columns.pin,
      columns.digests,
      columns.claims,
      entry.mtimeMs === null ? null : Math.floor(entry.mtimeMs),
      chunks === null ? null : sha256Hex(chunks),
    );
    return changes === 1;
  }

  /** Adds `dir` and what is above it, for what is at `path`. */
  #addDirectory(dir: string, path: string): void {
    if (this.#knownDirectories.has(dir)) return;
    this.#addDirectory(parentOf(dir), path);
    const depth = depthOf(dir);
    if (this.#insertDirectory.run(depth, dir).changes === 0) {
      if (this.#find.get(depth, dir)?.kind === FILE) throw clash(dir, path);
    }
    if (this.#knownDirectories.size >= MAX_KNOWN_DIRECTORIES) {
      this.#knownDirectories = new Set([""]);
    }
    this.#knownDirectories.add(dir);
  }

  #checkSame(entry: Entry, existing: StagedRow | undefined): void {
    if (existing === undefined) throw new Error(`lost the staged row of ${entry.path}`);
    if (existing.kind === DIRECTORY) {
      const below = this.#db.prepare<[number, string, string], { path: string }>(
        "SELECT path FROM staged WHERE depth = ? AND path > ? AND path < ? LIMIT 1",
      );
      // All paths below "a" lie between "a/" and "a0": "0" follows "/".
      const row = below.get(existing.depth + 1, `${entry.path}/`, `${entry.path}0`);
      throw clash(entry.path, row?.path ?? `${entry.path}/`);
    }
    if (existing.entry_digest !== entry.entryDigest) {
      throw new Fault(
        "usage",
        `Cannot add the same path twice: "${entry.path}" is ${existing.uri} and ${entry.uri}, with different content; give one of them another path`,
        { subject: entry.path },
      );
    }
  }

  #seal(): SealedManifest {
    const staged = this.#staging.path("manifest");
    const sealed = this.#writeManifest(staged);
    const path = manifestPath(this.#manifestsDir, sealed.digest);
    const keep = isSound(this.#manifestsDir, sealed.digest);
    {
      // Both files are complete before either gets its name: a full disk leaves neither.
      using manifest = Manifest.open(this.#manifestsDir, sealed.digest, keep ? path : staged);
      manifest.compileIndex(this.#staging.path("idx"));
    }
    if (!keep) this.#staging.publish("manifest", path);
    // One that nothing named may be old enough to be swept away: from now on it is young.
    else this.#db.guard(() => utimesSync(path, new Date(), new Date()));
    this.#staging.publish("idx", indexPath(this.#manifestsDir, sealed.digest));
    return sealed;
  }

  #writeManifest(path: string): SealedManifest {
    using db = new Database({
      ...describeManifest(path),
      mode: "create",
    });
    db.pragma("journal_mode = MEMORY");
    db.pragma("synchronous = OFF");
    db.pragma("locking_mode = EXCLUSIVE");
    db.pragma(`cache_size = -${CACHE_KIB}`);
    return db.write(() => {
      db.exec(MANIFEST_SCHEMA);
      const inPathOrder = new PathDigests();
      const { nodes, ...sums } = this.#copyTree(db, inPathOrder);
      db.exec(MANIFEST_INDEX);
      const emptyDirectories = inPathOrder.addEmptyDirectories(db);
      const digests = inPathOrder.finish() ?? digestsOf(db);
      const sealed = { ...digests, ...sums };
      writeMeta(db, { ...sealed, nodes, emptyDirectories, createdMs: Date.now() });
      return sealed;
    });
  }

  /** Copies the staged tree, giving ids in the order of depth and path. */
  #copyTree(db: Database, digests: PathDigests): ManifestSums & { nodes: number } {
    const insertEntry = db.prepare<[...EntryValues]>(
      `INSERT INTO entry (${ENTRY_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    );
    const insertChunks = db.prepare<[number, Buffer]>("INSERT INTO chunk VALUES (?, ?)");
    const chunksOf = this.#db.prepare<[number], { sha256s: Buffer }>(
      "SELECT sha256s FROM staged_chunk WHERE id = ?",
    );
    const directories = new DirectoryTable(db);
    directories.add(ROOT_ID, "");
    let id = ROOT_ID;
    let files = 0;
    let bytes = 0;
    let unknownSizes = 0;
    const counts = countsBy(() => 0);
    const staged = this.#db.prepare<[], StagedFile | StagedDirectory>(
      `SELECT ${STAGED_COLUMNS} FROM staged ORDER BY depth, path`,
    );
    for (const row of staged.raw().iterate()) {
      id++;
      const [kind, assurance, chunkId, path, sizeBytes] = row;
      directories.addChild(parentOf(path), id, kind === DIRECTORY);
      if (kind === DIRECTORY) {
        directories.add(id, path);
        continue;
      }
      const values = entryValues(row, id);
      insertEntry.run(...values);
      digests.add(values);
      if (chunkId !== null) {
        const chunks = chunksOf.get(chunkId);
        if (chunks === undefined) throw new Error(`lost the staged chunks of ${path}`);
        insertChunks.run(id, chunks.sha256s);
      }
      files++;
      bytes += sizeBytes ?? 0;
      unknownSizes += sizeBytes === null ? 1 : 0;
      counts[assurance]++;
    }
    directories.finish();
    return { nodes: id, files, bytes, unknownSizes, assurances: counts };
  }
}

function entryValues(staged: StagedFile, id: number): EntryValues {
  const [, , , path, size, entryDigest, uri, pin, digests, claims, mtime, chunks] = staged;
  const values = [id, path, size, entryDigest, uri, pin, digests, claims, mtime, chunks] as const;
  return [...values, entryCheck(toEntryRow([...values, 0]))];
}

/** True when this manifest is there already, whole. */
function isSound(manifestsDir: string, digest: string): boolean {
  if (!existsSync(manifestPath(manifestsDir, digest))) return false;
  try {
    using manifest = Manifest.open(manifestsDir, digest);
    manifest.verify();
    return true;
  } catch (error) {
    if (error instanceof Fault && error.kind === "corrupt") return false;
    throw error;
  }
}

function clash(file: string, below: string): Fault {
  return new Fault(
    "usage",
    `"${file}" cannot be a file and, for "${below}", a directory; give one of them another path`,
    { subject: file },
  );
}

function checkValues({ path, sizeBytes, entryDigest, uri, chunks }: Entry): void {
  if (!entryDigest.isWellFormed() || !uri.isWellFormed()) {
    throw new Fault("usage", `The URI or digest of "${path}" is not valid Unicode`, {
      subject: path,
    });
  }
  if (sizeBytes !== null && !(Number.isSafeInteger(sizeBytes) && sizeBytes >= 0)) {
    throw new Fault("usage", `The size of "${path}" is not a number of bytes: ${sizeBytes}`, {
      subject: path,
    });
  }
  if (chunks !== null && (chunks.length === 0 || chunks.length % CHUNK_DIGEST_BYTES !== 0)) {
    throw new Error(`chunk digests of ${path} are ${chunks.length} bytes`);
  }
}
