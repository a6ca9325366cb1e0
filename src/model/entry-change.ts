// What happened to a file between two versions, told from its two entries alone.

import type { DigestAlgorithm } from "./digest.js";
import { claimedDigests, DIGEST_ALGORITHMS } from "./digest.js";
import type { Entry } from "./entry.js";

/**
 * `content`: the bytes differ. `reference`: the bytes are the same, only where they are or what pins
 * them differs. `unknown`: nothing that was recorded tells whether the bytes differ.
 */
export type EntryChange = "content" | "reference" | "unknown";

/** How two entries of one path differ, which are not equal. */
export function compareEntries(before: Entry, after: Entry): EntryChange {
  if (
    before.sizeBytes !== null &&
    after.sizeBytes !== null &&
    before.sizeBytes !== after.sizeBytes
  ) {
    return "content";
  }
  const [known, now] = [hashesOf(before), hashesOf(after)];
  const algorithm = DIGEST_ALGORITHMS.find((name) => known.has(name) && now.has(name));
  if (algorithm !== undefined) {
    return known.get(algorithm) === now.get(algorithm) ? "reference" : "content";
  }
  return before.entryDigest === after.entryDigest && before.entryDigest !== before.uri
    ? "reference"
    : "unknown";
}

/**
 * Hashes of the whole content: those computed when logging before those that the store claims. An
 * ETag that looks like an MD5 is taken for one: it is wrong only where keys of KMS are used.
 */
function hashesOf(entry: Entry): ReadonlyMap<DigestAlgorithm, string> {
  const hashes = { ...claimedDigests(entry.claims), ...entry.digests };
  return new Map(Object.entries(hashes) as [DigestAlgorithm, string][]);
}
