// The two digests of a manifest, from its entries in path order.

import { comparePaths } from "../model/path.js";
import {
  canonicalDirectoryLine,
  canonicalLine,
  EMPTY_DIRECTORIES,
  ENTRY_COLUMNS,
  ManifestDigest,
  toEntryRow,
  type EntryValues,
} from "./manifest-file.js";
import type { Database } from "./sqlite.js";
import { WandbDigest } from "./wandb-digest.js";

/**
 * The digests of a manifest from its entries in path order. Ids are given in another order, by depth
 * first, which is the same for a tree whose files are all at one depth: then no second pass is needed.
 */
export class PathDigests {
  readonly #digest = new ManifestDigest();
  readonly #wandbDigest = new WandbDigest();
  #lastPath = "";
  #inOrder = true;

  add(values: EntryValues): void {
    if (!this.#inOrder) return;
    const row = toEntryRow(values);
    this.#inOrder = this.#lastPath === "" || comparePaths(this.#lastPath, row.path) < 0;
    if (!this.#inOrder) return;
    this.#lastPath = row.path;
    this.#digest.add(canonicalLine(row));
    this.#wandbDigest.add(row.path, row.entry_digest);
  }

  /** Adds the empty directories, after all entries; gives their number. */
  addEmptyDirectories(db: Database): number {
    let count = 0;
    for (const { path } of db.prepare<[], { path: string }>(EMPTY_DIRECTORIES).iterate()) {
      this.#digest.add(canonicalDirectoryLine(path));
      count++;
    }
    return count;
  }

  /** Null unless the entries came in path order. */
  finish(): { digest: string; wandbDigest: string } | null {
    if (!this.#inOrder) return null;
    return { digest: this.#digest.finish(), wandbDigest: this.#wandbDigest.finish() };
  }
}

/** The digests of the manifest that was written to `db`, read once more in path order. */
export function digestsOf(db: Database): { digest: string; wandbDigest: string } {
  const digests = new PathDigests();
  const rows = db.prepare<[], EntryValues>(`SELECT ${ENTRY_COLUMNS} FROM entry ORDER BY path`);
  for (const values of rows.raw().iterate()) digests.add(values);
  digests.addEmptyDirectories(db);
  const finished = digests.finish();
  if (finished === null) throw new Error("SQLite and comparePaths order paths differently");
  return finished;
}
