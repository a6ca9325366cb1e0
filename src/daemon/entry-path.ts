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
 * The path of the object `key`. Empty segments within it are dropped, as Weights & Biases does, so
 * `a//b` is `a/b`.
 * @throws Fault `usage` when there is no name, or no path can hold it ("." and "..", a "/" at its
 * beginning, a NUL, over 255 bytes).
 */
export function entryPath(key: string, { base, single }: Placement): string {
  if (single && base !== "") return base;
  if (key.startsWith("/")) return checkPath(key);
  const name = key.includes("//") || key.endsWith("/") ? withoutEmpty(key) : key;
  if (name === "" && single) {
    throw new Fault(
      "usage",
      "nothing in it is the name of a file; give it one with --ref PATH=URI",
    );
  }
  return checkPath(base === "" ? name : `${base}/${name}`);
}

/** The path that `--ref PATH=URI` gives, without a trailing slash, "." and empty segments. */
export function placementBase(path: string): string {
  if (path.startsWith("/")) return checkPath(path);
  const segments = path.split("/").filter((segment) => segment !== "" && segment !== ".");
  return checkPath(segments.join("/"));
}

function withoutEmpty(key: string): string {
  return key
    .split("/")
    .filter((segment) => segment !== "")
    .join("/");
}
