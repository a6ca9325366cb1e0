// The inode index of a sealed manifest, read in TypeScript for drivers that do not use the native
// one. Checks whatever it reads: a damaged record is a fault, never another file.

import { crc32c } from "../model/crc32c.js";
import { Fault } from "../model/fault.js";
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
import { PagedFile } from "./paged-file.js";

export const ROOT_NODE = 1;

/** One file or directory. Children of a directory have consecutive ids and are sorted by name. */
export interface IndexNode {
  readonly id: number;
  readonly kind: "directory" | "file";
  /** As the kernel compares it: UTF-8 bytes; empty for the root. */
  readonly name: Buffer;
  readonly parent: number;
  /** 0 for directories; null when the store did not tell it. */
  readonly sizeBytes: number | null;
  readonly mtimeMs: number;
  readonly firstChild: number;
  readonly childCount: number;
  readonly subdirCount: number;
}

export class IndexReader implements Disposable {
  readonly nodeCount: number;
  readonly fileCount: number;
  readonly totalBytes: number;
  /** Hex. */
  readonly manifestDigest: string;
  readonly #file: PagedFile;
  readonly #path: string;
  readonly #nodesOffset: number;
  readonly #namesOffset: number;
  readonly #namesBytes: number;

  /**
   * Reads and checks the header only.
   * @throws Fault `not-found` when there is no such file, `corrupt` for anything but a whole index.
   */
  constructor(path: string) {
    this.#path = path;
    this.#file = openIndex(path);
    try {
      const header = this.#file.read(0, HEADER_BYTES);
      this.#checkHeader(header);
      this.nodeCount = this.#integer(header, 16);
      this.fileCount = this.#integer(header, 24);
      this.totalBytes = this.#integer(header, 32);
      this.#nodesOffset = this.#integer(header, 40);
      this.#namesOffset = this.#integer(header, 48);
      this.#namesBytes = this.#integer(header, 56);
      this.manifestDigest = header.toString("hex", 64, 96);
      const nodesEnd = this.#nodesOffset + this.nodeCount * RECORD_BYTES;
      if (this.nodeCount < 1 || this.#nodesOffset < HEADER_BYTES || nodesEnd > this.#namesOffset) {
        throw this.#damaged("its header describes an impossible layout");
      }
      if (this.#namesOffset + this.#namesBytes !== this.#file.sizeBytes) {
        throw this.#damaged(`it is ${this.#file.sizeBytes} bytes long, not what its header says`);
      }
    } catch (error) {
      this.#file[Symbol.dispose]();
      throw error;
    }
  }

  /** @throws Fault `corrupt` for an id outside the index or a record that does not match its checksum. */
  node(id: number): IndexNode {
    if (!Number.isSafeInteger(id) || id < ROOT_NODE || id > this.nodeCount) {
      throw this.#damaged(`it has no node ${id}`);
    }
    const record = this.#file.read(this.#nodesOffset + RECORD_BYTES * (id - 1), RECORD_BYTES);
    const name = this.#name(record, id);
    this.#checkRecord(record, id, name);
    const kind = record.readUInt8(38);
    const node: IndexNode = {
      id,
      kind: kind === KIND_DIRECTORY ? "directory" : "file",
      name,
      parent: record.readUInt32LE(24),
      sizeBytes: (record.readUInt8(39) & FLAG_SIZE_UNKNOWN) === 0 ? this.#integer(record, 0) : null,
      mtimeMs: Number(record.readBigInt64LE(8)),
      firstChild: record.readUInt32LE(28),
      childCount: record.readUInt32LE(32),
      subdirCount: record.readUInt32LE(40),
    };
    const childrenEnd = node.firstChild + node.childCount - 1;
    // A child comes after its parent, so no chain of damaged records can lead in a circle.
    const childrenFit =
      node.childCount === 0 || (node.firstChild > id && childrenEnd <= this.nodeCount);
    if ((kind !== KIND_DIRECTORY && kind !== KIND_FILE) || !childrenFit) {
      throw this.#damaged(`node ${id} makes no sense`);
    }
    return node;
  }

