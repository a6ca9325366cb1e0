// Open blobs of one mount, for a driver that reads in TypeScript: a bounded number of descriptors,
// and no byte given out that does not match its block's checksum. Knows no kernel protocol.

import { open, type FileHandle } from "node:fs/promises";
import { LRUCache } from "lru-cache";
import { BLOCK_BYTES } from "../model/digest.js";
import { Fault } from "../model/fault.js";
import { addon, type ProvidedBlob } from "../native/addon.js";
import type { LentBlob, Upcalls } from "./driver.js";

/** Temporary blobs hold disk space as long as they are open, so few are kept. */
const MAX_OPEN_TEMPORARY = 16;
/** Bytes of one block's CRC-32C. */
const CRC_BYTES = 4;

interface Filling {
  waiters: number;
  readonly blob: Promise<OpenBlob>;
}

export class CheckedBlobs {
  readonly #upcalls: Upcalls;
  readonly #kept: LRUCache<number, OpenBlob>;
  readonly #temporary: LRUCache<number, OpenBlob>;
  readonly #filling = new Map<number, Filling>();
  readonly #fillErrors = new WeakSet<Error>();
  #damaged = 0;
  #closed = false;

  constructor(upcalls: Upcalls, maxOpenBlobs: number) {
    this.#upcalls = upcalls;
    const dispose = (blob: OpenBlob): void => blob.retire();
    this.#kept = new LRUCache({ max: maxOpenBlobs, dispose });
    this.#temporary = new LRUCache({ max: MAX_OPEN_TEMPORARY, dispose });
  }

  /**
   * Reads checked bytes of `node` at `position` into `target`, which is not touched any more once the
   * promise settles. Short only at the end of the file.
   * @throws what `fill` throws; Fault `corrupt` when the blob is damaged twice in a row.
   */
  async read(node: number, target: Buffer, position: number): Promise<number> {
    for (let attempt = 1; attempt <= 2; attempt++) {
      const blob = await this.#acquire(node);
      try {
        const count = await blob.read(target, position);
        if (count !== null) return count;
      } finally {
        blob.release();
      }
      this.#dropDamaged(node, blob);
    }
    throw new Fault("corrupt", `The cached bytes of node ${node} are damaged, also after a refill`);
  }

  /** Size of the blob of `node`, filled when it is not there. */
  async sizeOf(node: number): Promise<number> {
    const blob = await this.#acquire(node);
    blob.release();
    return blob.sizeBytes;
  }

  /** True for what `fill` threw: whoever fills knows of it and has told it. */
  isFillError(error: unknown): boolean {
    return error instanceof Error && this.#fillErrors.has(error);
  }

  has(node: number): boolean {
    return this.#kept.has(node) || this.#temporary.has(node);
  }

