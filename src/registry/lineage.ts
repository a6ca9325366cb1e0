// The graph of versions and runs around one version: what it was made from, what was made from it.

import type { Run, RunVersion } from "./run.js";

export type LineageNode =
  | { readonly kind: "version"; readonly id: string; readonly version: NodeVersion }
  | { readonly kind: "run"; readonly id: string; readonly run: Run };

export type NodeVersion = Pick<RunVersion, "ref" | "type" | "digest" | "deleted">;

/** From what was there first to what came of it: version -> run (used), run -> version (produced). */
export interface LineageEdge {
  readonly from: string;
  readonly to: string;
  readonly role: "used" | "produced";
}

export interface Lineage {
  /** The node that was asked about. */
  readonly root: string;
  readonly nodes: readonly LineageNode[];
  readonly edges: readonly LineageEdge[];
}

/** Which runs have to do with a version, oldest first. */
export interface RunsOfVersions {
  producers(ref: string): readonly Run[];
  users(ref: string): readonly Run[];
}

/**
 * Follows runs from `root` up, to what it was made from, and down, to what was made from it, as far as
 * they lead. Every node and edge is there once, whatever the number of ways to it.
 */
export function traceLineage(
  root: NodeVersion,
  directions: { readonly up: boolean; readonly down: boolean },
  runs: RunsOfVersions,
): Lineage {
  const nodes = new Map<string, LineageNode>();
  const edges = new Map<string, LineageEdge>();
  const addVersion = (version: NodeVersion): string => {
    const id = `version:${version.ref}`;
    if (!nodes.has(id)) nodes.set(id, { kind: "version", id, version });
    return id;
  };
  const addRun = (run: Run): string => {
    const id = `run:${run.id}`;
    if (!nodes.has(id)) nodes.set(id, { kind: "run", id, run });
    return id;
  };
  const addEdge = (from: string, to: string, role: LineageEdge["role"]): void => {
    edges.set(`${from} ${to}`, { from, to, role });
  };

  const walk = (up: boolean): void => {
    const seen = new Set<string>();
    const waiting: NodeVersion[] = [root];
    for (let version = waiting.pop(); version !== undefined; version = waiting.pop()) {
      if (seen.has(version.ref)) continue;
      seen.add(version.ref);
      const versionId = addVersion(version);
      for (const run of up ? runs.producers(version.ref) : runs.users(version.ref)) {
        const runId = addRun(run);
        if (up) addEdge(runId, versionId, "produced");
        else addEdge(versionId, runId, "used");
        for (const other of up ? run.used : run.produced) {
          const otherId = addVersion(other);
          if (up) addEdge(otherId, runId, "used");
          else addEdge(runId, otherId, "produced");
          waiting.push(other);
        }
      }
    }
  };
  const rootId = addVersion(root);
  if (directions.up) walk(true);
  if (directions.down) walk(false);
  return { root: rootId, nodes: [...nodes.values()], edges: [...edges.values()] };
}
