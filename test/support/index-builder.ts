// Builds inode indexes for tests, also damaged ones: written from the format's description, not with
// the registry's code, so that each checks the other.

import { createHash } from "node:crypto";

export const HEADER_BYTES = 128;
export const RECORD_BYTES = 48;

export interface IndexedFile {
  readonly path: string;
  /** null: unknown. */
  readonly sizeBytes: number | null;
  readonly mtimeMs?: number;
}

export interface IndexOptions {
  /** Hex. */
  readonly manifestDigest?: string;
  readonly rootMtimeMs?: number;
  /** Directories without files below them. */
  readonly emptyDirectories?: readonly string[];
}

export interface BuiltIndex {
  readonly bytes: Buffer;
  readonly manifestDigest: string;
  /** Node id by path; the root is "". */
  readonly ids: ReadonlyMap<string, number>;
}

interface Draft {
  readonly path: string;
  readonly depth: number;
  readonly key: Buffer;
  readonly file: IndexedFile | null;
}

export function buildIndex(files: readonly IndexedFile[], options: IndexOptions = {}): BuiltIndex {
  const manifestDigest =
    options.manifestDigest ?? createHash("sha256").update(JSON.stringify(files)).digest("hex");
  const rootMtimeMs = options.rootMtimeMs ?? 1_700_000_000_000;
  const drafts = sortedDrafts(files, options.emptyDirectories ?? []);
  const ids = new Map(drafts.map((draft, index) => [draft.path, index + 1]));
  const children = new Map<string, Draft[]>();
  for (const draft of drafts.slice(1)) {
    const parent = parentOf(draft.path);
    const siblings = children.get(parent) ?? [];
    siblings.push(draft);
    children.set(parent, siblings);
  }

  const nodes = Buffer.alloc(drafts.length * RECORD_BYTES);
  const names: Buffer[] = [];
  let namesBytes = 0;
  drafts.forEach((draft, index) => {
    const own = children.get(draft.path) ?? [];
    const name = Buffer.from(draft.path.slice(draft.path.lastIndexOf("/") + 1));
    const record = nodes.subarray(index * RECORD_BYTES, (index + 1) * RECORD_BYTES);
    record.writeBigUInt64LE(BigInt(draft.file?.sizeBytes ?? 0), 0);
    record.writeBigInt64LE(BigInt(draft.file?.mtimeMs ?? rootMtimeMs), 8);
    record.writeBigUInt64LE(BigInt(namesBytes), 16);
    record.writeUInt32LE(draft.path === "" ? 1 : (ids.get(parentOf(draft.path)) ?? 0), 24);
    record.writeUInt32LE(own[0] === undefined ? 0 : (ids.get(own[0].path) ?? 0), 28);
    record.writeUInt32LE(own.length, 32);
    record.writeUInt16LE(name.length, 36);
    record.writeUInt8(draft.file === null ? 1 : 2, 38);
    record.writeUInt8(draft.file?.sizeBytes === null ? 1 : 0, 39);
    record.writeUInt32LE(own.filter((child) => child.file === null).length, 40);
    sealRecord(record, index + 1, name);
    names.push(name);
    namesBytes += name.length;
  });

  const header = Buffer.alloc(HEADER_BYTES);
  header.write("RFMIDX01", 0, "latin1");
  header.writeUInt32LE(1, 8);
  header.writeBigUInt64LE(BigInt(drafts.length), 16);
  header.writeBigUInt64LE(BigInt(files.length), 24);
  const totalBytes = files.reduce((total, file) => total + (file.sizeBytes ?? 0), 0);
  header.writeBigUInt64LE(BigInt(totalBytes), 32);
  header.writeBigUInt64LE(BigInt(HEADER_BYTES), 40);
  header.writeBigUInt64LE(BigInt(HEADER_BYTES + nodes.length), 48);
  header.writeBigUInt64LE(BigInt(namesBytes), 56);
  header.write(manifestDigest, 64, "hex");
  header.writeBigInt64LE(BigInt(rootMtimeMs), 96);
  sealHeader(header);
  return { bytes: Buffer.concat([header, nodes, ...names]), manifestDigest, ids };
}

/** Writes the checksum of a header, after a change that is to go unnoticed by it. */
export function sealHeader(header: Buffer): void {
  header.writeUInt32LE(0, 12);
  header.writeUInt32LE(castagnoli(header.subarray(0, HEADER_BYTES)), 12);
}

/** Writes the checksum of a record, after a change that is to go unnoticed by it. */
export function sealRecord(record: Buffer, id: number, name: Uint8Array): void {
  const idBytes = Buffer.alloc(8);
  idBytes.writeBigUInt64LE(BigInt(id));
  record.writeUInt32LE(castagnoli(Buffer.concat([record.subarray(0, 44), idBytes, name])), 44);
}

/** The record of node `id`, in place. */
export function recordOf(index: Buffer, id: number): Buffer {
  const start = HEADER_BYTES + RECORD_BYTES * (id - 1);
  return index.subarray(start, start + RECORD_BYTES);
}

/** CRC-32C of every 4 KiB of `bytes`, little endian. */
export function blockCrcs(bytes: Uint8Array): Buffer {
  const crcs = Buffer.alloc(Math.ceil(bytes.length / 4096) * 4);
  for (let block = 0; block * 4 < crcs.length; block++) {
    crcs.writeUInt32LE(castagnoli(bytes.subarray(block * 4096, (block + 1) * 4096)), block * 4);
  }
  return crcs;
}

const TABLE = Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = (value >>> 1) ^ (value & 1 ? 0x82f63b78 : 0);
  return value >>> 0;
});

function castagnoli(bytes: Uint8Array): number {
  let value = 0xffffffff;
  for (const byte of bytes) value = (value >>> 8) ^ (TABLE[(value ^ byte) & 0xff] ?? 0);
  return (value ^ 0xffffffff) >>> 0;
}

function sortedDrafts(files: readonly IndexedFile[], directories: readonly string[]): Draft[] {
  const found = new Map<string, IndexedFile | null>([["", null]]);
  const addParents = (path: string): void => {
    for (let parent = parentOf(path); !found.has(parent); parent = parentOf(parent)) {
      found.set(parent, null);
    }
  };
  for (const file of files) {
    addParents(file.path);
    found.set(file.path, file);
  }
  for (const directory of directories) {
    addParents(directory);
    found.set(directory, null);
  }
  return [...found]
    .map(([path, file]) => ({
      path,
      file,
      depth: path === "" ? 0 : path.split("/").length,
      key: Buffer.from(path),
    }))
    .sort((a, b) => a.depth - b.depth || Buffer.compare(a.key, b.key));
}

function parentOf(path: string): string {
  const slash = path.lastIndexOf("/");
  return slash < 0 ? "" : path.slice(0, slash);
}
