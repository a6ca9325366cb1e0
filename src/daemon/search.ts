// `search`: files by their path, over the versions that are asked for. Reads manifests; asks no store.

import type { Assurance } from "../model/assurance.js";
import { Fault } from "../model/fault.js";
import { parseRef } from "../model/ref.js";
import { Manifest } from "../registry/manifest.js";
import { Registry } from "../registry/registry.js";
import type { Version } from "../registry/version.js";
import type { Home } from "./home.js";

export interface SearchRequest {
  /** A text that a path holds, or a pattern with `*`, `?`, `[...]` that it matches as a whole. */
  readonly pattern: string;
  /** An artifact, or a version; null: everything. */
  readonly ref: string | null;
  /** Every version, not only what `latest` names. */
  readonly allVersions: boolean;
}

export interface FoundFile {
  /** `[entity/][project/]name:vN` */
  readonly ref: string;
  readonly path: string;
  readonly sizeBytes: number | null;
  readonly assurance: Assurance;
}

/**
 * The files that match, version by version, in path order. To be read to its end or left.
 * @throws Fault `not-found`, `usage`.
 */
export function* searchPaths(home: Home, request: SearchRequest): IterableIterator<FoundFile> {
  if (request.pattern === "") throw new Fault("usage", "Name what to search for");
  const pattern = /[*?[]/.test(request.pattern) ? request.pattern : `*${request.pattern}*`;
  for (const { ref, manifestDigest } of versionsOf(home, request)) {
    using manifest = Manifest.open(home.manifestsDir, manifestDigest);
    for (const { path, sizeBytes, assurance } of manifest.matching(pattern)) {
      yield { ref, path, sizeBytes, assurance };
    }
  }
}

function versionsOf(home: Home, { ref, allVersions }: SearchRequest): readonly Version[] {
  using registry = Registry.open(home);
  if (ref?.includes(":") === true) return [registry.resolve(ref)];
  if (ref !== null && !allVersions) return [registry.resolve(ref)];
  const bases = ref === null ? registry.collections().map(({ base }) => base) : [ref];
  return allVersions
    ? bases.flatMap((base) => registry.versions(parseRef(base)))
    : bases.map((base) => registry.resolve(base));
}
