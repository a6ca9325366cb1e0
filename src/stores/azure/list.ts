// Lists what an Azure uri names: one blob, version or snapshot, everything below a prefix, or a
// container. What stands beside a prefix (`mnist2/`, `mnist.txt`) is never part of it, and blobs that
// only stand for directories are no objects.

import { Fault } from "../../model/fault.js";
import { NO_PIN } from "../../model/pin.js";
import { baseName, tooMany } from "../listing.js";
import type { Found } from "../prefix.js";
import type { Environment, Listed, ListOptions, StatOptions } from "../store.js";
import { md5Claims } from "./answer.js";
import type { AzureConnection } from "./connection.js";
import { refusalFault, Refused } from "./failure.js";
import type { Row } from "./pages.js";
import { currentPages } from "./pages.js";
import { readProperties } from "./properties.js";
import type { AzureName } from "./uri.js";
import { formatAzureUri, parseAzureUri } from "./uri.js";

interface Listing {
  readonly connection: AzureConnection;
  readonly name: AzureName;
  readonly subject: string;
  readonly options: ListOptions;
  found: number;
  /** Blobs without a version id. */
  unversioned: number;
}

export async function* listBlobs(
  connection: AzureConnection,
  environment: Environment,
  uri: string,
  options: ListOptions,
): AsyncGenerator<Listed> {
  const listing = begin(connection, parseAzureUri(uri, environment), options);
  try {
    for await (const found of findRows(listing)) yield toListed(listing, found);
  } catch (error) {
    throw translate(listing, error);
  }
  finish(listing);
}

/** The blob, version or snapshot that `uri` names. @throws as `Store.stat` says. */
export async function statBlob(
  connection: AzureConnection,
  environment: Environment,
  uri: string,
  options: StatOptions,
): Promise<Listed> {
  const name = parseAzureUri(uri, environment);
  const listing = begin(connection, name, { ...options, maxObjects: 1 });
  const { subject } = listing;
  if (name.blob === "") {
    throw new Fault("usage", `${subject} names a container, not a blob`, { subject });
  }
  try {
    const row = await readProperties(connection, name, options);
    if (row.isStub) {
      throw new Fault("not-found", `${subject} is a directory, not a blob`, { subject });
    }
    return toListed(listing, { row, key: baseName(name.blob), single: true });
  } catch (error) {
    throw translate(listing, error);
  }
}

function begin(connection: AzureConnection, name: AzureName, options: ListOptions): Listing {
  const subject = formatAzureUri(name, name.blob);
  const named = name.versionId !== undefined || name.snapshot !== undefined;
  if (named && (name.blob === "" || name.blob.endsWith("/"))) {
    throw new Fault(
      "usage",
      `${subject}: a version or a snapshot belongs to one blob, not to a prefix`,
      { subject },
    );
  }
  if (!options.checksum && (options.pinVersion || named)) {
    throw new Fault(
      "usage",
      `${subject}: --no-checksum pins nothing, so no version can be asked for`,
      { subject },
    );
  }
  return { connection, name, subject, options, found: 0, unversioned: 0 };
}

function translate({ name, subject }: Listing, error: unknown): unknown {
  if (!(error instanceof Refused)) return error;
  return refusalFault(error, {
    subject: withVersion(subject, name),
    what: "Cannot list",
    missing: "not-found",
  });
}

/** How a message names a blob. */
export function withVersion(
  subject: string,
  { versionId, snapshot }: Pick<AzureName, "versionId" | "snapshot">,
): string {
  if (versionId !== undefined) return `${subject} (version ${versionId})`;
  return snapshot === undefined ? subject : `${subject} (snapshot ${snapshot})`;
}

async function* findRows(listing: Listing): AsyncGenerator<Found<Row>> {
  const { connection, name, options } = listing;
  if (name.blob === "" || name.blob.endsWith("/")) {
    yield* below(listing, name.blob);
    return;
  }
  // Asked for by itself first: whoever may only read this one blob may not list.
  const row = await readProperties(connection, name, options).catch((error: unknown) => {
    const missing =
      error instanceof Refused &&
      error.refusal.status === 404 &&
      ["BlobNotFound", ""].includes(error.refusal.code);
    if (missing && name.versionId === undefined && name.snapshot === undefined) return null;
    throw error;
  });
  if (row !== null && !row.isStub) {
    yield { row, key: baseName(name.blob), single: true };
    return;
  }
  yield* below(listing, `${name.blob}/`);
}

async function* below(listing: Listing, prefix: string): AsyncGenerator<Found<Row>> {
  const { connection, name, options } = listing;
  for await (const rows of currentPages(connection, name, prefix, options)) {
    for (const row of rows) {
      if (!row.isStub) yield { row, key: row.name.slice(prefix.length), single: false };
    }
    options.onProgress?.(listing.found);
  }
}

function toListed(listing: Listing, { row, key, single }: Found<Row>): Listed {
  const { options, subject, name } = listing;
  listing.found += 1;
  if (listing.found > options.maxObjects) throw tooMany(subject, options.maxObjects);
  const uri = formatAzureUri(name, row.name);
  const common = { key, single, sizeBytes: row.sizeBytes, uri, mtimeMs: row.mtimeMs };
  if (!options.checksum) return { ...common, entryDigest: uri, pin: NO_PIN, claims: [] };
  if (row.versionId === undefined && row.snapshot === undefined) {
    listing.unversioned += 1;
    if (options.pinVersion) {
      throw new Fault(
        "usage",
        `--pin version: ${uri} has no version id; turn versioning on and write it again, or pin by ETag`,
        { subject: uri },
      );
    }
  }
  return {
    ...common,
    entryDigest: row.etag === "" ? uri : row.etag,
    pin: {
      ...(row.versionId === undefined || row.snapshot !== undefined
        ? {}
        : { versionId: row.versionId }),
      ...(row.snapshot === undefined ? {} : { snapshot: row.snapshot }),
      ...(row.etag === "" ? {} : { etag: row.etag }),
    },
    claims: md5Claims(row.md5),
  };
}

function finish({ found, unversioned, subject, options }: Listing): void {
  options.onProgress?.(found);
  if (found === 0) {
    throw new Fault("not-found", `No blob at ${subject} and none below it: nothing to log`, {
      subject,
    });
  }
  if (unversioned > 0) {
    const which =
      unversioned === found ? "the blobs have" : `${unversioned} of ${found} blobs have`;
    options.onNotice(
      `${subject}: ${which} no version id; they are pinned by ETag: one that is overwritten can then ` +
        "no longer be read",
    );
  }
}
