// One file of a manifest.

import type { Claim, Digests } from "./digest.js";
import { encodeClaims, encodeDigests } from "./digest.js";
import type { Pin } from "./pin.js";
import { encodePin } from "./pin.js";

export interface Entry {
  /** Relative, '/'-separated, checked by `checkPath`. */
  readonly path: string;
  /** Size of the object in bytes; null when the store did not say. */
  readonly sizeBytes: number | null;
  /** Weights & Biases' per-entry string; enters the W&B manifest digest, never verifies anything. */
  readonly entryDigest: string;
  /** Where the bytes are. Holds no secret. */
  readonly uri: string;
  readonly pin: Pin;
  /** Hashes of the bytes, computed by us when logging, or given by who logged it. */
  readonly digests: Digests;
  /** What the store says of the bytes, unread by us. */
  readonly claims: readonly Claim[];
  /** SHA-256 of every CHUNK_BYTES, 32 bytes each, when the object was hashed and has two or more. */
  readonly chunks: Uint8Array | null;
  /** Last modification as the store told it, milliseconds since 1970; null when unknown. */
  readonly mtimeMs: number | null;
}

/** An entry as plain columns, with its pin, digests and claims in their canonical text. */
export interface EntryColumns extends Pick<Entry, "path" | "sizeBytes" | "entryDigest" | "uri"> {
  readonly pin: string;
  readonly digests: string;
  readonly claims: string;
}

export function toColumns(entry: Entry): EntryColumns {
  return {
    path: entry.path,
    sizeBytes: entry.sizeBytes,
    entryDigest: entry.entryDigest,
    uri: entry.uri,
    pin: encodePin(entry.pin),
    digests: encodeDigests(entry.digests),
    claims: encodeClaims(entry.claims),
  };
}

/**
 * The canonical row of an entry: what its manifest's name is computed from. Times are left out:
 * they do not say which bytes these are.
 */
export function canonicalRow(entry: Entry): string {
  return canonicalRowOf(toColumns(entry));
}

/** The canonical row, from columns that were stored. */
export function canonicalRowOf(columns: EntryColumns): string {
  return JSON.stringify([
    columns.path,
    columns.sizeBytes,
    columns.entryDigest,
    columns.uri,
    columns.pin,
    columns.digests,
    columns.claims,
  ]);
}
