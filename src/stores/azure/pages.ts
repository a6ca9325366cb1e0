// The listing of a container as pages of rows: what is current, or every version and snapshot. One
// request per page; the SDK asks and parses, this decodes. It chooses nothing.

import type { BlobItem, ContainerListBlobsOptions } from "@azure/storage-blob";
import { Fault } from "../../model/fault.js";
import { patience, type Watch } from "../listing.js";
import { retry } from "../retry.js";
import { unquote } from "../object-answer.js";
import type { AzureConnection } from "./connection.js";
import { Refused } from "./failure.js";
import { listingClient } from "./listing-client.js";
import type { AzurePlace } from "./uri.js";
import { formatAzureUri } from "./uri.js";

/** As many as Azure gives at once. */
const PAGE_ROWS = 5_000;

export interface Row {
  readonly name: string;
  readonly sizeBytes: number;
  /** Without quotes. */
  readonly etag: string;
  /** Lower-case hex; undefined when the blob has none. */
  readonly md5: string | undefined;
  /** Undefined when the account keeps no versions, or did not when the blob was written. */
  readonly versionId: string | undefined;
  readonly snapshot: string | undefined;
  readonly mtimeMs: number | null;
  /** True for an empty blob that only stands for a directory. */
  readonly isStub: boolean;
}

/**
 * The current blobs, names in order. Where the account keeps versions, each row tells its own, although
 * no versions are asked for. Metadata is, since it alone tells the stub of a directory (also on
 * accounts with a hierarchical namespace) from an empty blob.
 */
export function currentPages(
  connection: AzureConnection,
  place: AzurePlace,
  prefix: string,
  watch: Watch,
): AsyncGenerator<readonly Row[]> {
  return pages(connection, place, { prefix, includeMetadata: true }, watch);
}

/** Every version and snapshot of the blobs, those that were deleted included; the oldest first. */
export function versionPages(
  connection: AzureConnection,
  place: AzurePlace,
  prefix: string,
  watch: Watch,
): AsyncGenerator<readonly Row[]> {
  const include = { includeVersions: true, includeSnapshots: true };
  return pages(connection, place, { prefix, ...include }, watch);
}

async function* pages(
  connection: AzureConnection,
  place: AzurePlace,
  options: ContainerListBlobsOptions,
  watch: Watch,
): AsyncGenerator<readonly Row[]> {
  const { signal } = watch;
  const client = listingClient(connection, place, signal);
  const subject = formatAzureUri(place, options.prefix ?? "");
  let marker: string | undefined;
  for (;;) {
    const page = await retry(
      async () => {
        try {
          const paged = client.listBlobsFlat(options).byPage({
            maxPageSize: PAGE_ROWS,
            ...(marker === undefined ? {} : { continuationToken: marker }),
          });
          const { value } = (await paged.next()) as { value: Listing | undefined };
          return value;
        } catch (error) {
          signal.throwIfAborted();
          throw unreadable(error, subject);
        }
      },
      patience(connection.retryTimeoutMs, watch),
    );
    yield (page?.segment.blobItems ?? []).map(rowOf);
    const next = page?.continuationToken;
    if (next === undefined || next === "") return;
    if (next === marker) {
      throw new Fault(
        "unavailable",
        `The listing of ${subject} does not go on: the store repeats a page`,
        { subject },
      );
    }
    marker = next;
  }
}

interface Listing {
  readonly continuationToken?: string;
  readonly segment: { readonly blobItems: readonly BlobItem[] };
}

/**
 * What the SDK itself throws can only mean that it could not read the answer: a RestError for text that
 * is no XML, a TypeError for XML that is no listing.
 */
function unreadable(error: unknown, subject: string): unknown {
  if (error instanceof Fault || error instanceof Refused || !(error instanceof Error)) return error;
  if (error.name !== "RestError" && error.name !== "TypeError") return error;
  return new Fault("unavailable", `Cannot list ${subject}: the answer is not Azure's`, {
    subject,
    cause: error,
  });
}

function rowOf({ name, versionId, snapshot, metadata, properties }: BlobItem): Row {
  const { contentLength = 0, contentMD5, etag, lastModified } = properties;
  return {
    name,
    sizeBytes: contentLength,
    etag: unquote(etag),
    md5: contentMD5?.length === 16 ? Buffer.from(contentMD5).toString("hex") : undefined,
    versionId: versionId === "" ? undefined : versionId,
    snapshot: (snapshot as string | undefined) === "" ? undefined : snapshot,
    mtimeMs: Number.isNaN(lastModified.getTime()) ? null : lastModified.getTime(),
    isStub: contentLength === 0 && (name.endsWith("/") || isFolder(metadata)),
  };
}

/** Tools differ in how they spell it. */
function isFolder(metadata: Readonly<Record<string, string>> | undefined): boolean {
  return Object.entries(metadata ?? {}).some(
    ([name, value]) => name.toLowerCase() === "hdi_isfolder" && value.toLowerCase() === "true",
  );
}
