// Claims over the parts in which an object was written: multipart ETags and composite checksums. Says
// which parts to hash, and finds out whether a mismatch means other bytes or only other parts.

import type { Entry } from "../model/entry.js";
import type { Fetched } from "../model/fetch.js";
import type { Hashes, HashOptions } from "../native/addon.js";
import type { StallGuard } from "./stall.js";
import { algorithmsFor, checksOf, type Answer, type CountedClaim } from "./verify.js";

type PartsAnswer = Answer & Pick<Fetched, "parts">;
type Watch = Pick<StallGuard, "signal" | "progress">;

/**
 * What to compute over the bytes of `entry`. Where the first part shows that not all parts have its
 * size, asks for the size of each.
 * @throws Fault `unavailable`; the signal's reason.
 */
export async function planHashing(
  entry: Entry,
  answer: PartsAnswer,
  totalBytes: number,
  watch: Watch,
): Promise<HashOptions> {
  const whole = { algorithms: algorithmsFor(entry, answer) };
  const { parts } = answer;
  const algorithms = claimsOfParts(entry, answer).map((claim) => claim.algorithm);
  if (parts === undefined || algorithms.length === 0) return whole;
  const { count, firstBytes } = parts;
  if (mayBeUniform(totalBytes, firstBytes, count)) {
    return { ...whole, parts: { algorithms, sizes: [firstBytes], count } };
  }
  const sizes = await parts.sizes(watch.signal, () => watch.progress());
  return sizes === null ? whole : { ...whole, parts: { algorithms, sizes, count } };
}

/**
 * The hashes to judge by. A mismatch found with parts that were only assumed to be of one size proves
 * nothing: then the bytes are hashed again with the size of each, and where the store does not tell
 * these, such claims do not count.
 * @param rehash Hashes the same object again; all that it gives counts, so that nothing is mixed.
 * @throws Fault `unavailable`; the signal's reason; whatever `rehash` throws.
 */
export async function settleParts(
  entry: Entry,
  answer: PartsAnswer,
  { hashes, hashing }: { readonly hashes: Hashes; readonly hashing: HashOptions },
  watch: Watch,
  rehash: (hashing: HashOptions) => Promise<Hashes>,
): Promise<Hashes> {
  if (answer.parts === undefined || hashing.parts === undefined) return hashes;
  const assumed = hashing.parts.sizes.length < hashing.parts.count;
  if (!assumed || agree(claimsOfParts(entry, answer), hashes)) return hashes;
  const sizes = await answer.parts.sizes(watch.signal, () => watch.progress());
  if (sizes === null) return withoutComposites(hashes);
  const { firstBytes } = answer.parts;
  if (sizes.slice(0, -1).every((bytes) => bytes === firstBytes)) return hashes;
  return await rehash({ ...hashing, parts: { ...hashing.parts, sizes } });
}

/** Those that can be compared: about as many parts as the store tells of. */
function claimsOfParts(entry: Entry, answer: PartsAnswer): readonly CountedClaim[] {
  const { parts } = answer;
  if (parts === undefined || Object.keys(entry.digests).length > 0) return [];
  return checksOf(entry, answer).filter(
    ({ ofParts, value }) => ofParts === true && value.endsWith(`-${parts.count}`),
  );
}

/** True when parts of `partBytes`, the last one no longer, make up the object. */
function mayBeUniform(totalBytes: number, partBytes: number, count: number): boolean {
  return count === 1
    ? partBytes === totalBytes
    : partBytes * (count - 1) < totalBytes && totalBytes <= partBytes * count;
}

function agree(claims: readonly CountedClaim[], { composites }: Hashes): boolean {
  return claims.every(({ algorithm, value }) => composites?.[algorithm] === value);
}

function withoutComposites(hashes: Hashes): Hashes {
  const { sizeBytes, digests, chunks, blockCrcs } = hashes;
  return { sizeBytes, digests, chunks, blockCrcs };
}
