// Fetches one entry into a new file and verifies it completely. Used by the cache and by downloads;
// keeps nothing, evicts nothing, and leaves no file that was not verified.

import { setMaxListeners } from "node:events";
import { constants, promises as fs } from "node:fs";
import type { Assurance } from "../model/assurance.js";
import type { Entry } from "../model/entry.js";
import { Fault } from "../model/fault.js";
import type { ByteRange, Fetch, Fetched } from "../model/fetch.js";
import { pinsObject } from "../model/pin.js";
import { addon, type HashOptions, type Hashes } from "../native/addon.js";
import { Budget, type Release } from "../model/budget.js";
import { codeOf, localFault } from "./local-fault.js";
import type { Observed, Sighting } from "./observed.js";
import { planHashing, settleParts } from "./parts.js";
import { StallGuard } from "./stall.js";
import {
  bytesOf,
  mismatch,
  PIECE_BYTES,
  RANGE_BYTES,
  writeRanges,
  writeStream,
  type Transfer,
} from "./transfer.js";
import { judge } from "./verify.js";

/** Objects up to this size are gathered in memory and written in one step. */
export const SMALL_BYTES = 1_048_576;
/** Objects over this size are read by parallel ranges. */
export const LARGE_BYTES = 16 * 1_048_576;
/** All buffers of this process together, unless a caller brings a budget of its own. */
const BUFFER_BYTES = 256 * 1_048_576;

export const processBuffers = new Budget(BUFFER_BYTES);

export interface ReceiveOptions {
  /** Sightings to match and to add to; null: none are kept. */
  readonly observed: Observed | null;
  /** Names the mount or command within which an unpinned entry must stay what it was. */
  readonly scope?: string;
  /** A transfer without progress for this long is given up, milliseconds. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** Bytes of the object that have come so far; falls back to 0 when a damaged object is fetched again. */
  readonly onProgress?: (doneBytes: number) => void;
  /** The allowance for buffers, bytes; one for the whole process unless given. */
  readonly buffers?: Budget;
}

export interface Received {
  readonly sha256: string;
  readonly sizeBytes: number;
  readonly hashes: Hashes;
  /** What was really reached: a claim that the answer voided does not count. */
  readonly assurance: Assurance;
  /** What `observed` keeps of it. */
  readonly sighting: Sighting;
}

/**
 * Fetches `entry` into the new file `targetPath` (mode 0400) and verifies it; no file stays when this
 * throws. Damaged bytes are fetched once more before they count.
 * @param fetch Opens the object, retrying the opening by itself.
 * @throws Fault `corrupt` or `drifted` for other bytes than logged, `unavailable` after `timeoutMs`
 * without progress, `full`, `denied`, whatever `fetch` throws, or the abort reason.
 */
export async function receive(
  entry: Entry,
  fetch: Fetch,
  targetPath: string,
  options: ReceiveOptions,
): Promise<Received> {
  // Many objects share one signal: that is no leak.
  setMaxListeners(0, options.signal);
  try {
    return await receiveOnce(entry, fetch, targetPath, options);
  } catch (error) {
    if (!(error instanceof Fault) || error.kind !== "corrupt") throw error;
    options.onProgress?.(0);
    return await receiveOnce(entry, fetch, targetPath, options);
  }
}

async function receiveOnce(
  entry: Entry,
  fetch: Fetch,
  targetPath: string,
  options: ReceiveOptions,
): Promise<Received> {
  const buffers = options.buffers ?? processBuffers;
  const release = await buffers.acquire(bufferBytes(entry), options.signal);
  try {
    using guard = new StallGuard(entry.uri, options.timeoutMs, options.signal);
    const written = await write(entry, fetch, targetPath, options, guard, { buffers, release });
    const { answer } = written;
    const hashes = await settleParts(entry, answer, written, guard, (hashing) =>
      addon().hashFile(targetPath, hashing, () => guard.progress()),
    );
    const seen = options.observed?.find(entry, options.scope) ?? null;
    const verdict = judge(entry, hashes, answer, seen);
    if (!verdict.ok) throw mismatch(entry, answer.pinned, verdict.what);
    // Bytes that the store could not tie to the pin are no sighting of the pinned object.
    if (answer.pinned || !pinsObject(entry.pin)) {
      options.observed?.record(entry, verdict.sighting, options.scope);
    }
    const { assurance, sighting } = verdict;
    return { sha256: sighting.sha256, sizeBytes: hashes.sizeBytes, hashes, assurance, sighting };
  } catch (error) {
    if (codeOf(error) !== "EEXIST") await remove(targetPath);
    throw localFault(error, targetPath);
  } finally {
    release();
  }
}

