// `gc`: purges versions whose grace is over, and removes manifests that neither a version nor a mount
// needs. Touches no cached blob: the cache has a limit of its own.

import { Fault } from "../model/fault.js";
import { Holder } from "../mount/holder.js";
import { Registry } from "../registry/registry.js";
import { sweepManifests } from "../registry/sweep.js";
import { readStatus } from "./client.js";
import type { Home } from "./home.js";
import type { MountRecord } from "./protocol.js";

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
  const needed = new Set([
    ...(named ?? registry.manifestDigests()),
    // A mount may outlive its version; asked after the purge, so that none comes between.
    ...(await mountedManifests(home)),
  ]);
  const swept = sweepManifests(home.manifestsDir, needed, nowMs - YOUNG_MS, request.dryRun);
  return { versions: doomed, ...swept };
}

/**
 * The manifests of all mounts: those that the holder keeps, also while their worker is away, and those of
 * the portable driver, which only the worker knows.
 */
async function mountedManifests(home: Home): Promise<readonly string[]> {
  const status = await readStatus(home);
  return [...(status?.mounts ?? []).map(({ digest }) => digest), ...keptManifests(home)];
}

function keptManifests(home: Home): readonly string[] {
  let holder: Holder;
  try {
    holder = Holder.connect(home.holderSocket);
  } catch (error) {
    // Nobody is there, so nobody keeps a mount.
    if (error instanceof Fault && error.kind === "unavailable") return [];
    throw error;
  }
  using _closed = holder;
  return holder.records().map((record) => (JSON.parse(record) as MountRecord).manifestDigest);
}
