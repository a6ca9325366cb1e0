// S3's two listings as pages of rows: every version, or what is current. One request per page; the
// SDK sends and parses, this decodes. It chooses nothing.

import type {
  ListObjectVersionsCommandOutput,
  ListObjectsV2CommandOutput,
} from "@aws-sdk/client-s3";
import { ListObjectsV2Command, ListObjectVersionsCommand } from "@aws-sdk/client-s3";
import type { Claim } from "../../model/digest.js";
import { Fault } from "../../model/fault.js";
import { comparePaths } from "../../model/path.js";
import { patience, stuck, type Watch } from "../listing.js";
import { retry } from "../retry.js";
import { unquote } from "../object-answer.js";
import { listedClaims } from "./answer.js";
import type { S3Connection } from "./connection.js";
import { takeRows, type RawRow, type RowElement } from "./list-rows.js";

/** One version of an object. */
export interface Row {
  readonly key: string;
  readonly sizeBytes: number;
  /** Without quotes; "" when the store has none. */
  readonly etag: string;
  /** Undefined in a listing without versions. */
  readonly versionId: string | undefined;
  readonly isLatest: boolean;
  readonly mtimeMs: number | null;
  readonly claims: readonly Claim[];
}

export interface Page {
  readonly rows: readonly Row[];
  /** Rows of any sort, delete markers included. */
  readonly rowCount: number;
  /** The last key on the page, in byte order; undefined on an empty page. */
  readonly lastKey: string | undefined;
  readonly more: boolean;
}

export interface Place {
  readonly bucket: string;
  readonly prefix: string;
  /** Begins after this key. */
  readonly startAfter?: string | undefined;
}

/** Every version and delete marker, keys in byte order, the newest version of a key first. */
export async function* versionPages(
  connection: S3Connection,
  { bucket, prefix, startAfter }: Place,
  watch: Watch,
): AsyncGenerator<Page> {
  const { signal } = watch;
  let keyMarker = startAfter;
  let versionMarker: string | undefined;
  for (;;) {
    const answer = await retry(
      () =>
        connection.command(
          {
            bucket,
            permission: "s3:ListBucketVersions",
            send: async (client, payer) => {
              const command = new ListObjectVersionsCommand({
                Bucket: bucket,
                Prefix: prefix,
                EncodingType: "url",
                ...payer,
                ...(keyMarker === undefined ? {} : { KeyMarker: keyMarker }),
                ...(versionMarker === undefined ? {} : { VersionIdMarker: versionMarker }),
              });
              const rows: RawRow[] = [];
              takeRows(command, rows);
              return { ...(await client.send(command, { abortSignal: signal })), rows };
            },
          },
          signal,
        ),
      patience(connection.retryTimeoutMs, watch),
    );
    const page = readVersions(answer);
    yield page;
    if (!page.more) return;
    const next =
      answer.NextKeyMarker === undefined ? page.lastKey : decode(answer, answer.NextKeyMarker);
    if (
      next === undefined ||
      (next === keyMarker && answer.NextVersionIdMarker === versionMarker)
    ) {
      throw stuck(`s3://${bucket}/${prefix}`);
    }
    keyMarker = next;
    versionMarker = answer.NextVersionIdMarker;
  }
}

/** The current object of every key, in byte order. */
export async function* currentPages(
  connection: S3Connection,
  { bucket, prefix, startAfter }: Place,
  watch: Watch,
): AsyncGenerator<Page> {
  const { signal } = watch;
  let token: string | undefined;
  for (;;) {
    const answer = await retry(
      () =>
        connection.command(
          {
            bucket,
            permission: "s3:ListBucket",
            send: async (client, payer) => {
              const command = new ListObjectsV2Command({
                Bucket: bucket,
                Prefix: prefix,
                EncodingType: "url",
                ...payer,
                ...(token === undefined ? {} : { ContinuationToken: token }),
                ...(startAfter === undefined ? {} : { StartAfter: startAfter }),
              });
              const rows: RawRow[] = [];
              takeRows(command, rows);
              return { ...(await client.send(command, { abortSignal: signal })), rows };
            },
          },
          signal,
        ),
      patience(connection.retryTimeoutMs, watch),
    );
    const page = readCurrent(answer);
    yield page;
    if (!page.more) return;
    const next = answer.NextContinuationToken;
    if (next === undefined || next === token) throw stuck(`s3://${bucket}/${prefix}`);
    token = next;
  }
}

