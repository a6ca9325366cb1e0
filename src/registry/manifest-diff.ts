// Compares two manifests entry by entry, both read once in path order: bounded memory, whatever their
// size. Decides nothing about bytes; model/entry-change.ts does.

import type { Entry } from "../model/entry.js";
import { compareEntries, type EntryChange } from "../model/entry-change.js";
import { comparePaths } from "../model/path.js";
import type { EntryValues } from "./manifest-file.js";
import type { Manifest } from "./manifest.js";

/** One path on which two versions differ. */
export type Difference =
  | { readonly kind: "added"; readonly path: string; readonly after: Entry }
  | { readonly kind: "removed"; readonly path: string; readonly before: Entry }
  | {
      readonly kind: "changed";
      readonly path: string;
      readonly before: Entry;
      readonly after: Entry;
      readonly change: EntryChange;
    };

/** Columns that say which file a row is: all but the node id, the time and the row's own check. */
const COMPARED = [2, 3, 4, 5, 6, 7, 9] as const satisfies readonly (keyof EntryValues)[];

/**
 * Where two manifests differ, in path order. Rows that are equal are not decoded. To be read to its
 * end or left.
 * @throws Fault `corrupt` when a row that differs is damaged, or rows are missing.
 */
export function* diffManifests(before: Manifest, after: Manifest): IterableIterator<Difference> {
  if (before.digest === after.digest) return;
  const left = before.rows();
  const right = after.rows();
  try {
    let a = left.next();
    let b = right.next();
    while (a.done !== true || b.done !== true) {
      const order =
        a.done === true ? 1 : b.done === true ? -1 : comparePaths(a.value[1], b.value[1]);
      if (order < 0 && a.done !== true) {
        yield { kind: "removed", path: a.value[1], before: before.entryOf(a.value) };
      } else if (order > 0 && b.done !== true) {
        yield { kind: "added", path: b.value[1], after: after.entryOf(b.value) };
      } else if (a.done !== true && b.done !== true && !equal(a.value, b.value)) {
        const old = before.entryOf(a.value);
        const now = after.entryOf(b.value);
        const change = compareEntries(old, now);
        yield { kind: "changed", path: now.path, before: old, after: now, change };
      }
      if (order <= 0) a = left.next();
      if (order >= 0) b = right.next();
    }
  } finally {
    left.return?.();
    right.return?.();
  }
}

function equal(a: EntryValues, b: EntryValues): boolean {
  return COMPARED.every((column) => a[column] === b[column]);
}