  forget(sha256: string): void {
    for (const open of [this.#kept, this.#temporary]) {
      for (const [node, blob] of [...open.entries()]) {
        if (blob.sha256 === sha256) open.delete(node);
      }
    }
  }

  /** Closes every blob as soon as nobody reads it; later reads fail. */
  close(): void {
    this.#closed = true;
    this.#kept.clear();
    this.#temporary.clear();
  }

  stats(): { readonly openBlobs: number; readonly parked: number; readonly damaged: number } {
    let parked = 0;
    for (const filling of this.#filling.values()) parked += filling.waiters;
    return { openBlobs: this.#kept.size + this.#temporary.size, parked, damaged: this.#damaged };
  }

  /** The caller releases what it gets. */
  #acquire(node: number): Promise<OpenBlob> {
    if (this.#closed) return Promise.reject(new Fault("unavailable", "The mount has ended"));
    const known = this.#kept.get(node) ?? this.#temporary.get(node);
    if (known !== undefined) {
      known.users++;
      return Promise.resolve(known);
    }
    let filling = this.#filling.get(node);
    if (filling === undefined) {
      filling = { waiters: 0, blob: this.#fill(node) };
      this.#filling.set(node, filling);
    }
    filling.waiters++;
    return filling.blob;
  }

  async #fill(node: number): Promise<OpenBlob> {
    try {
      using lent = await this.#askFill(node);
      const blob = await OpenBlob.open(lent);
      // The waiters' uses are counted before the blob can be evicted: A waits for this fill, B's fill
      // ends in the same turn and evicts A's blob, and A finds it still open.
      blob.users = this.#filling.get(node)?.waiters ?? 0;
      if (this.#closed) blob.retire();
      else (lent.temporary ? this.#temporary : this.#kept).set(node, blob);
      return blob;
    } finally {
      this.#filling.delete(node);
    }
  }

  async #askFill(node: number): Promise<LentBlob> {
    try {
      return await this.#upcalls.fill(node);
    } catch (error) {
      if (error instanceof Error) this.#fillErrors.add(error);
      throw error;
    }
  }

  #dropDamaged(node: number, blob: OpenBlob): void {
    const open = blob.temporary ? this.#temporary : this.#kept;
    // Another reader of the same damage was first.
    if (open.peek(node) !== blob) return;
    open.delete(node);
    this.#damaged++;
    this.#upcalls.damaged(node, blob.sha256);
  }
}

class OpenBlob {
  readonly sha256: string;
  readonly sizeBytes: number;
  readonly temporary: boolean;
  users = 0;
  readonly #file: FileHandle | null;
  /** Of every block, or the open file that holds them. */
  readonly #crcs: Uint8Array | FileHandle | null;
  #retired = false;

  private constructor(
    blob: ProvidedBlob,
    file: FileHandle | null,
    crcs: Uint8Array | FileHandle | null,
  ) {
    this.sha256 = blob.sha256;
    this.sizeBytes = blob.sizeBytes;
    this.temporary = blob.temporary;
    this.#file = file;
    this.#crcs = crcs;
  }

  /** A blob that cannot be opened reads as damaged, so that it is dropped and filled again. */
  static async open(blob: ProvidedBlob): Promise<OpenBlob> {
    const file = await openOrNull(blob.path);
    const crcs = blob.blockCrcs ?? (await openOrNull(`${blob.path}.crc`));
    return new OpenBlob(blob, file, crcs);
  }

  /** Bytes read and checked, or null when the blob is damaged. */
  async read(target: Buffer, position: number): Promise<number | null> {
    const end = Math.min(position + target.length, this.sizeBytes);
    if (position >= end) return 0;
    const firstBlock = Math.floor(position / BLOCK_BYTES);
    const start = firstBlock * BLOCK_BYTES;
    const stop = Math.min(Math.ceil(end / BLOCK_BYTES) * BLOCK_BYTES, this.sizeBytes);
    const aligned = start === position && stop === end;
    const bytes = aligned ? target.subarray(0, end - position) : Buffer.allocUnsafe(stop - start);
    const crcs = await this.#crcsFrom(firstBlock, Math.ceil(bytes.length / BLOCK_BYTES));
    if (crcs === null || this.#file === null) return null;
    if (!(await readFully(this.#file, bytes, start)) || !matches(bytes, crcs)) return null;
    if (!aligned) bytes.copy(target, 0, position - start, end - start);
    return end - position;
  }

  release(): void {
    this.users--;
    this.#closeIfUnused();
  }

  /** Closes it as soon as nobody reads it. */
  retire(): void {
    this.#retired = true;
    this.#closeIfUnused();
  }

  #closeIfUnused(): void {
    if (!this.#retired || this.users > 0) return;
    // A failing close of a descriptor that was only read loses nothing.
    this.#file?.close().catch(() => undefined);
    if (isHandle(this.#crcs)) this.#crcs.close().catch(() => undefined);
  }

  async #crcsFrom(firstBlock: number, count: number): Promise<Buffer | null> {
    const start = firstBlock * CRC_BYTES;
    const length = count * CRC_BYTES;
    if (this.#crcs === null) return null;
    if (isHandle(this.#crcs)) {
      const crcs = Buffer.allocUnsafe(length);
      return (await readFully(this.#crcs, crcs, start)) ? crcs : null;
    }
    if (start + length > this.#crcs.length) return null;
    return Buffer.from(this.#crcs.buffer, this.#crcs.byteOffset + start, length);
  }
}

function isHandle(crcs: Uint8Array | FileHandle | null): crcs is FileHandle {
  return crcs !== null && "fd" in crcs;
}

function matches(bytes: Buffer, crcs: Buffer): boolean {
  const native = addon();
  for (let block = 0; block * CRC_BYTES < crcs.length; block++) {
    const start = block * BLOCK_BYTES;
    const actual = native.crc32c(bytes.subarray(start, start + BLOCK_BYTES));
    if (actual !== crcs.readUInt32LE(block * CRC_BYTES)) return false;
  }
  return true;
}

/** False when the file ends before `target` is full or cannot be read. */
async function readFully(file: FileHandle, target: Buffer, position: number): Promise<boolean> {
  let done = 0;
  while (done < target.length) {
    const got = await file
      .read(target, done, target.length - done, position + done)
      .catch(() => ({ bytesRead: 0 }));
    if (got.bytesRead === 0) return false;
    done += got.bytesRead;
  }
  return true;
}

async function openOrNull(path: string): Promise<FileHandle | null> {
  try {
    return await open(path, "r");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "EIO") return null;
    throw error;
  }
}
