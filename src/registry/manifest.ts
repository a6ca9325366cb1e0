// Reads a sealed manifest. Every row is checked before it is used: a damaged manifest is a `corrupt`
// fault, never another file. Writes nothing but a missing index.

import { existsSync, rmSync } from "node:fs";
import { ASSURANCES, assuranceOf, satisfies, type Assurance } from "../model/assurance.js";
import { decodeClaims, decodeDigests } from "../model/digest.js";
import type { Entry } from "../model/entry.js";
import { Fault } from "../model/fault.js";
import { decodePin } from "../model/pin.js";
import { checkDirectory, mergeById, walkTree } from "./manifest-tree.js";
import { isIndexOf, writeIndex, type IndexNode } from "./inode-index.js";
import {
  canonicalDirectoryLine,
  canonicalLine,
  DIRECTORY_COLUMNS,
  EMPTY_DIRECTORIES,
  ENTRY_COLUMNS,
  entryCheck,
  indexPath,
  ManifestDigest,
  manifestPath,
  parentOf,
  ROOT_ID,
  sha256Hex,
  toEntry,
  toEntryRow,
  type DirectoryRow,
  type EntryRow,
  type EntryValues,
} from "./manifest-file.js";
import { readMeta, type AssuranceCounts, type ManifestMeta } from "./manifest-meta.js";
import { Database, type Described, type Statement } from "./sqlite.js";
import { Staging } from "./staging.js";
import { WandbDigest } from "./wandb-digest.js";

export interface FileNode {
  readonly kind: "file";
  readonly id: number;
  readonly path: string;
  readonly sizeBytes: number | null;
  readonly mtimeMs: number | null;
  readonly assurance: Assurance;
}

export interface DirectoryNode {
  readonly kind: "directory";
  readonly id: number;
  /** "" for the root. */
  readonly path: string;
  readonly childCount: number;
}

export type ManifestNode = FileNode | DirectoryNode;

/** An open manifest. Iterators are finished (or left) before `close`. */
export class Manifest implements Disposable {
  readonly digest: string;
  readonly wandbDigest: string;
  readonly files: number;
  readonly bytes: number;
  readonly unknownSizes: number;
  readonly assurances: AssuranceCounts;
  /** Files and directories, the root included: the node ids are 1 to this. */
  readonly nodeCount: number;
  /** When it was sealed, milliseconds since 1970; also the time of its directories. */
  readonly createdMs: number;
  readonly #manifestsDir: string;
  readonly #described: Described;
  readonly #db: Database;
  readonly #meta: ManifestMeta;
  readonly #entryById: Statement<[number], EntryRow>;
  readonly #entryByPath: Statement<[string], EntryRow>;
  readonly #directoryByPath: Statement<[string], DirectoryRow>;
  readonly #chunksById: Statement<[number], { sha256s: Buffer }>;

  /**
   * Opens a manifest by its digest; takes the same time for ten entries and for a million.
   * @param path Where it is while it does not have its name yet.
   * @throws Fault `corrupt` when it is missing or damaged.
   */
  static open(
    manifestsDir: string,
    digest: string,
    path = manifestPath(manifestsDir, digest),
  ): Manifest {
    const described = describeManifest(path);
    if (!existsSync(described.path)) {
      throw new Fault("corrupt", `${described.what} is missing. ${described.remedy}`, {
        subject: described.path,
      });
    }
    const db = new Database({ ...described, mode: "readonly" });
    try {
      return new Manifest(manifestsDir, digest, described, db);
    } catch (error) {
      db.close();
      throw error;
    }
  }

  private constructor(manifestsDir: string, digest: string, described: Described, db: Database) {
    this.#manifestsDir = manifestsDir;
    this.#described = described;
    this.#db = db;
    const meta = db.guard(() => readMeta(db));
    if (meta?.digest !== digest) throw this.#corrupt("its own description does not match");
    this.#meta = meta;
    this.digest = digest;
    this.wandbDigest = meta.wandbDigest;
    this.files = meta.files;
    this.bytes = meta.bytes;
    this.unknownSizes = meta.unknownSizes;
    this.assurances = meta.assurances;
    this.nodeCount = meta.nodes;
    this.createdMs = meta.createdMs;
    this.#entryById = db.prepare(`SELECT ${ENTRY_COLUMNS} FROM entry WHERE id = ?`);
    this.#entryByPath = db.prepare(`SELECT ${ENTRY_COLUMNS} FROM entry WHERE path = ?`);
    this.#directoryByPath = db.prepare(`SELECT ${DIRECTORY_COLUMNS} FROM directory WHERE path = ?`);
    this.#chunksById = db.prepare("SELECT sha256s FROM chunk WHERE id = ?");
  }

