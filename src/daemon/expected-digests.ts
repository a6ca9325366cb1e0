// What the bytes of an entry must hash to, for whoever has a file and wants to know whether it is that one.

import type { Observed } from "../cache/observed.js";
import { claimedDigests, type Digests } from "../model/digest.js";
import type { Entry } from "../model/entry.js";

/**
 * What is known of the entry's bytes: hashed when logged, seen at an earlier fetch, or a checksum that
 * the store holds. An ETag does not count: that it is a hash only the store's answer shows.
 */
export function expectedDigests(entry: Entry, observed: Observed): Digests {
  if (Object.keys(entry.digests).length > 0) return entry.digests;
  const seen = observed.find(entry);
  if (seen !== null) return { sha256: seen.sha256 };
  return claimedDigests(entry.claims.filter(({ source }) => source === "checksum"));
}
