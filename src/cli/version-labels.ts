// What commands that change labels print of the version as it is now.

import type { Version } from "../daemon/amend.js";

// The keys that scripts rely on, in this order.
export function labelKeys(version: Version): object {
  return {
    ref: version.ref,
    version: version.version,
    aliases: version.aliases,
    tags: version.tags,
    description: version.description,
    metadata: version.metadata,
    ttlMs: version.ttlMs,
    expires: version.expiresMs === null ? null : new Date(version.expiresMs).toISOString(),
    deleted: version.deletedMs === null ? null : new Date(version.deletedMs).toISOString(),
  };
}
