// Writes the inode index: a manifest's tree as one flat file that native code maps and reads without
// SQLite. Node ids run in the order of (depth, path), so that the children of a directory are
// contiguous and sorted by name. Does not read nodes back: see native/tree and mount/index-reader.

import { closeSync, openSync, readSync, fstatSync, writeSync } from "node:fs";
import { crc32c } from "../model/crc32c.js";
import {
  FLAG_SIZE_UNKNOWN,
  HEADER_BYTES,
  HEADER_CRC_OFFSET,
  INDEX_MAGIC,
  INDEX_VERSION,
  KIND_DIRECTORY,
  KIND_FILE,
  RECORD_BYTES,
  RECORD_CRC_OFFSET,
} from "../model/index-format.js";
import { MAX_NAME_BYTES } from "../model/path.js";

const ID_BYTES = 8;

export interface IndexNode {
  /** 1 for the root, then each the next. */
  readonly id: number;
  readonly parent: number;
  /** "" for the root. */
  readonly name: string;
  readonly kind: "directory" | "file";
  /** Null when unknown; 0 for a directory. */
  readonly sizeBytes: number | null;
  /** Null: the time of the root. */
  readonly mtimeMs: number | null;
  /** 0 when there is none. */
  readonly firstChild: number;
  readonly childCount: number;
  readonly subdirCount: number;
}

export interface IndexHeader {
  readonly nodeCount: number;
  readonly fileCount: number;
  readonly totalBytes: number;
  /** Of the manifest, hex. */
  readonly digest: string;
  readonly rootMtimeMs: number;
}

/** Writes a new file at `path`, for its owner only. `nodes` come in the order of their ids. */
export function writeIndex(path: string, header: IndexHeader, nodes: Iterable<IndexNode>): void {
  const fd = openSync(path, "wx", 0o600);
  try {
    const namesOffset = HEADER_BYTES + header.nodeCount * RECORD_BYTES;
    const records = new Region(fd, HEADER_BYTES);
    const names = new Region(fd, namesOffset);
    // The bytes that a record's crc covers: the record up to its crc, its id, its name.
    const scratch = Buffer.alloc(RECORD_CRC_OFFSET + ID_BYTES + MAX_NAME_BYTES);
    const crc = Buffer.alloc(RECORD_BYTES - RECORD_CRC_OFFSET);
    let namesBytes = 0;
    for (const node of nodes) {
      const nameBytes = scratch.write(node.name, RECORD_CRC_OFFSET + ID_BYTES, "utf8");
      encodeRecord(scratch, node, header.rootMtimeMs, namesBytes, nameBytes);
      const checkedBytes = RECORD_CRC_OFFSET + ID_BYTES + nameBytes;
      crc.writeUInt32LE(crc32c(scratch.subarray(0, checkedBytes)));
      records.append(scratch.subarray(0, RECORD_CRC_OFFSET));
      records.append(crc);
      names.append(scratch.subarray(RECORD_CRC_OFFSET + ID_BYTES, checkedBytes));
      namesBytes += nameBytes;
    }
    records.flush();
    names.flush();
    writeSync(fd, encodeHeader(header, namesOffset, namesBytes), 0, HEADER_BYTES, 0);
  } finally {
    closeSync(fd);
  }
}

/**
 * True when the file at `path` is a whole index of the manifest `digest`: header, length and root. The
 * other records have their own checksums, for whoever reads them.
 */
