// Reads one object of a store to hash it, verified as for the cache, and keeps no byte of it.

import { Budget, type Release } from "../cache/budget.js";
import { StallGuard } from "../cache/stall.js";
import {
  bytesOf,
  mismatch,
  PIECE_BYTES,
  RANGE_BYTES,
  writeRanges,
  writeStream,
  type Transfer,
} from "../cache/transfer.js";
import { LARGE_BYTES, SMALL_BYTES } from "../cache/receive.js";
import { algorithmsFor, judge } from "../cache/verify.js";
import type { Entry } from "../model/entry.js";
import { Fault } from "../model/fault.js";
import type { Fetch, Fetched } from "../model/fetch.js";
import { addon, type Hashes, type Sink } from "../native/addon.js";
import { keptHashes, type Hashed, type HashWatch } from "./hash-file.js";

/** All buffers of one `log` together. */
const BUFFER_BYTES = 256 * 1_048_576;

const buffers = new Budget(BUFFER_BYTES);

export interface HashObjectOptions extends HashWatch {
  /** A transfer without progress for this long is given up, in milliseconds. */
  readonly timeoutMs: number;
}

/**
 * Hashes the pinned object of `entry`, which has no digests yet: SHA-256 of the whole and of every
 * chunk. What the store claims about it must match; damaged bytes are fetched once more before they
 * count.
 * @throws Fault `corrupt` or `drifted` for other bytes than were listed, or whatever `fetch` throws.
 */
export async function hashObject(
  entry: Entry,
  fetch: Fetch,
  options: HashObjectOptions,
): Promise<Hashed> {
  try {
    return await hashOnce(entry, fetch, options);
  } catch (error) {
    if (!(error instanceof Fault) || error.kind !== "corrupt") throw error;
    return await hashOnce(entry, fetch, options);
  }
}

async function hashOnce(entry: Entry, fetch: Fetch, options: HashObjectOptions): Promise<Hashed> {
  const release = await buffers.acquire(bufferBytes(entry), options.signal);
  try {
    using guard = new StallGuard(entry.uri, options.timeoutMs, options.signal);
    const large = entry.sizeBytes !== null && entry.sizeBytes > LARGE_BYTES;
    const asked = large ? { start: 0, end: RANGE_BYTES } : null;
    await using first = await fetch(entry, asked, guard.signal);
    const totalBytes = entry.sizeBytes ?? first.sizeBytes;
    if (first.sizeBytes !== totalBytes) {
      const what = `its size is ${first.sizeBytes} bytes where ${totalBytes} were listed`;
      throw mismatch(entry, first.pinned, what);
    }
    const transfer: Transfer = {
      entry,
      fetch,
      totalBytes,
      timeoutMs: options.timeoutMs,
      signal: guard.signal,
      onBytes: (bytes) => {
        guard.progress();
        options.onBytes(bytes);
      },
    };
    const hashes = await hashTransfer(transfer, first, release);
    const verdict = judge(entry, hashes, first, null);
    if (!verdict.ok) throw mismatch(entry, first.pinned, verdict.what);
    return keptHashes(hashes, ["sha256"]);
  } finally {
    release();
  }
}

async function hashTransfer(transfer: Transfer, first: Fetched, release: Release): Promise<Hashes> {
  const { entry, totalBytes } = transfer;
  const hasher = addon().openHasher({ algorithms: algorithmsFor(entry, first) });
  if (totalBytes <= SMALL_BYTES) {
    const parts: Uint8Array[] = [];
    for await (const part of bytesOf(transfer, { start: 0, end: totalBytes }, first)) {
      parts.push(part);
    }
    await hasher.append(Buffer.concat(parts));
    return hasher.finish();
  }
  const sink: Sink = {
    append: (bytes) => hasher.append(bytes),
    finish: () => hasher.finish(),
    abort: () => undefined,
  };
  await (first.range.end < totalBytes
    ? writeRanges(transfer, first, sink, buffers, release)
    : writeStream(transfer, first, sink));
  return sink.finish();
}

function bufferBytes(entry: Entry): number {
  if (entry.sizeBytes === null) return 2 * PIECE_BYTES;
  if (entry.sizeBytes <= SMALL_BYTES) return entry.sizeBytes;
  return entry.sizeBytes > LARGE_BYTES ? RANGE_BYTES : 2 * PIECE_BYTES;
}
