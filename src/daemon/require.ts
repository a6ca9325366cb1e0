// What `--require` says before any byte is read.

import { assuranceOf, type Assurance } from "../model/assurance.js";
import type { Entry } from "../model/entry.js";
import { Fault } from "../model/fault.js";

/** Entries that a refusal names. */
export const MANY_REFUSED = 10;

/** @throws Fault `usage` naming the entries of `ref` that are assured by less than `required`, if any. */
export function refuseWeaker(
  ref: string,
  required: Assurance,
  weaker: readonly Entry[],
  verb: "mount" | "download",
): void {
  if (weaker.length === 0) return;
  const lines = weaker.map((entry) => `  ${entry.path} (${assuranceOf(entry)})`);
  throw new Fault(
    "usage",
    `${ref} has files that are assured by less than "${required}":\n${lines.join("\n")}\n` +
      `Log them with --hash, or ${verb} with --require none`,
  );
}
