// How sure we are that an entry's bytes are the bytes that were logged. Derived from an entry, never
// stored beside it, so the two cannot disagree.

import { Fault } from "./fault.js";
import type { Entry } from "./entry.js";
import { pinsObject } from "./pin.js";

/** Strongest first. */
export const ASSURANCES = ["content", "provider", "pin", "none"] as const;
export type Assurance = (typeof ASSURANCES)[number];

/**
 * `content`: a hash of the bytes was recorded when logging. `provider`: the store holds a checksum
 * for the pinned version. `pin`: only the version is pinned. `none`: nothing is.
 */
export function assuranceOf(entry: Pick<Entry, "digests" | "claims" | "pin">): Assurance {
  if (Object.keys(entry.digests).length > 0) return "content";
  if (entry.claims.length > 0) return "provider";
  return pinsObject(entry.pin) ? "pin" : "none";
}

/** True when `actual` is at least as strong as `required`. */
export function satisfies(actual: Assurance, required: Assurance): boolean {
  return ASSURANCES.indexOf(actual) <= ASSURANCES.indexOf(required);
}

export function parseAssurance(text: string): Assurance {
  const found = ASSURANCES.find((level) => level === text);
  if (found === undefined) {
    throw new Fault(
      "usage",
      `--require takes one of ${ASSURANCES.join(", ")}, strongest first; got "${text}"`,
    );
  }
  return found;
}
