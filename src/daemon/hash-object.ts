// Reads one object of a store to hash it, verified as for the cache, and keeps no byte of it.

import { planHashing, settleParts } from "../cache/parts.js";
import type { Release } from "../model/budget.js";
import { StallGuard } from "../cache/stall.js";
import { mismatch, writeRanges, writeStream, type Transfer } from "../cache/transfer.js";
import { bufferBytes, firstRange, gather, processBuffers, SMALL_BYTES } from "../cache/receive.js";
import { judge } from "../cache/verify.js";
import type { Entry } from "../model/entry.js";
import { Fault } from "../model/fault.js";
import type { Fetch, Fetched } from "../model/fetch.js";
import { addon, type Hashes, type HashOptions, type Sink } from "../native/addon.js";
import { keptHashes, type Hashed, type HashWatch } from "./hash-file.js";

export interface HashObjectOptions extends HashWatch {
  /** A transfer without progress for this long is given up, in milliseconds. */
  readonly timeoutMs: number;
}

/**
 * Hashes the pinned object of `entry`: SHA-256 of the whole and of every chunk. Digests that it has
 * already, else what the store claims about it, must match; damaged bytes are fetched once more
 * before they count.
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
  const read = await readThrough(entry, fetch, options);
  const { answer } = read;
  using guard = new StallGuard(entry.uri, options.timeoutMs, options.signal);
  const hashes = await settleParts(entry, answer, read, guard, async (hashing) => {
    // No byte was kept: they have to come again.
    return (await readThrough(entry, fetch, options, hashing)).hashes;
  });
  const verdict = judge(entry, hashes, answer, null);
  if (!verdict.ok) throw mismatch(entry, answer.pinned, verdict.what);
  return keptHashes(hashes, ["sha256"]);
}

interface Read {
  readonly hashes: Hashes;
  readonly hashing: HashOptions;
  readonly answer: Fetched;
}

/** Hashes all bytes of the object, as planned or as given. */
async function readThrough(
  entry: Entry,
  fetch: Fetch,
  options: HashObjectOptions,
  given?: HashOptions,
): Promise<Read> {
  const release = await processBuffers.acquire(bufferBytes(entry), options.signal);
  try {
    using guard = new StallGuard(entry.uri, options.timeoutMs, options.signal);
    await using first = await fetch(entry, firstRange(entry), guard.signal);
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
    const hashing = given ?? (await planHashing(entry, first, totalBytes, guard));
    const hashes = await hashTransfer(transfer, first, release, hashing);
    return { hashes, hashing, answer: first };
  } finally {
    release();
  }
}

async function hashTransfer(
  transfer: Transfer,
  first: Fetched,
  release: Release,
  hashing: HashOptions,
): Promise<Hashes> {
  const { totalBytes } = transfer;
  const hasher = addon().openHasher(hashing);
  if (totalBytes <= SMALL_BYTES) {
    await hasher.append(Buffer.concat(await gather(transfer, first)));
    return hasher.finish();
  }
  const sink: Sink = {
    append: (bytes) => hasher.append(bytes),
    finish: () => hasher.finish(),
    abort: () => undefined,
  };
  const ranged = first.range.end < totalBytes;
  await (ranged
    ? writeRanges(transfer, first, sink, processBuffers, release)
    : writeStream(transfer, first, sink));
  // Each range confirmed itself; this tells that all of them are of one state of the source.
  if (ranged) await first.confirm?.();
  return sink.finish();
}
