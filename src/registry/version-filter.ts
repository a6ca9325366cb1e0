// Which versions somebody looks for: by type, tags, metadata, and when they were logged.

import { isDeepStrictEqual } from "node:util";
import type { Version } from "./version.js";

export interface VersionFilter {
  /** Null: any. */
  readonly type: string | null;
  /** A version has to have all of them. */
  readonly tags: readonly string[];
  /** Keys a version has to have, each with one of the values where any are named. */
  readonly metadata: readonly { readonly key: string; readonly anyOf: readonly unknown[] }[];
  /** Logged at this moment or later; milliseconds since 1970. */
  readonly sinceMs: number;
  /** Logged before this moment. */
  readonly beforeMs: number;
}

export const ANY_VERSION: VersionFilter = {
  type: null,
  tags: [],
  metadata: [],
  sinceMs: -Infinity,
  beforeMs: Infinity,
};

export function matches(version: Version, filter: VersionFilter): boolean {
  const { type, tags, metadata, sinceMs, beforeMs } = filter;
  return (
    (type === null || version.type === type) &&
    version.createdMs >= sinceMs &&
    version.createdMs < beforeMs &&
    tags.every((tag) => version.tags.includes(tag)) &&
    metadata.every(({ key, anyOf }) => {
      if (!Object.hasOwn(version.metadata, key)) return false;
      const value = version.metadata[key];
      return anyOf.length === 0 || anyOf.some((wanted) => isDeepStrictEqual(value, wanted));
    })
  );
}
