// Looks for an older version of one key by its ETag.

import type { S3Name } from "../uri.js";
import type { S3Connection } from "./connection.js";
import { Refused } from "./connection.js";
import { versionPages } from "./pages.js";

/** The id of the newest version of exactly this key with this ETag, or null. */
export async function findVersion(
  connection: S3Connection,
  { bucket, key }: S3Name,
  etag: string,
  signal: AbortSignal,
): Promise<string | null> {
  try {
    for await (const page of versionPages(connection, { bucket, prefix: key }, { signal })) {
      const found = page.rows.find((row) => row.key === key && row.etag === etag);
      if (found?.versionId !== undefined) return found.versionId;
      // Versions of one key stand together, before longer keys with the same beginning.
      if (page.lastKey !== undefined && page.lastKey !== key) return null;
    }
    return null;
  } catch (error) {
    if (error instanceof Refused) return null;
    throw error;
  }
}
