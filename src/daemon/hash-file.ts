// Reads one local file, once, to hash it while it is being logged. Keeps no bytes.

import { open, stat, type FileHandle } from "node:fs/promises";
import { CHUNK_BYTES, type DigestAlgorithm, type Digests } from "../model/digest.js";
import { Fault } from "../model/fault.js";
import { addon, type Hashes } from "../native/addon.js";
import { sameFile } from "../stores/file.js";

export interface Hashed {
  readonly sizeBytes: number;
  readonly digests: Digests;
  /** Null for an object of one chunk. */
  readonly chunks: Uint8Array | null;
}

export interface HashWatch {
  readonly signal: AbortSignal;
  /** Bytes that were read and hashed, not cumulative. */
  readonly onBytes: (bytes: number) => void;
}

/** Up to here a file is hashed in one native call, which nothing can interrupt, in bytes. */
const WHOLE_BYTES = 16 * CHUNK_BYTES;
/** One read of a larger file, in bytes. */
const PIECE_BYTES = 4 * CHUNK_BYTES;

/** SHA-256 because it names bytes, MD5 because the W&B digest of a file is made of it. */
const FILE_ALGORITHMS: readonly DigestAlgorithm[] = ["md5"];

/**
 * Hashes a local file: MD5, SHA-256 and chunks.
 * @throws Fault `drifted` when it changed meanwhile; an error with a `code` when it cannot be read.
 */
export async function hashLocalFile(path: string, uri: string, watch: HashWatch): Promise<Hashed> {
  const before = await stat(path, { bigint: true });
  const hashes =
    before.size <= BigInt(WHOLE_BYTES)
      ? await addon().hashFile(path, { algorithms: FILE_ALGORITHMS })
      : await hashInPieces(path, watch);
  const after = await stat(path, { bigint: true });
  if (!sameFile(before, after) || BigInt(hashes.sizeBytes) !== after.size) {
    throw new Fault(
      "drifted",
      `${uri} changed while it was being logged; log it again when nothing writes to it`,
      { subject: uri },
    );
  }
  if (before.size <= BigInt(WHOLE_BYTES)) watch.onBytes(hashes.sizeBytes);
  return keptHashes(hashes, ["sha256", "md5"]);
}

/** What a manifest keeps of `hashes`: the digests of `algorithms`, and the chunks. */
export function keptHashes(hashes: Hashes, algorithms: readonly DigestAlgorithm[]): Hashed {
  return {
    sizeBytes: hashes.sizeBytes,
    digests: Object.fromEntries(algorithms.map((name) => [name, hashes.digests[name]])),
    chunks: hashes.sizeBytes > CHUNK_BYTES ? hashes.chunks : null,
  };
}

async function hashInPieces(path: string, watch: HashWatch): Promise<Hashes> {
  const hasher = addon().openHasher({ algorithms: FILE_ALGORITHMS });
  const file = await open(path);
  try {
    // Two buffers: one is read into while the other is hashed.
    let filling = Buffer.allocUnsafeSlow(PIECE_BYTES);
    let hashing = Buffer.allocUnsafeSlow(PIECE_BYTES);
    let position = 0;
    let hashed = Promise.resolve();
    for (;;) {
      watch.signal.throwIfAborted();
      const [bytesRead] = await Promise.all([readFully(file, filling, position), hashed]);
      if (bytesRead === 0) return await hasher.finish();
      [filling, hashing] = [hashing, filling];
      hashed = hasher.append(hashing.subarray(0, bytesRead));
      position += bytesRead;
      watch.onBytes(bytesRead);
    }
  } finally {
    await file.close();
  }
}

async function readFully(file: FileHandle, buffer: Buffer, position: number): Promise<number> {
  let filled = 0;
  while (filled < buffer.length) {
    const { bytesRead } = await file.read(
      buffer,
      filled,
      buffer.length - filled,
      position + filled,
    );
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return filled;
}
