// From an object's name in its store to its path in a manifest. Object stores allow names that no
// path can be; nothing is looked up here.

import { Fault } from "../model/fault.js";
import { checkPath } from "../model/path.js";

/** Where one source's objects go. */
export interface Placement {
  /** The path before the `=` of `--ref`; "" for none. */
  readonly base: string;
  /** The source is one object: then `base` is its whole path. */
  readonly single: boolean;
}

/**
 * The path of the object `key` as Weights & Biases builds it: empty and "." segments are dropped, so
 * `a//b` is `a/b`.
 * @throws Fault `usage` when there is no name, or no path can hold it (`..`, a NUL, over 255 bytes).
 */
export function entryPath(key: string, { base, single }: Placement): string {
  const wanted = normalise(base === "" ? key : single ? base : `${base}/${key}`);
  if (wanted === "" && single) {
    throw new Fault(
      "usage",
      "nothing in it is the name of a file; give it one with --ref PATH=URI",
    );
  }
  return checkPath(wanted);
}

/** The path that `--ref PATH=URI` gives, without a trailing slash. */
export function placementBase(path: string): string {
  return checkPath(normalise(path));
}

function normalise(path: string): string {
  if (!path.includes("//") && !/(^|\/)\.?(\/|$)/.test(path)) return path;
  return path
    .split("/")
    .filter((segment) => segment !== "" && segment !== ".")
    .join("/");
}
