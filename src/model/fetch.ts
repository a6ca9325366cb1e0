// What passes between a store, which gets bytes, and the cache, which checks and keeps them.
// The two never meet: daemon/ hands one a function of the other.

import type { Claim } from "./digest.js";
import type { Entry } from "./entry.js";

/** Half open: `start` up to, not including, `end`, in bytes. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** One answered request for an object's bytes, none of them checked yet. */
export interface Fetched extends AsyncDisposable {
  /**
   * The bytes of `range`, in order. Ends early with an `unavailable` fault when the transfer breaks,
   * stalls or is shorter than promised; throws the abort reason when the signal fires.
   */
  readonly body: AsyncIterable<Uint8Array>;
  /** Size of the whole object, in bytes, as the store says now. */
  readonly sizeBytes: number;
  /** What `body` holds: the range asked for, or everything where the store has no ranges. */
  readonly range: ByteRange;
  /**
   * True when the store guarantees these are the pinned object's bytes (version, generation or
   * If-Match): then other bytes than logged mean corruption, else they mean drift.
   */
  readonly pinned: boolean;
  /** Checksums of the object that came with the answer. */
  readonly claims: readonly Claim[];
  /** How the object was written, where a claim needs to know and the store tells. */
  readonly parts?: Parts;
  /** False when the answer shows that the ETag is no hash of the bytes (KMS, customer key). */
  readonly etagIsHash: boolean;
  /** A local file that holds exactly the whole object: may be cloned instead of reading `body`. */
  readonly localPath?: string;
  /** Called after the last byte was taken: throws `drifted` when the source changed since it was opened. */
  confirm?(): Promise<void>;
}

/** The parts in which a store says that the pinned object was written. */
export interface Parts {
  readonly count: number;
  /** Bytes of the first part. All but the last usually have that many, but need not. */
  readonly firstBytes: number;
  /**
   * Asks for the bytes of every part; null when the store does not tell.
   * @param onProgress Called whenever an answer came: many parts take many requests.
   * @throws Fault `unavailable`; the signal's reason.
   */
  sizes(signal: AbortSignal, onProgress: () => void): Promise<readonly number[] | null>;
}

/**
 * Opens the pinned object of `entry`, or a range of it.
 * @throws Fault `denied`, `drifted` (the pinned version is gone or another), `unavailable` (worth a
 * retry), `usage` (no such scheme).
 */
export type Fetch = (
  entry: Entry,
  range: ByteRange | null,
  signal: AbortSignal,
) => Promise<Fetched>;
