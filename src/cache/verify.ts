// Decides whether received bytes are the bytes of an entry, and how sure that is. Compares values
// only: does not read, hash or fetch.

import type { Assurance } from "../model/assurance.js";
import {
  DIGEST_ALGORITHMS,
  type Claim,
  type DigestAlgorithm,
  type Digests,
} from "../model/digest.js";
import type { Entry } from "../model/entry.js";
import type { Fetched } from "../model/fetch.js";
import { pinsObject } from "../model/pin.js";
import type { Hashes } from "../native/addon.js";
import type { Sighting } from "./observed.js";

/** The part of a store's answer that bears on verification. */
export type Answer = Pick<Fetched, "pinned" | "claims" | "etagIsHash">;

export type Verdict =
  | { readonly ok: true; readonly assurance: Assurance; readonly sighting: Sighting }
  /** `what` says what differs, as a clause of a sentence. */
  | { readonly ok: false; readonly what: string };

/** A claim that can be compared. */
export type CountedClaim = Claim & { readonly value: string };

/**
 * The claims that count for `entry` after `answer`: those with a value, an ETag only where the
 * answer left it a hash of the bytes.
 */
function countedClaims(claims: readonly Claim[], etagIsHash: boolean): readonly CountedClaim[] {
  return claims.filter(
    (claim): claim is CountedClaim =>
      claim.value !== undefined && (claim.source === "checksum" || etagIsHash),
  );
}

/** What must be computed, besides SHA-256, to judge the bytes of `entry` after `answer`. */
export function algorithmsFor(entry: Entry, answer: Answer): readonly DigestAlgorithm[] {
  const content = Object.keys(entry.digests) as DigestAlgorithm[];
  const wanted = new Set<DigestAlgorithm>(
    content.length > 0
      ? content
      : checksOf(entry, answer)
          .filter((claim) => claim.ofParts !== true)
          .map((claim) => claim.algorithm),
  );
  return DIGEST_ALGORITHMS.filter((algorithm) => algorithm !== "sha256" && wanted.has(algorithm));
}

/**
 * Judges completely received bytes: the digests recorded when logging, else what the provider
 * claims, else what was seen before. Every one that can be compared must match.
 * @param seen What was observed of this pinned object before, or null.
 */
export function judge(
  entry: Entry,
  hashes: Hashes,
  answer: Answer,
  seen: Sighting | null,
): Verdict {
  const { digests } = hashes;
  if (entry.sizeBytes !== null && entry.sizeBytes !== hashes.sizeBytes) {
    return differs("size", `${entry.sizeBytes} bytes`, `${hashes.sizeBytes} bytes`);
  }
  const content = Object.entries(entry.digests) as [DigestAlgorithm, string][];
  for (const [algorithm, expected] of content) {
    if (digests[algorithm] !== expected) {
      return differs(`${algorithm} recorded when logging`, expected, digests[algorithm]);
    }
  }
  const claims = (content.length > 0 ? [] : checksOf(entry, answer)).filter(
    // Where nobody could tell the parts, a claim over them says nothing.
    ({ algorithm, ofParts }) => ofParts !== true || hashes.composites?.[algorithm] !== undefined,
  );
  for (const { algorithm, value, ofParts } of claims) {
    const actual = ofParts === true ? hashes.composites?.[algorithm] : digests[algorithm];
    const what = ofParts === true ? `${algorithm} of the parts` : algorithm;
    if (actual !== value) return differs(`${what} that the store holds`, value, actual);
  }
  const providerChecked = claims.length > 0;
  const sighting: Sighting = {
    sha256: digests.sha256,
    sizeBytes: hashes.sizeBytes,
    digests,
    chunks: hashes.chunks.length > 32 ? hashes.chunks : null,
    etagIsHash: answer.etagIsHash,
    providerChecked,
  };
  if (content.length > 0) return { ok: true, assurance: "content", sighting };
  // A sighting binds whoever is not surer: bytes that the provider's checksum proves are right also
  // when an earlier fetch, which nothing could check, was not.
  if (seen !== null && seen.sha256 !== digests.sha256 && seen.providerChecked >= providerChecked) {
    return differs("sha256 seen at the first fetch", seen.sha256, digests.sha256);
  }
  if (providerChecked && namesBytes(entry)) return { ok: true, assurance: "provider", sighting };
  const assurance = pinsObject(entry.pin) && answer.pinned ? "pin" : "none";
  return { ok: true, assurance, sighting };
}

/**
 * How sure it is that the bytes of an earlier sighting are those of `entry`, without fetching again;
 * null when the sighting does not tell, or contradicts: then only a fetch can.
 */
export function proven(entry: Entry, seen: Sighting): Assurance | null {
  if (entry.sizeBytes !== null && entry.sizeBytes !== seen.sizeBytes) return null;
  if (entry.digests.sha256 !== undefined) {
    return entry.digests.sha256 === seen.sha256 ? "content" : null;
  }
  const content = Object.entries(entry.digests) as [DigestAlgorithm, string][];
  if (content.length > 0) {
    return content.every(([algorithm, value]) => seen.digests[algorithm] === value)
      ? "content"
      : null;
  }
  // What was seen of claims over parts is no more than whether they counted and matched.
  const claims = countedClaims(entry.claims, seen.etagIsHash).filter(
    (claim) => claim.ofParts !== true,
  );
  if (!claims.every(({ algorithm, value }) => seen.digests[algorithm] === value)) return null;
  if (claims.length > 0 || (seen.providerChecked && namesBytes(entry))) return "provider";
  return pinsObject(entry.pin) ? "pin" : "none";
}

/**
 * False when nothing ties the entry to its bytes: then a checksum that came with them proves that they
 * arrived whole, but not that they are the bytes that were logged.
 */
function namesBytes(entry: Entry): boolean {
  return pinsObject(entry.pin) || entry.claims.length > 0;
}

/** The claims that count for `entry` after `answer`, over the whole and over the parts. */
export function checksOf(entry: Entry, answer: Answer): readonly CountedClaim[] {
  return countedClaims([...entry.claims, ...answer.claims], answer.etagIsHash);
}

function differs(what: string, expected: string, actual: string | undefined): Verdict {
  return {
    ok: false,
    what: `the ${what} is ${expected}, the bytes received have ${actual ?? "none"}`,
  };
}

/** The digests of a sighting joined with those of another one of the same bytes. */
export function mergeSightings(older: Sighting, newer: Sighting): Sighting {
  const digests: Digests = { ...older.digests, ...newer.digests };
  return {
    ...newer,
    digests,
    chunks: newer.chunks ?? older.chunks,
    providerChecked: older.providerChecked || newer.providerChecked,
  };
}