function readVersions(answer: ListObjectVersionsCommandOutput & WithRows): Page {
  const versions = answer.rows.filter(({ element }) => element === "Version");
  const markers = answer.rows.filter(({ element }) => element === "DeleteMarker");
  for (const version of answer.Versions ?? []) versions.push(rawRow("Version", version));
  for (const marker of answer.DeleteMarkers ?? []) markers.push(rawRow("DeleteMarker", marker));
  const rows = versions.map((version) => rowOf(answer, version));
  const lastMarker = decode(answer, markers.at(-1)?.key);
  const lastRow = rows.at(-1)?.key;
  return {
    rows,
    rowCount: rows.length + markers.length,
    lastKey: laterOf(lastMarker, lastRow),
    more: answer.IsTruncated === true,
  };
}

function readCurrent(answer: ListObjectsV2CommandOutput & WithRows): Page {
  const objects = [...answer.rows];
  for (const object of answer.Contents ?? []) objects.push(rawRow("Contents", object));
  const rows = objects.map((object) => rowOf(answer, { ...object, versionId: undefined }));
  return {
    rows,
    rowCount: rows.length,
    lastKey: rows.at(-1)?.key,
    more: answer.IsTruncated === true,
  };
}

interface WithRows {
  /** What was taken out of the answer; the SDK read the others. */
  readonly rows: readonly RawRow[];
}

/** A row that the SDK read, as one that was taken out. */
function rawRow(
  element: RowElement,
  read: {
    readonly Key?: string | undefined;
    readonly VersionId?: string | undefined;
    readonly IsLatest?: boolean | undefined;
    readonly Size?: number | undefined;
    readonly ETag?: string | undefined;
    readonly LastModified?: Date | undefined;
    readonly ChecksumAlgorithm?: readonly string[] | undefined;
    readonly ChecksumType?: string | undefined;
  },
): RawRow {
  return {
    element,
    key: read.Key ?? "",
    versionId: read.VersionId,
    isLatest: read.IsLatest ?? element === "Contents",
    sizeBytes: read.Size ?? 0,
    etag: read.ETag ?? "",
    mtimeMs: read.LastModified?.getTime() ?? null,
    checksumAlgorithms: [...(read.ChecksumAlgorithm ?? [])],
    checksumType: read.ChecksumType,
  };
}

function rowOf(answer: { readonly EncodingType?: string | undefined }, raw: RawRow): Row {
  const { versionId, isLatest, sizeBytes, mtimeMs } = raw;
  const etag = unquote(raw.etag);
  return {
    key: decode(answer, raw.key) ?? "",
    sizeBytes,
    etag,
    versionId,
    isLatest,
    mtimeMs,
    claims: listedClaims(etag, raw.checksumAlgorithms, raw.checksumType),
  };
}

/** Undoes `EncodingType=url`, where the server did it; a space may come as "+". */
function decode(
  answer: { readonly EncodingType?: string | undefined },
  text: string | undefined,
): string | undefined {
  if (text === undefined || answer.EncodingType !== "url") return text;
  try {
    return decodeURIComponent(text.replaceAll("+", "%20"));
  } catch (cause) {
    throw new Fault("usage", `The listing holds a key that is not valid UTF-8: ${text}`, { cause });
  }
}

function laterOf(a: string | undefined, b: string | undefined): string | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return comparePaths(a, b) > 0 ? a : b;
}
