// What the registry tells of its collections and versions.

import type { Ref } from "../model/ref.js";
import type { Metadata } from "../model/metadata.js";
import type { ManifestSums } from "./manifest-meta.js";

/** Names a collection; entity and project are null for the user's own. */
export type Coordinates = Pick<Ref, "entity" | "project" | "name">;

/** One manifest of a version. */
export interface Revision extends ManifestSums {
  /** From 1; the newest is the one that is mounted. */
  readonly number: number;
  readonly manifestDigest: string;
  /** What was logged, as it was asked for. */
  readonly sources: readonly string[];
  readonly createdMs: number;
}

/** A version, with the sums of its newest revision. */
export interface Version extends Coordinates, ManifestSums {
  /** `[entity/][project/]name:v3` */
  readonly ref: string;
  /** `v3` */
  readonly version: string;
  readonly number: number;
  readonly type: string;
  /** The W&B digest, hex: the same content has the same. */
  readonly digest: string;
  /** Names the manifest of the newest revision. */
  readonly manifestDigest: string;
  readonly description: string | null;
  readonly metadata: Metadata;
  readonly tags: readonly string[];
  /** Without `v3` itself. */
  readonly aliases: readonly string[];
  readonly sources: readonly string[];
  readonly createdMs: number;
  /** Time to live in milliseconds, 0 for ever; "inherit": that of its artifact. */
  readonly ttlMs: number | "inherit";
  /** When its time is over, milliseconds since 1970; null: never. */
  readonly expiresMs: number | null;
  /** Null while it lives. */
  readonly deletedMs: number | null;
  /** Newest first, all of them. */
  readonly revisions: readonly Revision[];
}

export interface Collection extends Coordinates {
  /** `[entity/][project/]name` */
  readonly base: string;
  readonly type: string;
  readonly versionCount: number;
  /** The version with the alias `latest`. */
  readonly latest: Version;
  readonly aliases: readonly { readonly alias: string; readonly version: string }[];
  /** Time to live of its versions in milliseconds; null: for ever. */
  readonly ttlMs: number | null;
  readonly createdMs: number;
}

/** `[entity/][project/]name` */
export function formatBase({ entity, project, name }: Coordinates): string {
  return [entity, project, name].filter((part) => part !== null).join("/");
}
