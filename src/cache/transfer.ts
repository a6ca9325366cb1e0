// Gets the bytes of one object in order and writes them: restarts where a transfer broke, and reads
// large objects by parallel ranges. Hashes through the sink; judges nothing but lengths.

import { setTimeout as sleep } from "node:timers/promises";
import type { Entry } from "../model/entry.js";
import { Fault } from "../model/fault.js";
import type { ByteRange, Fetch, Fetched } from "../model/fetch.js";
import type { Sink } from "../native/addon.js";
import type { Budget, Release } from "../model/budget.js";

/** One range of an object that is read by ranges. */
export const RANGE_BYTES = 8 * 1_048_576;
/** What is appended to a sink at once when a body is read as it comes. */
export const PIECE_BYTES = 1_048_576;
/** Ranges of one object in flight, or read and waiting for their turn. */
const RANGE_WINDOW = 6;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5000;

/** One object on its way. */
export interface Transfer {
  readonly entry: Entry;
  readonly fetch: Fetch;
  /** Size of the whole object, bytes, as the first answer told and as every other must. */
  readonly totalBytes: number;
  /** A range that gets nothing for this long is given up. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** `bytes` more have come. */
  readonly onBytes: (bytes: number) => void;
}

/** The fault for bytes that are not the logged ones; `what` says how, as a clause. */
export function mismatch(entry: Entry, pinned: boolean, what: string): Fault {
  const message = pinned
    ? `${entry.uri} was received damaged, or damaged where it is stored: ${what}. ` +
      "The bytes were thrown away; ask whoever runs the store, or log a new version"
    : `${entry.uri} changed since it was logged: ${what}. ` +
      "Put the logged bytes back, or log a new version";
  return new Fault(pinned ? "corrupt" : "drifted", message, { subject: entry.uri });
}

/**
 * The bytes of `range`, exactly and in order. A transfer that breaks goes on where it stopped.
 * @param first An answer that is already open and begins at or before the range; its owner disposes it.
 */
export async function* bytesOf(
  transfer: Transfer,
  range: ByteRange,
  first: Fetched | null,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { entry, signal, totalBytes } = transfer;
  let at = range.start;
  let given = first;
  let failures = 0;
  let movedMs = performance.now();
  for (;;) {
    try {
      const whole = at === 0 && range.end === totalBytes;
      const asked = whole ? null : { start: at, end: range.end };
      const fetched = given ?? (await transfer.fetch(entry, asked, signal));
      given = null;
      try {
        checkAnswer(entry, fetched, totalBytes, at);
        for await (const part of partsFrom(transfer, fetched, at, range.end)) {
          at += part.length;
          failures = 0;
          yield part;
          movedMs = performance.now();
        }
        if (at < range.end) {
          const message = `Reading ${entry.uri} ended at byte ${at} of ${range.end}`;
          throw new Fault("unavailable", message, { subject: entry.uri });
        }
        await fetched.confirm?.();
        return;
      } finally {
        if (fetched !== first) await fetched[Symbol.asyncDispose]();
      }
    } catch (error) {
      if (!(error instanceof Fault) || error.kind !== "unavailable") throw error;
      const leftMs = transfer.timeoutMs - (performance.now() - movedMs);
      if (leftMs <= 0) throw error;
      const jitterMs = Math.random() * Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** failures);
      failures++;
      await pause(Math.min(leftMs, Math.max(jitterMs, error.retryAfterMs ?? 0)), signal);
    }
  }
}

/** What the body of `fetched` holds of `at` up to `end`: a store without ranges gives more. */
async function* partsFrom(
  transfer: Transfer,
  fetched: Fetched,
  at: number,
  end: number,
): AsyncGenerator<Uint8Array, void, undefined> {
  let position = fetched.range.start;
  for await (const chunk of fetched.body) {
    transfer.signal.throwIfAborted();
    const from = Math.max(0, at - position);
    const part = chunk.subarray(from, Math.max(from, end - position));
    position += chunk.length;
    if (position > fetched.range.end) {
      throw mismatch(transfer.entry, fetched.pinned, "it is longer than the store had promised");
    }
    if (part.length > 0) {
      transfer.onBytes(part.length);
      yield part;
    }
    if (position >= end && fetched.range.end > end) return;
  }
}

async function pause(durationMs: number, signal: AbortSignal): Promise<void> {
  await sleep(durationMs, undefined, { signal }).catch(() => undefined);
  signal.throwIfAborted();
}