export function isIndexOf(path: string, digest: string): boolean {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch {
    return false;
  }
  try {
    const beginning = Buffer.alloc(HEADER_BYTES + RECORD_BYTES);
    if (readSync(fd, beginning, 0, beginning.length, 0) !== beginning.length) return false;
    const header = beginning.subarray(0, HEADER_BYTES);
    const crc = header.readUInt32LE(HEADER_CRC_OFFSET);
    header.writeUInt32LE(0, HEADER_CRC_OFFSET);
    return (
      header.toString("latin1", 0, 8) === INDEX_MAGIC &&
      header.readUInt32LE(8) === INDEX_VERSION &&
      crc === crc32c(header) &&
      header.toString("hex", 64, 96) === digest &&
      header.readBigUInt64LE(48) + header.readBigUInt64LE(56) === BigInt(fstatSync(fd).size) &&
      isWholeRoot(beginning.subarray(HEADER_BYTES))
    );
  } catch {
    return false;
  } finally {
    closeSync(fd);
  }
}

/** The root's record covers its id, 1, and a name of no bytes. */
function isWholeRoot(record: Buffer): boolean {
  const checked = Buffer.alloc(RECORD_CRC_OFFSET + ID_BYTES);
  record.copy(checked, 0, 0, RECORD_CRC_OFFSET);
  checked.writeBigUInt64LE(1n, RECORD_CRC_OFFSET);
  return (
    record.readUInt16LE(36) === 0 && crc32c(checked) === record.readUInt32LE(RECORD_CRC_OFFSET)
  );
}

function encodeHeader(header: IndexHeader, namesOffset: number, namesBytes: number): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES);
  bytes.write(INDEX_MAGIC, 0, "latin1");
  bytes.writeUInt32LE(INDEX_VERSION, 8);
  bytes.writeBigUInt64LE(BigInt(header.nodeCount), 16);
  bytes.writeBigUInt64LE(BigInt(header.fileCount), 24);
  bytes.writeBigUInt64LE(BigInt(header.totalBytes), 32);
  bytes.writeBigUInt64LE(BigInt(HEADER_BYTES), 40);
  bytes.writeBigUInt64LE(BigInt(namesOffset), 48);
  bytes.writeBigUInt64LE(BigInt(namesBytes), 56);
  bytes.write(header.digest, 64, "hex");
  bytes.writeBigInt64LE(BigInt(header.rootMtimeMs), 96);
  bytes.writeUInt32LE(crc32c(bytes), HEADER_CRC_OFFSET);
  return bytes;
}

function encodeRecord(
  target: Buffer,
  node: IndexNode,
  rootMtimeMs: number,
  nameOffset: number,
  nameBytes: number,
): void {
  target.writeBigUInt64LE(BigInt(node.sizeBytes ?? 0), 0);
  target.writeBigInt64LE(BigInt(node.mtimeMs ?? rootMtimeMs), 8);
  target.writeBigUInt64LE(BigInt(nameOffset), 16);
  target.writeUInt32LE(node.parent, 24);
  target.writeUInt32LE(node.firstChild, 28);
  target.writeUInt32LE(node.childCount, 32);
  target.writeUInt16LE(nameBytes, 36);
  target.writeUInt8(node.kind === "directory" ? KIND_DIRECTORY : KIND_FILE, 38);
  target.writeUInt8(node.sizeBytes === null ? FLAG_SIZE_UNKNOWN : 0, 39);
  target.writeUInt32LE(node.subdirCount, 40);
  target.writeBigUInt64LE(BigInt(node.id), RECORD_CRC_OFFSET);
}

/** A part of the file that grows on its own, written in large blocks. */
class Region {
  readonly #fd: number;
  readonly #buffer = Buffer.allocUnsafe(1 << 18);
  #offset: number;
  #used = 0;

  constructor(fd: number, offset: number) {
    this.#fd = fd;
    this.#offset = offset;
  }

  /** Appends `bytes`, which are few. */
  append(bytes: Uint8Array): void {
    if (this.#used + bytes.length > this.#buffer.length) this.flush();
    this.#buffer.set(bytes, this.#used);
    this.#used += bytes.length;
  }

  flush(): void {
    let done = 0;
    while (done < this.#used) {
      done += writeSync(this.#fd, this.#buffer, done, this.#used - done, this.#offset + done);
    }
    this.#offset += this.#used;
    this.#used = 0;
  }
}
