// Asks for the properties of one blob, version or snapshot.

import type { IncomingHttpHeaders } from "node:http";
import { Fault } from "../../model/fault.js";
import { patience, type Watch } from "../listing.js";
import { readLength, readModified, unquote } from "../object-answer.js";
import { retry } from "../retry.js";
import { readMd5 } from "./answer.js";
import type { AzureConnection } from "./connection.js";
import type { Row } from "./pages.js";
import type { AzureName } from "./uri.js";
import { formatAzureUri } from "./uri.js";

/** @throws Refused when there is no such blob, version or snapshot. */
export async function readProperties(
  connection: AzureConnection,
  name: AzureName,
  watch: Watch,
): Promise<Row> {
  const { blob, versionId, snapshot } = name;
  const transfer = await retry(
    () =>
      connection.request(
        name,
        { method: "HEAD", blob, query: versionQuery({ versionId, snapshot }), headers: {} },
        watch.signal,
      ),
    patience(connection.retryTimeoutMs, watch),
  );
  transfer.close();
  const row = rowOf(name, transfer.headers);
  // A server that does not know versions answers with whatever it has.
  if (versionId !== undefined && row.versionId !== versionId) {
    const subject = formatAzureUri(name, blob);
    throw new Fault(
      "not-found",
      `${subject}: asked for version ${versionId}, the store answered with ${row.versionId ?? "none"}`,
      { subject },
    );
  }
  return row;
}

/** The parameters that choose a version or a snapshot. */
export function versionQuery({
  versionId,
  snapshot,
}: {
  readonly versionId?: string | undefined;
  readonly snapshot?: string | undefined;
}): Record<string, string> {
  return {
    ...(snapshot === undefined ? {} : { snapshot }),
    ...(versionId === undefined ? {} : { versionid: versionId }),
  };
}

function rowOf({ blob, snapshot }: AzureName, headers: IncomingHttpHeaders): Row {
  const version = headers["x-ms-version-id"];
  const folder = headers["x-ms-meta-hdi_isfolder"];
  const sizeBytes = readLength(headers) ?? 0;
  return {
    name: blob,
    sizeBytes,
    etag: unquote(headers.etag ?? ""),
    md5: readMd5(headers),
    versionId: typeof version === "string" ? version : undefined,
    snapshot,
    mtimeMs: readModified(headers),
    isStub:
      sizeBytes === 0 && (blob.endsWith("/") || String(folder ?? "").toLowerCase() === "true"),
  };
}
