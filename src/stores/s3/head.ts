// Asks for the version, size and ETag of single objects.

import type { IncomingHttpHeaders } from "node:http";
import { retry } from "../retry.js";
import { readLength, readModified, unquote } from "../object-answer.js";
import { isKeyed } from "./answer.js";
import type { S3Connection } from "./connection.js";
import { Refused } from "./connection.js";
import type { Row } from "./pages.js";

/** HEAD requests in flight at once. */
const MAX_HEADS = 32;

export interface Head {
  readonly row: Row;
  readonly contentType: string;
}

/** @throws Refused when there is no such object or version. */
export async function headObject(
  connection: S3Connection,
  name: { readonly bucket: string; readonly key: string; readonly versionId: string | undefined },
  signal: AbortSignal,
): Promise<Head> {
  const transfer = await retry(
    () => connection.request({ method: "HEAD", ...name, headers: {} }, signal),
    { timeoutMs: connection.retryTimeoutMs, signal },
  );
  transfer.close();
  const { headers } = transfer;
  return { row: rowOf(name.key, headers), contentType: headers["content-type"] ?? "" };
}

/** The rows again with their versions, in the same order, without those deleted meanwhile. */
export async function headRows(
  connection: S3Connection,
  bucket: string,
  rows: readonly Row[],
  signal: AbortSignal,
): Promise<readonly Row[]> {
  const results = new Array<Row | null>(rows.length).fill(null);
  const waiting = rows.entries();
  // The first failure ends all the others, too.
  const stop = new AbortController();
  const any = AbortSignal.any([signal, stop.signal]);
  const work = async (): Promise<void> => {
    for (const [index, row] of waiting) {
      results[index] = await headRow(connection, bucket, row, any);
    }
  };
  try {
    await Promise.all(Array.from({ length: Math.min(MAX_HEADS, rows.length) }, work));
  } finally {
    stop.abort();
  }
  return results.filter((row) => row !== null);
}

async function headRow(
  connection: S3Connection,
  bucket: string,
  row: Row,
  signal: AbortSignal,
): Promise<Row | null> {
  try {
    const { row: now } = await headObject(
      connection,
      { bucket, key: row.key, versionId: undefined },
      signal,
    );
    const { checksumAlgorithms, checksumType } = row;
    return now.etag === row.etag ? { ...now, checksumAlgorithms, checksumType } : now;
  } catch (error) {
    if (error instanceof Refused && (error.refusal.status === 404 || error.refusal.deleteMarker)) {
      return null;
    }
    throw error;
  }
}

function rowOf(key: string, headers: IncomingHttpHeaders): Row {
  const version = headers["x-amz-version-id"];
  return {
    key,
    sizeBytes: readLength(headers) ?? 0,
    etag: unquote(headers.etag ?? ""),
    versionId: typeof version === "string" ? version : undefined,
    isLatest: true,
    mtimeMs: readModified(headers),
    checksumAlgorithms: [],
    checksumType: undefined,
    keyed: isKeyed(headers),
  };
}
