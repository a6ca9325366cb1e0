// Listings as pages of rows, and the metadata of single objects: one request each, sent and read by the
// SDK. It chooses nothing and keeps nothing.

import type { Storage } from "@google-cloud/storage";
import { patience, stuck, type Watch } from "../listing.js";
import { retry } from "../retry.js";
import type { GcsConnection } from "./connection.js";
import { strange } from "./failure.js";
import type { GcsName } from "./uri.js";
import { describe, formatGcsUri } from "./uri.js";

const PAGE_ROWS = 1_000;
/** All that is asked of an object's metadata. */
const FIELDS = "name,size,generation,etag,md5Hash,crc32c,timeCreated";

/** One generation of an object. */
export interface Row {
  readonly key: string;
  readonly sizeBytes: number;
  readonly generation: string;
  /** The JSON API's, as W&B records it. It changes with the metadata, too. */
  readonly etag: string;
  /** Hashes in base64. Composed objects have no MD5, those with a customer's own key neither. */
  readonly md5Hash: string | undefined;
  readonly crc32c: string | undefined;
  /** When this generation was written; null when that is no time. */
  readonly createdMs: number | null;
}

export interface Page {
  readonly rows: readonly Row[];
  readonly more: boolean;
}

/** The live objects whose names begin with `prefix`, in the order of their names. @throws Refused. */
export async function* pagesOf(
  connection: GcsConnection,
  bucket: string,
  prefix: string,
  watch: Watch,
): AsyncGenerator<Page> {
  const subject = formatGcsUri(bucket, prefix);
  const storage = await open(connection, bucket, subject, watch.signal);
  let pageToken: string | undefined;
  for (;;) {
    const ask = async (): Promise<{ readonly page: Page; readonly next: string | undefined }> => {
      const [, , answer] = await storage.bucket(bucket).getFiles({
        autoPaginate: false,
        maxResults: PAGE_ROWS,
        prefix,
        fields: `items(${FIELDS}),nextPageToken`,
        ...(pageToken === undefined ? {} : { pageToken }),
      });
      return readPage(answer, subject);
    };
    const { page, next } = await retry(ask, patience(connection.retryTimeoutMs, watch));
    yield page;
    if (next === undefined) return;
    if (next === pageToken) throw stuck(subject);
    pageToken = next;
  }
}

/** The object, or the generation of it, that `name` names. @throws Refused when there is none. */
export async function rowOf(connection: GcsConnection, name: GcsName, watch: Watch): Promise<Row> {
  const subject = describe(name);
  const storage = await open(connection, name.bucket, subject, watch.signal);
  const { generation } = name;
  const file = storage
    .bucket(name.bucket)
    .file(name.key, generation === undefined ? {} : { generation });
  const ask = async (): Promise<Row> => {
    const [metadata] = await file.getMetadata({ fields: FIELDS } as object);
    return readRow(metadata, subject);
  };
  return retry(ask, patience(connection.retryTimeoutMs, watch));
}

/** The SDK is large: it is loaded by whoever lists, never for reading bytes. */
async function open(
  connection: GcsConnection,
  bucket: string,
  subject: string,
  signal: AbortSignal,
): Promise<Storage> {
  const { sdkFor } = await import("./client.js");
  return sdkFor(connection, bucket, subject, signal);
}

type Json = Readonly<Record<string, unknown>>;

function readPage(
  answer: unknown,
  subject: string,
): { readonly page: Page; readonly next: string | undefined } {
  const { items = [], nextPageToken } = answer as Json & { readonly items?: readonly unknown[] };
  const next =
    typeof nextPageToken === "string" && nextPageToken !== "" ? nextPageToken : undefined;
  const rows = items.map((item) => readRow(item, subject));
  return { page: { rows, more: next !== undefined }, next };
}

/** @throws Fault `unavailable` for anything but an object's metadata. */
function readRow(item: unknown, subject: string): Row {
  if (typeof item !== "object" || item === null) throw strange(subject);
  const metadata = item as Json;
  const key = textIn(metadata, "name");
  const size = textIn(metadata, "size");
  const generation = textIn(metadata, "generation");
  if (key === undefined || !/^\d{1,15}$/.test(size ?? "") || !/^\d+$/.test(generation ?? "")) {
    throw strange(subject);
  }
  const createdMs = Date.parse(textIn(metadata, "timeCreated") ?? "");
  return {
    key,
    sizeBytes: Number(size),
    generation: generation ?? "",
    etag: textIn(metadata, "etag") ?? "",
    md5Hash: textIn(metadata, "md5Hash"),
    crc32c: textIn(metadata, "crc32c"),
    createdMs: Number.isNaN(createdMs) ? null : createdMs,
  };
}

/** 64-bit numbers come as text; an emulator may send them as numbers. */
function textIn(metadata: Json, name: string): string | undefined {
  const value = metadata[name];
  return typeof value === "number" && Number.isSafeInteger(value)
    ? String(value)
    : typeof value === "string"
      ? value
      : undefined;
}
