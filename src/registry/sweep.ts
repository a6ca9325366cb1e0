// Removes sealed manifests, and their indexes, that nobody needs. What is needed the caller says.

import { readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { guarded } from "./sqlite.js";

const NAME = /^([0-9a-f]{64})\.(manifest|idx)$/;

export interface Swept {
  readonly manifests: number;
  /** Of manifests and indexes. */
  readonly bytes: number;
}

/**
 * @param needed digests of manifests to keep.
 * @param beforeMs files changed since then are kept, too: a log may have sealed one that no version
 * names yet.
 * @param dryRun only count.
 * @throws Fault `denied` when a file cannot be removed.
 */
export function sweepManifests(
  manifestsDir: string,
  needed: ReadonlySet<string>,
  beforeMs: number,
  dryRun: boolean,
): Swept {
  const described = {
    path: join(manifestsDir, "."),
    what: `The folder of manifests ${manifestsDir}`,
    remedy: "Check the disk and its file system.",
  };
  return guarded(described, () => {
    let manifests = 0;
    let bytes = 0;
    for (const file of readdirSync(manifestsDir)) {
      const [, digest, kind] = NAME.exec(file) ?? [];
      if (digest === undefined || needed.has(digest)) continue;
      const path = join(manifestsDir, file);
      const stats = statSync(path);
      if (stats.mtimeMs >= beforeMs) continue;
      if (!dryRun) rmSync(path, { force: true });
      if (kind === "manifest") manifests += 1;
      bytes += stats.size;
    }
    return { manifests, bytes };
  });
}
