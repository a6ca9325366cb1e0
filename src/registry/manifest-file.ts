// The form of a sealed manifest: a SQLite file named by the digest of its canonical rows. Encodes
// and checks rows; opens and writes nothing.

import { createHash } from "node:crypto";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { decodeClaims, decodeDigests } from "../model/digest.js";
import type { Entry } from "../model/entry.js";
import { canonicalRowOf } from "../model/entry.js";
import { decodePin } from "../model/pin.js";
import { TextHash } from "./text-hash.js";

/** Of the tables below; a manifest with another one is not read. */
export const MANIFEST_FORMAT = 1;
/** The same with empty directories, which format 1 does not have and who knows only that one refuses. */
export const EMPTY_DIRECTORIES_FORMAT = 2;

/** Rows get their ids, which are node ids, in the order of depth and path; the root is 1. */
export const ROOT_ID = 1;

export const MANIFEST_SCHEMA = `
  CREATE TABLE entry (
    id INTEGER PRIMARY KEY,
    path TEXT NOT NULL,
    size_bytes INTEGER,
    entry_digest TEXT NOT NULL,
    uri TEXT NOT NULL,
    pin TEXT NOT NULL,
    digests TEXT NOT NULL,
    claims TEXT NOT NULL,
    mtime_ms INTEGER,
    chunks_sha256 TEXT,
    check_crc INTEGER NOT NULL
  );
  CREATE TABLE chunk (id INTEGER PRIMARY KEY REFERENCES entry, sha256s BLOB NOT NULL);
  CREATE TABLE directory (
    id INTEGER PRIMARY KEY,
    path TEXT NOT NULL UNIQUE,
    first_child INTEGER NOT NULL DEFAULT 0,
    child_count INTEGER NOT NULL DEFAULT 0,
    subdir_count INTEGER NOT NULL DEFAULT 0,
    check_crc INTEGER NOT NULL DEFAULT 0
  );
  CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
`;

/** Made after the rows: sorting once is faster and denser than inserting one by one. */
export const MANIFEST_INDEX = "CREATE UNIQUE INDEX entry_path ON entry (path)";

export const ENTRY_COLUMNS =
  "id, path, size_bytes, entry_digest, uri, pin, digests, claims, mtime_ms, chunks_sha256, check_crc";

export interface EntryRow {
  readonly id: number;
  readonly path: string;
  readonly size_bytes: number | null;
  readonly entry_digest: string;
  readonly uri: string;
  readonly pin: string;
  readonly digests: string;
  readonly claims: string;
  readonly mtime_ms: number | null;
  readonly chunks_sha256: string | null;
  readonly check_crc: number;
}

/** An entry row as SQLite gives it fastest: the values in the order of ENTRY_COLUMNS. */
export type EntryValues = readonly [id: number, ...EntryFields, checkCrc: number];

/** What a row says of its file, without its id and its check. */
export type EntryFields = readonly [
  path: string,
  sizeBytes: number | null,
  entryDigest: string,
  uri: string,
  pin: string,
  digests: string,
  claims: string,
  mtimeMs: number | null,
  chunksSha256: string | null,
];

export function toEntryRow(values: EntryValues): EntryRow {
  return {
    id: values[0],
    path: values[1],
    size_bytes: values[2],
    entry_digest: values[3],
    uri: values[4],
    pin: values[5],
    digests: values[6],
    claims: values[7],
    mtime_ms: values[8],
    chunks_sha256: values[9],
    check_crc: values[10],
  };
}

export const DIRECTORY_COLUMNS = "id, path, first_child, child_count, subdir_count, check_crc";

export interface DirectoryRow {
  readonly id: number;
  /** "" for the root. */
  readonly path: string;
  readonly first_child: number;
  readonly child_count: number;
  readonly subdir_count: number;
  readonly check_crc: number;
}

/** The line of an entry in what its manifest's name is computed from, without the newline. */
export function canonicalLine(row: Omit<EntryRow, "id" | "check_crc">): string {
  const line = canonicalRowOf({
    path: row.path,
    sizeBytes: row.size_bytes,
    entryDigest: row.entry_digest,
    uri: row.uri,
    pin: row.pin,
    digests: row.digests,
    claims: row.claims,
  });
  return row.chunks_sha256 === null ? line : `${line}\t${row.chunks_sha256}`;
}

/** The same for an empty directory; these lines follow those of the entries, in path order, too. */
export function canonicalDirectoryLine(path: string): string {
  return JSON.stringify([`${path}/`]);
}

/** The paths of the empty directories of a manifest, in path order. */
export const EMPTY_DIRECTORIES = `SELECT path FROM directory WHERE child_count = 0 AND id <> ${ROOT_ID} ORDER BY path`;

/** What `check_crc` must hold: all of the row, under this id. */
export function entryCheck(row: Omit<EntryRow, "check_crc">): number {
  const texts = `${row.path}\0${row.entry_digest}\0${row.uri}\0${row.pin}\0${row.digests}\0${row.claims}`;
  const numbers = `${row.id}\0${row.size_bytes ?? ""}\0${row.mtime_ms ?? ""}`;
  return crc32(`${numbers}\0${row.chunks_sha256 ?? ""}\0${texts}`);
}

export function directoryCheck(row: Omit<DirectoryRow, "check_crc">): number {
  return crc32(
    `${row.id}\t${row.path}\t${row.first_child}\t${row.child_count}\t${row.subdir_count}`,
  );
}

/** The digest that names a manifest, over its canonical lines in path order. */
export class ManifestDigest {
  readonly #hash = new TextHash("sha256", "refmount-manifest-v1\n");

  add(line: string): void {
    this.#hash.add(`${line}\n`);
  }

  finish(): string {
    return this.#hash.finish();
  }
}

export function sha256Hex(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

export function toEntry(row: EntryRow, chunks: Uint8Array | null): Entry {
  return {
    path: row.path,
    sizeBytes: row.size_bytes,
    entryDigest: row.entry_digest,
    uri: row.uri,
    pin: decodePin(row.pin),
    digests: decodeDigests(row.digests),
    claims: decodeClaims(row.claims),
    chunks,
    mtimeMs: row.mtime_ms,
  };
}

export function manifestPath(manifestsDir: string, digest: string): string {
  return join(manifestsDir, `${digest}.manifest`);
}

export function indexPath(manifestsDir: string, digest: string): string {
  return join(manifestsDir, `${digest}.idx`);
}

/** The folder that holds a path; "" for the root. */
export function parentOf(path: string): string {
  const slash = path.lastIndexOf("/");
  return slash < 0 ? "" : path.slice(0, slash);
}

export function nameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** 1 for a path at the top. */
export function depthOf(path: string): number {
  let depth = 1;
  for (let at = path.indexOf("/"); at >= 0; at = path.indexOf("/", at + 1)) depth++;
  return depth;
}
