// Asks for the version, size, ETag and checksums of single objects.

import type { IncomingHttpHeaders } from "node:http";
import { retry } from "../retry.js";
import { readLength, readModified, unquote } from "../object-answer.js";
import { CHECKSUM_MODE, etagClaims, isKeyed, readClaims } from "./answer.js";
import type { S3Connection } from "./connection.js";
import { Refused } from "./connection.js";
import type { Row } from "./pages.js";
import type { ObjectRequest } from "./sign.js";

/** HEAD requests in flight at once. */
const MAX_HEADS = 32;

export interface Head {
  readonly row: Row;
  readonly contentType: string;
}

type Name = Pick<ObjectRequest, "bucket" | "key" | "versionId">;

/** @throws Refused when there is no such object or version. */
export async function headObject(
  connection: S3Connection,
  name: Name,
  signal: AbortSignal,
  headers: ObjectRequest["headers"] = {},
): Promise<Head> {
  const transfer = await retry(
    () => connection.request({ method: "HEAD", ...name, headers }, signal),
    { timeoutMs: connection.retryTimeoutMs, signal },
  );
  transfer.close();
  const { headers: answer } = transfer;
  return { row: rowOf(name.key, answer), contentType: answer["content-type"] ?? "" };
}

/** The row of one object with the values of its checksums. @throws Refused as `headObject`. */
export async function headWithChecksums(
  connection: S3Connection,
  name: Name,
  signal: AbortSignal,
): Promise<Row> {
  try {
    return (await headObject(connection, name, signal, CHECKSUM_MODE)).row;
  } catch (error) {
    if (!(error instanceof Refused) || error.refusal.status !== 403) throw error;
    // The checksums of an object that is encrypted with KMS need the right to decrypt it.
    return (await headObject(connection, name, signal)).row;
  }
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
    if (now.etag !== row.etag) return now;
    // The listing names the checksums that there are; of the ETag the HEAD knows more.
    const checksums = row.claims.filter(({ source }) => source === "checksum");
    return { ...now, claims: [...now.claims, ...checksums] };
  } catch (error) {
    if (error instanceof Refused && (error.refusal.status === 404 || error.refusal.deleteMarker)) {
      return null;
    }
    throw error;
  }
}

function rowOf(key: string, headers: IncomingHttpHeaders): Row {
  const version = headers["x-amz-version-id"];
  const etag = unquote(headers.etag ?? "");
  return {
    key,
    sizeBytes: readLength(headers) ?? 0,
    etag,
    versionId: typeof version === "string" ? version : undefined,
    isLatest: true,
    mtimeMs: readModified(headers),
    claims: [...(isKeyed(headers) ? [] : etagClaims(etag)), ...readClaims(headers)],
  };
}
