// `gc`: purges versions whose grace is over, and removes manifests that neither a version nor a mount
// needs. Touches no cached blob: the cache has a limit of its own.

import { Registry } from "../registry/registry.js";
import { sweepManifests } from "../registry/sweep.js";
import { readStatus } from "./client.js";
import type { Home } from "./home.js";

/** A log needs its manifest before a version names it: that long one is left alone. */
const YOUNG_MS = 3_600_000;

export interface GcRequest {
  /** Deleted versions stay that long, in milliseconds. */
  readonly graceMs: number;
  /** Remove nothing, only tell. */
  readonly dryRun: boolean;
}

export interface GcReport {
  readonly versions: number;
  readonly manifests: number;
  readonly bytes: number;
}

/** @throws Fault `busy`, `denied`. */
export async function collectGarbage(home: Home, request: GcRequest): Promise<GcReport> {
  using registry = Registry.open(home);
  const nowMs = Date.now();
  const beforeMs = nowMs - request.graceMs;
  const doomed = registry.purgeable(beforeMs);
  const named = request.dryRun ? registry.manifestDigests(beforeMs) : undefined;
  if (!request.dryRun) registry.purge(beforeMs);
  // A mount may outlive its version; asked after the purge, so that none comes between.
  const status = await readStatus(home);
  const needed = new Set([
    ...(named ?? registry.manifestDigests()),
    ...(status?.mounts ?? []).map(({ digest }) => digest),
  ]);
  const swept = sweepManifests(home.manifestsDir, needed, nowMs - YOUNG_MS, request.dryRun);
  return { versions: doomed, ...swept };
}