function checkAnswer(entry: Entry, fetched: Fetched, totalBytes: number, at: number): void {
  if (fetched.sizeBytes !== totalBytes) {
    throw mismatch(
      entry,
      fetched.pinned,
      `its size is ${fetched.sizeBytes} bytes where ${totalBytes} were expected`,
    );
  }
  if (fetched.range.start > at) {
    throw mismatch(entry, fetched.pinned, "the store answered with another range than asked for");
  }
}

/** Appends the whole object to `sink` from one body, in pieces, reading on while one is written. */
export async function writeStream(transfer: Transfer, first: Fetched, sink: Sink): Promise<void> {
  let piece: Uint8Array = Buffer.allocUnsafeSlow(PIECE_BYTES);
  let spare: Uint8Array = Buffer.allocUnsafeSlow(PIECE_BYTES);
  let filled = 0;
  let writing: Promise<void> = Promise.resolve();
  const flush = async (): Promise<void> => {
    await writing;
    writing = sink.append(piece.subarray(0, filled));
    // Awaited before the next append; until then a failure must not count as unhandled.
    writing.catch(() => undefined);
    [piece, spare] = [spare, piece];
    filled = 0;
  };
  try {
    for await (let chunk of bytesOf(transfer, { start: 0, end: transfer.totalBytes }, first)) {
      while (chunk.length > 0) {
        const part = chunk.subarray(0, PIECE_BYTES - filled);
        piece.set(part, filled);
        filled += part.length;
        chunk = chunk.subarray(part.length);
        if (filled === PIECE_BYTES) await flush();
      }
    }
    if (filled > 0) await flush();
  } finally {
    // The sink may only be closed once it does not write any more.
    await writing;
  }
}

/** A range that is being read into memory. */
interface Segment {
  readonly buffer: Uint8Array;
  readonly range: ByteRange;
  readonly release: Release;
  readonly complete: Promise<void>;
}

/**
 * Appends the whole object to `sink` from ranges that are read in parallel and written in order.
 * @param first The open answer for the first RANGE_BYTES.
 * @param release Gives back the buffer of the first range, acquired by the caller.
 */
export async function writeRanges(
  transfer: Transfer,
  first: Fetched,
  sink: Sink,
  buffers: Budget,
  release: Release,
): Promise<void> {
  const failed = new AbortController();
  const signal = AbortSignal.any([transfer.signal, failed.signal]);
  const parallel: Transfer = { ...transfer, signal };
  const spare: Uint8Array[] = [];
  const segments: Segment[] = [];
  let next = 0;
  const start = (given: Release, answer: Fetched | null): void => {
    const range = { start: next, end: Math.min(next + RANGE_BYTES, transfer.totalBytes) };
    const buffer = spare.pop() ?? Buffer.allocUnsafeSlow(RANGE_BYTES);
    const complete = readInto(buffer, parallel, range, answer);
    // Awaited in its turn; until then a failure must not count as unhandled.
    complete.catch(() => undefined);
    segments.push({ buffer, range, release: given, complete });
    next = range.end;
  };
  start(release, first);
  try {
    while (segments.length > 0 || next < transfer.totalBytes) {
      while (segments.length < RANGE_WINDOW && next < transfer.totalBytes) {
        // Waits only while it holds nothing, so that objects never wait for each other's buffers.
        const given: Release | null =
          segments.length === 0
            ? await buffers.acquire(RANGE_BYTES, signal)
            : buffers.tryAcquire(RANGE_BYTES);
        if (given === null) break;
        start(given, null);
      }
      const segment = segments[0];
      if (segment === undefined) break;
      await segment.complete;
      await sink.append(segment.buffer.subarray(0, segment.range.end - segment.range.start));
      segments.shift();
      segment.release();
      spare.push(segment.buffer);
    }
  } catch (error) {
    failed.abort(error);
    throw error;
  } finally {
    await Promise.allSettled(segments.map((segment) => segment.complete));
    for (const segment of segments) segment.release();
  }
}

async function readInto(
  buffer: Uint8Array,
  transfer: Transfer,
  range: ByteRange,
  first: Fetched | null,
): Promise<void> {
  let filled = 0;
  for await (const chunk of bytesOf(transfer, range, first)) {
    buffer.set(chunk, filled);
    filled += chunk.length;
  }
}
