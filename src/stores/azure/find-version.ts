// Looks for an older version, or a snapshot, of one blob by its ETag.

import type { Pin } from "../../model/pin.js";
import type { AzureConnection } from "./connection.js";
import { Refused } from "./failure.js";
import type { Row } from "./pages.js";
import { versionPages } from "./pages.js";
import type { AzureName } from "./uri.js";

/** What pins the newest version or snapshot of exactly this blob with this ETag; null without one. */
export async function findVersion(
  connection: AzureConnection,
  name: AzureName,
  etag: string,
  signal: AbortSignal,
): Promise<Pick<Pin, "versionId" | "snapshot"> | null> {
  let found: Row | undefined;
  try {
    for await (const rows of versionPages(connection, name, name.blob, { signal })) {
      for (const row of rows) {
        // Those of one blob stand together, before longer names with the same beginning.
        if (row.name !== name.blob) return pinOf(found);
        const kept = row.versionId !== undefined || row.snapshot !== undefined;
        if (row.etag === etag && kept) found = row;
      }
    }
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
  }
  return pinOf(found);
}

function pinOf(row: Row | undefined): Pick<Pin, "versionId" | "snapshot"> | null {
  if (row?.versionId !== undefined) return { versionId: row.versionId };
  return row?.snapshot === undefined ? null : { snapshot: row.snapshot };
}
