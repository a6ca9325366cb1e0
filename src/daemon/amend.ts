// What can be changed of logged versions: names, labels, how long they live. Never their content.

import type { Metadata } from "../model/metadata.js";
import { parseRef, type Ref } from "../model/ref.js";
import { Registry } from "../registry/registry.js";
import type { TimeToLive } from "../registry/retention.js";
import type { Version } from "../registry/version.js";
import type { Home } from "./home.js";

export type { TimeToLive } from "../registry/retention.js";
export type { Version } from "../registry/version.js";

/** @throws Fault `not-found`; `usage` for a bad alias. */
export function addAliases(home: Home, ref: string, aliases: readonly string[]): Version {
  using registry = Registry.open(home);
  return registry.addAliases(ref, aliases);
}

/** Takes aliases away from whichever versions of the artifact have them. @throws Fault `not-found` */
export function removeAliases(home: Home, name: string, aliases: readonly string[]): void {
  using registry = Registry.open(home);
  registry.removeAliases(parseRef(name), aliases);
}

/** The aliases of an artifact, those of the newest version first. @throws Fault `not-found` */
export function listAliases(
  home: Home,
  name: string,
): readonly { readonly alias: string; readonly version: string }[] {
  using registry = Registry.open(home);
  return registry
    .versions(parseRef(name))
    .reverse()
    .flatMap(({ aliases, version }) => aliases.map((alias) => ({ alias, version })));
}

/** @throws Fault `not-found`; `usage` for a bad tag. */
export function addTags(home: Home, ref: string, tags: readonly string[]): Version {
  using registry = Registry.open(home);
  return registry.addTags(ref, tags);
}

/** @throws Fault `not-found` */
export function removeTags(home: Home, ref: string, tags: readonly string[]): Version {
  using registry = Registry.open(home);
  return registry.removeTags(ref, tags);
}

/** @param description null takes it away. @throws Fault `not-found` */
export function describeVersion(home: Home, ref: string, description: string | null): Version {
  using registry = Registry.open(home);
  return registry.describe(ref, description);
}

/**
 * Sets and removes keys of a version's metadata, in one step that nobody can come between.
 * @throws Fault `not-found` for the version or a key to remove; `usage` for over 100 keys.
 */
export function changeMetadata(
  home: Home,
  ref: string,
  change: (current: Metadata) => Metadata,
): Version {
  using registry = Registry.open(home);
  return registry.changeMetadata(ref, change);
}

/** @throws Fault `not-found`; `busy` for a version with aliases, unless forced. */
export function deleteVersion(home: Home, ref: string, force: boolean): Version {
  using registry = Registry.open(home);
  return registry.delete(ref, force);
}

/** @throws Fault `not-found`; `usage` when it is not deleted, or its content was logged again. */
export function undeleteVersion(home: Home, ref: string): Version {
  using registry = Registry.open(home);
  return registry.undelete(ref);
}

/** Versions that were deleted and can be brought back, oldest first. @throws Fault `not-found` */
export function listDeleted(home: Home, name: string): readonly Version[] {
  using registry = Registry.open(home);
  return registry.deletedVersions(parseRef(name));
}

/** @throws Fault `not-found` */
export function setVersionTtl(home: Home, ref: string, ttl: TimeToLive): Version {
  using registry = Registry.open(home);
  return registry.setVersionTtl(ref, ttl);
}

/** For the versions of an artifact that say nothing else. @throws Fault `not-found` */
export function setArtifactTtl(home: Home, artifact: Ref, ttl: number | "never"): void {
  using registry = Registry.open(home);
  registry.setTtl(artifact, ttl);
}
