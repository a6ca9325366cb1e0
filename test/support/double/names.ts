// Names of objects in the order in which stores list them.

import { comparePaths } from "../../../src/model/path.js";

/** Those of `sorted` that begin with `prefix` and come after `after`, in byte order as they are. */
export function* namesFrom(
  sorted: readonly string[],
  prefix: string,
  after: string | undefined,
): Generator<string> {
  const begin = after === undefined || comparePaths(after, prefix) < 0 ? prefix : after;
  for (let index = lowerBound(sorted, begin); index < sorted.length; index++) {
    const name = sorted[index] ?? "";
    if (!name.startsWith(prefix)) return;
    if (name !== after) yield name;
  }
}

function lowerBound(sorted: readonly string[], wanted: string): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (comparePaths(sorted[middle] ?? "", wanted) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