  /** The child of directory `parent` called `name`, or null. */
  lookup(parent: IndexNode, name: Uint8Array): IndexNode | null {
    let low = parent.firstChild;
    let high = parent.firstChild + parent.childCount - 1;
    while (low <= high) {
      const middle = low + ((high - low) >>> 1);
      const node = this.#wholeChild(parent, middle);
      if (node === null) return this.#lookupBySteps(parent, low, high, name);
      const order = Buffer.compare(node.name, name);
      if (order === 0) return node;
      if (order < 0) low = middle + 1;
      else high = middle - 1;
    }
    return null;
  }

  /** Children of `parent` in name order, beginning with node `from`. */
  *children(
    parent: IndexNode,
    from = parent.firstChild,
  ): Generator<IndexNode, undefined, undefined> {
    const end = parent.firstChild + parent.childCount;
    for (let id = Math.max(from, parent.firstChild); id < end; id++) {
      yield this.#childOf(parent, id);
    }
  }

  [Symbol.dispose](): void {
    this.#file[Symbol.dispose]();
  }

  // A damaged record in the way of the search does not hide the names beside it.
  #lookupBySteps(parent: IndexNode, low: number, high: number, name: Uint8Array): IndexNode {
    for (let id = low; id <= high; id++) {
      const node = this.#wholeChild(parent, id);
      if (node !== null && Buffer.compare(node.name, name) === 0) return node;
    }
    throw this.#damaged(`a node in directory ${parent.id} that may be the one is damaged`);
  }

  #wholeChild(parent: IndexNode, id: number): IndexNode | null {
    try {
      return this.#childOf(parent, id);
    } catch (error) {
      if (error instanceof Fault && error.kind === "corrupt") return null;
      throw error;
    }
  }

  #childOf(parent: IndexNode, id: number): IndexNode {
    const node = this.node(id);
    if (node.parent !== parent.id) {
      throw this.#damaged(`node ${id} is listed in directory ${parent.id} and says otherwise`);
    }
    return node;
  }

  #name(record: Buffer, id: number): Buffer {
    const offset = record.length === RECORD_BYTES ? this.#integer(record, 16) : 0;
    const length = record.length === RECORD_BYTES ? record.readUInt16LE(36) : 0;
    if (length > MAX_NAME_BYTES || offset + length > this.#namesBytes) {
      throw this.#damaged(`the name of node ${id} lies outside`);
    }
    return this.#file.read(this.#namesOffset + offset, length);
  }

  #checkRecord(record: Buffer, id: number, name: Buffer): void {
    const checked = Buffer.allocUnsafe(RECORD_CRC_OFFSET + 8 + name.length);
    record.copy(checked, 0, 0, RECORD_CRC_OFFSET);
    checked.writeBigUInt64LE(BigInt(id), RECORD_CRC_OFFSET);
    name.copy(checked, RECORD_CRC_OFFSET + 8);
    if (
      record.length < RECORD_BYTES ||
      crc32c(checked) !== record.readUInt32LE(RECORD_CRC_OFFSET)
    ) {
      throw this.#damaged(`node ${id} does not match its checksum`);
    }
  }

  #checkHeader(header: Buffer): void {
    if (header.length < HEADER_BYTES || header.toString("latin1", 0, 8) !== INDEX_MAGIC) {
      throw this.#damaged("it is no inode index");
    }
    const version = header.readUInt32LE(8);
    if (version !== INDEX_VERSION)
      throw this.#damaged(`its version is ${version}, not ${INDEX_VERSION}`);
    const zeroed = Buffer.from(header);
    zeroed.writeUInt32LE(0, HEADER_CRC_OFFSET);
    if (crc32c(zeroed) !== header.readUInt32LE(HEADER_CRC_OFFSET)) {
      throw this.#damaged("its header does not match its checksum");
    }
  }

  #integer(bytes: Buffer, offset: number): number {
    const value = bytes.readBigUInt64LE(offset);
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw this.#damaged("a number in it is too large");
    return Number(value);
  }

  #damaged(why: string): Fault {
    return new Fault(
      "corrupt",
      `The inode index ${this.#path} is damaged: ${why}. Delete it; it is built again at the next mount`,
      { subject: this.#path },
    );
  }
}

function openIndex(path: string): PagedFile {
  try {
    return new PagedFile(path);
  } catch (cause) {
    throw new Fault("not-found", `Cannot open the inode index ${path}`, { subject: path, cause });
  }
}
