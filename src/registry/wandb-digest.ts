// The digest by which Weights & Biases names a manifest: MD5 over the paths and entry digests. It
// says when two versions hold the same content; it never verifies bytes.

import type { Entry } from "../model/entry.js";
import { comparePaths } from "../model/path.js";
import { TextHash } from "./text-hash.js";

/** Takes the entries one by one, each path once, in the order of `comparePaths`. */
export class WandbDigest {
  readonly #hash = new TextHash("md5", "wandb-artifact-manifest-v1\n");

  add(path: string, entryDigest: string): void {
    this.#hash.add(`${path}:${entryDigest}\n`);
  }

  /** Lower-case hex; nothing may be added afterwards. */
  finish(): string {
    return this.#hash.finish();
  }
}

/** The digest of entries that fit in memory, in any order; their paths are unique. */
export function wandbDigest(entries: Iterable<Pick<Entry, "path" | "entryDigest">>): string {
  const digest = new WandbDigest();
  for (const entry of [...entries].sort((a, b) => comparePaths(a.path, b.path))) {
    digest.add(entry.path, entry.entryDigest);
  }
  return digest.finish();
}
