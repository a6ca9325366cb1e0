// What is logged, for whoever shows it: collections, versions, directories of a version, one file.
// Reads registry and manifests only; asks no store and no daemon.

import { assuranceOf, type Assurance } from "../model/assurance.js";
import type { Entry } from "../model/entry.js";
import { Fault } from "../model/fault.js";
import { parseRef } from "../model/ref.js";
import { Manifest, type ManifestNode } from "../registry/manifest.js";
import { Registry } from "../registry/registry.js";
import type { Collection, Version } from "../registry/version.js";
import { ANY_VERSION, matches, type VersionFilter } from "../registry/version-filter.js";
import type { Home } from "./home.js";

export type { Collection, Version } from "../registry/version.js";
export { ANY_VERSION, type VersionFilter } from "../registry/version-filter.js";

/** One line of a directory listing. */
export interface ListedNode {
  readonly name: string;
  readonly kind: "directory" | "file";
  /** Null for a directory, and for a file whose store did not say. */
  readonly sizeBytes: number | null;
  /** Null for a directory. */
  readonly assurance: Assurance | null;
}

/**
 * Every collection, by name.
 * @param type only those of this type; null: any.
 */
export function listCollections(home: Home, type: string | null = null): readonly Collection[] {
  using registry = Registry.open(home);
  return registry.collections().filter((found) => type === null || found.type === type);
}

/** The versions of all collections that pass `filter`, by name, oldest first. */
export function findVersions(home: Home, filter: VersionFilter): readonly Version[] {
  using registry = Registry.open(home);
  return registry
    .collections()
    .filter(({ type }) => filter.type === null || type === filter.type)
    .flatMap((collection) => registry.versions(collection))
    .filter((version) => matches(version, filter));
}

/**
 * The versions of a collection, oldest first.
 * @throws Fault `not-found`, `usage`.
 */
export function listVersions(
  home: Home,
  name: string,
  filter: VersionFilter = ANY_VERSION,
): readonly Version[] {
  using registry = Registry.open(home);
  return registry.versions(parseRef(name)).filter((version) => matches(version, filter));
}

/** @throws Fault `not-found`, `usage`. */
export function findVersion(home: Home, ref: string, type?: string): Version {
  using registry = Registry.open(home);
  return registry.resolve(ref, { type });
}

/**
 * The children of the directory `path` of a version, in the byte order of their names; a file lists
 * itself. To be read to its end or left: it holds the manifest open.
 * @param path may begin or end with "/"; "" is the root.
 * @throws Fault `not-found`
 */
export function* listDirectory(
  home: Home,
  version: Version,
  path: string,
): IterableIterator<ListedNode> {
  using manifest = Manifest.open(home.manifestsDir, version.manifestDigest);
  for (const node of manifest.list(trimmed(path))) yield listedNode(node);
}

/**
 * The entry of one file of a version.
 * @throws Fault `not-found`; `usage` for a directory.
 */
export function findEntry(
  home: Home,
  version: Version,
  path: string,
): Entry & { readonly assurance: Assurance } {
  using manifest = Manifest.open(home.manifestsDir, version.manifestDigest);
  const node = manifest.find(trimmed(path));
  if (node === null) {
    throw new Fault("not-found", `There is no "${path}" in ${version.ref}`, { subject: path });
  }
  if (node.kind === "directory") {
    throw new Fault("usage", `"${path}" is a directory of ${version.ref}: list it with ls`);
  }
  const entry = manifest.entry(node.id);
  return { ...entry, assurance: assuranceOf(entry) };
}

/** Every entry of a version in path order. To be read to its end or left. */
export function* listEntries(home: Home, version: Version): IterableIterator<Entry> {
  using manifest = Manifest.open(home.manifestsDir, version.manifestDigest);
  yield* manifest.entries();
}

function listedNode(node: ManifestNode): ListedNode {
  const name = node.path.slice(node.path.lastIndexOf("/") + 1);
  return node.kind === "file"
    ? { name, kind: "file", sizeBytes: node.sizeBytes, assurance: node.assurance }
    : { name, kind: "directory", sizeBytes: null, assurance: null };
}

function trimmed(path: string): string {
  return path.replace(/^\/+|\/+$/g, "");
}