/** What the first request for `entry` asks for: a large object is read by ranges. */
export function firstRange(entry: Entry): ByteRange | null {
  const large = entry.sizeBytes !== null && entry.sizeBytes > LARGE_BYTES;
  return large ? { start: 0, end: RANGE_BYTES } : null;
}

/** All bytes of a small object, as they came. */
export async function gather(transfer: Transfer, first: Fetched): Promise<Uint8Array[]> {
  const parts: Uint8Array[] = [];
  for await (const part of bytesOf(transfer, { start: 0, end: transfer.totalBytes }, first)) {
    parts.push(part);
  }
  return parts;
}

/** Memory to wait for before the first byte of `entry` is asked for. */
export function bufferBytes(entry: Entry): number {
  if (entry.sizeBytes === null) return 2 * PIECE_BYTES;
  if (entry.sizeBytes <= SMALL_BYTES) return entry.sizeBytes;
  return entry.sizeBytes > LARGE_BYTES ? RANGE_BYTES : 2 * PIECE_BYTES;
}

/** A complete file that was not judged yet, and how it was hashed. */
interface Written {
  readonly hashes: Hashes;
  readonly hashing: HashOptions;
  readonly answer: Fetched;
}

async function write(
  entry: Entry,
  fetch: Fetch,
  targetPath: string,
  options: ReceiveOptions,
  guard: StallGuard,
  memory: { readonly buffers: Budget; readonly release: Release },
): Promise<Written> {
  await using first = await fetch(entry, firstRange(entry), guard.signal);
  const totalBytes = entry.sizeBytes ?? first.sizeBytes;
  if (first.sizeBytes !== totalBytes) {
    const what = `its size is ${first.sizeBytes} bytes where ${totalBytes} were logged`;
    throw mismatch(entry, first.pinned, what);
  }
  const hashing = await planHashing(entry, first, totalBytes, guard);
  if (first.localPath !== undefined && totalBytes > SMALL_BYTES) {
    const hashes = await clone(first, targetPath, hashing, (doneBytes) => {
      guard.progress();
      options.onProgress?.(doneBytes);
    });
    if (hashes !== null) return { hashes, hashing, answer: first };
  }
  let doneBytes = 0;
  const transfer: Transfer = {
    entry,
    fetch,
    totalBytes,
    timeoutMs: options.timeoutMs,
    signal: guard.signal,
    onBytes: (bytes) => {
      guard.progress();
      doneBytes += bytes;
      options.onProgress?.(doneBytes);
    },
  };
  if (totalBytes <= SMALL_BYTES) {
    const parts = await gather(transfer, first);
    const hashes = await addon().writeHashed(targetPath, parts, hashing);
    return { hashes, hashing, answer: first };
  }
  const sink = addon().openSink(targetPath, hashing);
  try {
    const ranged = first.range.end < totalBytes;
    await (ranged
      ? writeRanges(transfer, first, sink, memory.buffers, memory.release)
      : writeStream(transfer, first, sink));
    // Each range confirmed itself; this tells that all of them are of one state of the source.
    if (ranged) await first.confirm?.();
    return { hashes: await sink.finish(), hashing, answer: first };
  } catch (error) {
    sink.abort();
    throw error;
  }
}

/**
 * Clones the local source where the file system shares extents and hashes the clone, which nobody
 * can change any more; null where it does not. Never falls back to the kernel's copy: that can be
 * neither stopped nor watched, and does not end when the source is truncated under it.
 */
async function clone(
  source: Fetched & { readonly localPath?: string },
  targetPath: string,
  hashing: HashOptions,
  onProgress: (doneBytes: number) => void,
): Promise<Hashes | null> {
  if (source.localPath === undefined) return null;
  try {
    const mode = constants.COPYFILE_FICLONE_FORCE | constants.COPYFILE_EXCL;
    await fs.copyFile(source.localPath, targetPath, mode);
  } catch (error) {
    if (codeOf(error) === "EEXIST") throw error;
    // Another file system, or one without clones; a source that is gone shows when it is read.
    await remove(targetPath);
    return null;
  }
  await fs.chmod(targetPath, 0o400);
  const hashes = await addon().hashFile(targetPath, hashing, onProgress);
  await source.confirm?.();
  return hashes;
}

/** Removes what there is of a file that is not wanted; that it cannot be is no reason to fail. */
async function remove(path: string): Promise<void> {
  await fs.rm(path, { force: true }).catch(() => undefined);
}