  /**
   * The entry of a file's node.
   * @throws Fault `corrupt` when the row is missing or damaged.
   */
  entry(id: number): Entry {
    const row = this.#db.guard(() => this.#entryById.get(id));
    if (row === undefined) throw this.#corrupt(`it has no file with id ${id}`);
    this.#check(row);
    return toEntry(row, this.#chunks(row));
  }

  /** The file or directory at `path` ("" is the root), or null. */
  find(path: string): ManifestNode | null {
    return this.#db.guard(() => {
      const row = this.#entryByPath.get(path);
      if (row !== undefined) {
        if (row.path !== path) throw this.#corrupt("its index of paths does not match");
        return this.#fileNode(row);
      }
      const directory = this.#directoryByPath.get(path);
      return directory === undefined ? null : this.#directoryNode(directory);
    });
  }

  /**
   * The children of a directory in the byte order of their names; a file's path lists itself.
   * @throws Fault `not-found` when there is nothing at `path`.
   */
  *list(path: string): IterableIterator<ManifestNode> {
    const node = this.find(path);
    if (node === null) {
      throw new Fault("not-found", `There is no file or directory "${path}" in this version`, {
        subject: path,
      });
    }
    if (node.kind === "file") {
      yield node;
      return;
    }
    const directory = this.#db.guard(() => this.#directoryByPath.get(path));
    if (directory === undefined) return;
    let id = directory.first_child;
    for (const row of this.#between(id, id + directory.child_count - 1)) {
      if (row.id !== id || parentOf(row.path) !== path) throw this.#corrupt(`id ${id} is missing`);
      yield "uri" in row ? this.#fileNode(row) : this.#directoryNode(row);
      id++;
    }
    if (id !== directory.first_child + directory.child_count) {
      throw this.#corrupt(`id ${id} is missing`);
    }
  }

  /**
   * Every entry in path order (`comparePaths`), in bounded memory.
   * @param below only what is below this directory; "" for all.
   */
  *entries(below = ""): IterableIterator<Entry> {
    const rows = below === "" ? this.#entryRows() : this.#entryRowsBelow(below);
    for (const row of rows) yield toEntry(row, this.#chunks(row));
  }

  /**
   * Every row in path order as it is stored, unchecked: for whoever compares many and uses few.
   * Complains at the end when some were missing.
   */
  *rows(): IterableIterator<EntryValues> {
    const rows = this.#db.prepare<[], EntryValues>(
      `SELECT ${ENTRY_COLUMNS} FROM entry ORDER BY path`,
    );
    let count = 0;
    for (const values of this.#db.iterate(rows.raw())) {
      count++;
      yield values;
    }
    if (count !== this.files) throw this.#corrupt(`${count} of ${this.files} entries are there`);
  }

  /** The entry of one of `rows`, checked. */
  entryOf(values: EntryValues): Entry {
    const row = toEntryRow(values);
    this.#check(row);
    return toEntry(row, this.#chunks(row));
  }

  /** The paths of the empty directories in path order, in bounded memory. */
  *emptyDirectories(): IterableIterator<string> {
    if (this.#meta.emptyDirectories === 0) return;
    const rows = this.#db.prepare<[], { path: string }>(EMPTY_DIRECTORIES);
    for (const { path } of this.#db.iterate(rows)) yield path;
  }

  /** The first `limit` entries in path order whose assurance is below `level`. */
  firstBelow(level: Assurance, limit: number): Entry[] {
    const found: Entry[] = [];
    if (ASSURANCES.every((each) => satisfies(each, level) || this.assurances[each] === 0)) {
      return found;
    }
    // An entry with a hash is of the highest level, so it is never among them.
    const rows = this.#db.prepare<[], EntryRow>(
      `SELECT ${ENTRY_COLUMNS} FROM entry WHERE digests = '' ORDER BY path`,
    );
    for (const row of this.#db.iterate(rows)) {
      this.#check(row);
      const entry = toEntry(row, this.#chunks(row));
      if (!satisfies(assuranceOf(entry), level)) found.push(entry);
      if (found.length >= limit) break;
    }
    return found;
  }

  /**
   * The files whose path matches `pattern`, in path order: `*` is any text, "/" included, `?` one
   * character, `[a-z]` one of these.
   */
  *matching(pattern: string): IterableIterator<FileNode> {
    const rows = this.#db.prepare<[string], EntryRow>(
      `SELECT ${ENTRY_COLUMNS} FROM entry WHERE path GLOB ? ORDER BY path`,
    );
    for (const row of this.#db.iterate(rows, pattern)) yield this.#fileNode(row);
  }

  /** The sum of the sizes of the files that have `sizeBytes` or more. Reads every row. */
  bytesInFilesOfAtLeast(sizeBytes: number): number {
    const sum = this.#db.prepare<[number], { bytes: number }>(
      "SELECT coalesce(sum(size_bytes), 0) AS bytes FROM entry WHERE size_bytes >= ?",
    );
    return this.#db.guard(() => sum.get(sizeBytes)?.bytes ?? 0);
  }

  /** The path of the inode index, which is compiled anew when it is missing or not whole. */
  ensureIndex(): string {
    const path = indexPath(this.#manifestsDir, this.digest);
    if (!isIndexOf(path, this.digest)) {
      this.verify();
      using staging = Staging.create(this.#manifestsDir);
      this.compileIndex(staging.path("idx"));
      staging.publish("idx", path);
    }
    return path;
  }

  /** Removes the inode index, found damaged: the next mount compiles it anew. */
  dropIndex(): void {
    this.#db.guard(() => rmSync(indexPath(this.#manifestsDir, this.digest), { force: true }));
  }

  /** Writes the inode index of a verified manifest to a new file. */
  compileIndex(path: string): void {
    const { nodes, files, bytes, digest, createdMs } = this.#meta;
    const header = {
      nodeCount: nodes,
      fileCount: files,
      totalBytes: bytes,
      digest,
      rootMtimeMs: createdMs,
    };
    this.#db.guard(() => writeIndex(path, header, this.#walk()));
  }

  /**
   * Reads everything and compares it with the manifest's digests.
   * @throws Fault `corrupt`
   */
  verify(): void {
    const digest = new ManifestDigest();
    const wandbDigest = new WandbDigest();
    for (const row of this.#entryRows()) {
      digest.add(canonicalLine(row));
      wandbDigest.add(row.path, row.entry_digest);
      this.#chunks(row);
    }
    for (const path of this.emptyDirectories()) digest.add(canonicalDirectoryLine(path));
    if (digest.finish() !== this.digest || wandbDigest.finish() !== this.wandbDigest) {
      throw this.#corrupt("its entries do not have its digest");
    }
    let empty = 0;
    for (const { kind, id, childCount } of this.#walk()) {
      if (kind === "directory" && id !== ROOT_ID && childCount === 0) empty++;
    }
    if (empty !== this.#meta.emptyDirectories) {
      throw this.#corrupt(`it has ${empty} empty directories and not the ones it was sealed with`);
    }
  }

  close(): void {
    this.#db.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** All entry rows in path order, checked; complains at the end when some were missing. */
  *#entryRows(): IterableIterator<EntryRow> {
    for (const values of this.rows()) {
      const row = toEntryRow(values);
      this.#check(row);
      yield row;
    }
  }

  *#entryRowsBelow(directory: string): IterableIterator<EntryRow> {
    // All paths below "a" lie between "a/" and "a0": "0" follows "/".
    const rows = this.#db.prepare<[string, string], EntryRow>(
      `SELECT ${ENTRY_COLUMNS} FROM entry WHERE path > ? AND path < ? ORDER BY path`,
    );
    for (const row of this.#db.iterate(rows, `${directory}/`, `${directory}0`)) {
      this.#check(row);
      yield row;
    }
  }

  #between(first: number, last: number): IterableIterator<EntryRow | DirectoryRow> {
    const entries = this.#db.prepare<[number, number], EntryRow>(
      `SELECT ${ENTRY_COLUMNS} FROM entry WHERE id BETWEEN ? AND ? ORDER BY id`,
    );
    const directories = this.#db.prepare<[number, number], DirectoryRow>(
      `SELECT ${DIRECTORY_COLUMNS} FROM directory WHERE id BETWEEN ? AND ? ORDER BY id`,
    );
    return mergeById(
      this.#db.iterate(entries, first, last),
      this.#db.iterate(directories, first, last),
    );
  }

  #walk(): IterableIterator<IndexNode> {
    return walkTree(this.#db, this.#meta.nodes, (why) => this.#corrupt(why));
  }

  #fileNode(row: EntryRow): FileNode {
    this.#check(row);
    return {
      kind: "file",
      id: row.id,
      path: row.path,
      sizeBytes: row.size_bytes,
      mtimeMs: row.mtime_ms,
      assurance: assuranceOf({
        digests: decodeDigests(row.digests),
        claims: decodeClaims(row.claims),
        pin: decodePin(row.pin),
      }),
    };
  }

  #directoryNode(row: DirectoryRow): DirectoryNode {
    checkDirectory(row, (why) => this.#corrupt(why));
    return { kind: "directory", id: row.id, path: row.path, childCount: row.child_count };
  }

  #check(row: EntryRow): void {
    if (entryCheck(row) !== row.check_crc) throw this.#corrupt(`row ${row.id} is damaged`);
  }

  #chunks(row: EntryRow): Uint8Array | null {
    if (row.chunks_sha256 === null) return null;
    const found = this.#db.guard(() => this.#chunksById.get(row.id));
    if (found === undefined || sha256Hex(found.sha256s) !== row.chunks_sha256) {
      throw this.#corrupt(`the chunk digests of row ${row.id} are damaged`);
    }
    return found.sha256s;
  }

  #corrupt(why: string): Fault {
    const { what, path, remedy } = this.#described;
    return new Fault("corrupt", `${what} is damaged: ${why}. ${remedy}`, { subject: path });
  }
}

/** How messages name a manifest. */
export function describeManifest(path: string): Described {
  return {
    path,
    what: `The manifest ${path}`,
    remedy:
      "Restore it from a backup, or log the same data again: that writes it anew under the same version.",
  };
}
