// `diff`: what differs between two versions, from their manifests alone. Asks no store.

import { diffManifests, type Difference } from "../registry/manifest-diff.js";
import { Manifest } from "../registry/manifest.js";
import { Registry } from "../registry/registry.js";
import type { Version } from "../registry/version.js";
import type { Home } from "./home.js";

export type { Difference } from "../registry/manifest-diff.js";

export interface DiffStat {
  readonly added: Counted;
  readonly removed: Counted;
  /** Other bytes; `bytes` is what the files hold now. */
  readonly content: Counted;
  /** The same bytes elsewhere, or pinned otherwise. */
  readonly reference: Counted;
  /** Nothing recorded tells whether the bytes differ. */
  readonly unknown: Counted;
}

export interface Counted {
  files: number;
  bytes: number;
}

export interface VersionDiff {
  readonly before: Version;
  readonly after: Version;
  /** Complete once `differences` was read to its end. */
  readonly stat: DiffStat;
  /** In path order; to be read to its end or left. */
  readonly differences: IterableIterator<Difference>;
}

/**
 * Compares two versions, of one artifact or of two.
 * @throws Fault `not-found`, `usage`.
 */
export function diffVersions(home: Home, before: string, after: string): VersionDiff {
  const [old, now] = resolveBoth(home, before, after);
  const stat: DiffStat = {
    added: { files: 0, bytes: 0 },
    removed: { files: 0, bytes: 0 },
    content: { files: 0, bytes: 0 },
    reference: { files: 0, bytes: 0 },
    unknown: { files: 0, bytes: 0 },
  };
  return { before: old, after: now, stat, differences: differencesOf(home, old, now, stat) };
}

/**
 * The counts alone, from differences of which none was read yet.
 * @throws Fault `corrupt`, `not-found` for a manifest that is gone.
 */
export function countDifferences({ differences, stat }: VersionDiff): DiffStat {
  // Read to its end, it has counted.
  while (differences.next().done !== true);
  return stat;
}

function resolveBoth(home: Home, before: string, after: string): [Version, Version] {
  using registry = Registry.open(home);
  return [registry.resolve(before), registry.resolve(after)];
}

function* differencesOf(
  home: Home,
  before: Version,
  after: Version,
  stat: DiffStat,
): IterableIterator<Difference> {
  using old = Manifest.open(home.manifestsDir, before.manifestDigest);
  using now = Manifest.open(home.manifestsDir, after.manifestDigest);
  for (const difference of diffManifests(old, now)) {
    const counted = stat[difference.kind === "changed" ? difference.change : difference.kind];
    const entry = difference.kind === "removed" ? difference.before : difference.after;
    counted.files += 1;
    counted.bytes += entry.sizeBytes ?? 0;
    yield difference;
  }
}
