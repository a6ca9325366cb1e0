// Lists what an S3 uri names: one object, one version, a prefix or a bucket.

import { Fault } from "../../model/fault.js";
import { NO_PIN } from "../../model/pin.js";
import { baseName, nothingFound, tooMany } from "../listing.js";
import { findNamed, firstPage, type FlatListing, type Found, type RowPage } from "../prefix.js";
import type { Listed, ListOptions, StatOptions } from "../store.js";
import type { S3Name } from "../uri.js";
import { formatS3Uri, parseS3Uri } from "../uri.js";
import type { S3Connection } from "./connection.js";
import { Refused } from "./connection.js";
import type { Way } from "./current.js";
import { listCurrent, startWay } from "./current.js";
import { refusalFault } from "./failure.js";
import { headObject, headWithChecksums } from "./head.js";
import type { Row } from "./pages.js";

interface Listing {
  readonly connection: S3Connection;
  readonly name: S3Name;
  readonly subject: string;
  readonly options: ListOptions;
  readonly way: Way;
  found: number;
  /** Rows whose version is S3's reusable "null". */
  unversioned: number;
}

export async function* listObjects(
  connection: S3Connection,
  uri: string,
  options: ListOptions,
): AsyncGenerator<Listed> {
  const listing = begin(connection, uri, options);
  try {
    for await (const found of findRows(listing)) yield toListed(listing, found);
  } catch (error) {
    throw translate(listing, error);
  }
  finish(listing);
}

/** The object or version that `uri` names, by one HEAD. @throws as `Store.stat` says. */
export async function statObject(
  connection: S3Connection,
  uri: string,
  options: StatOptions,
): Promise<Listed> {
  const listing = begin(connection, uri, { ...options, maxObjects: 1 });
  const { name, subject } = listing;
  if (name.key === "") {
    throw new Fault("usage", `${subject} names a bucket, not an object`, { subject });
  }
  try {
    const row =
      name.versionId === undefined
        ? await headWithChecksums(connection, name, options.signal)
        : await oneVersion(listing);
    return toListed(listing, { row, key: baseName(name.key), single: true });
  } catch (error) {
    throw translate(listing, error);
  }
}

function begin(connection: S3Connection, uri: string, options: ListOptions): Listing {
  const name = parseS3Uri(uri);
  const subject = formatS3Uri(name.bucket, name.key);
  refuseContradictions(name, subject, options);
  return { connection, name, subject, options, way: startWay(options), found: 0, unversioned: 0 };
}

function translate({ connection, name, subject }: Listing, error: unknown): unknown {
  if (!(error instanceof Refused)) return error;
  return refusalFault(error.refusal, {
    subject: name.versionId === undefined ? subject : `${subject} (version ${name.versionId})`,
    what: "Cannot list",
    missing: "not-found",
    region: connection.regionOf(name.bucket),
    asker: error.asker,
  });
}

function refuseContradictions(name: S3Name, subject: string, options: ListOptions): void {
  if (name.versionId !== undefined && (name.key === "" || name.key.endsWith("/"))) {
    throw new Fault("usage", `${subject}: a versionId belongs to one object, not to a prefix`);
  }
  if (options.checksum) return;
  if (options.pinVersion || name.versionId !== undefined) {
    throw new Fault(
      "usage",
      `${subject}: --no-checksum pins nothing, so no version can be asked for`,
    );
  }
}

async function* findRows(listing: Listing): AsyncGenerator<Found<Row>> {
  const { name } = listing;
  if (name.versionId !== undefined) {
    yield { row: await oneVersion(listing), key: baseName(name.key), single: true };
  } else {
    yield* findNamed(flat(listing), name.key);
  }
}

/** The version that the uri names; a server that does not know versions must not pass for it. */
async function oneVersion({ connection, name, subject, options }: Listing): Promise<Row> {
  const row = await headWithChecksums(connection, name, options.signal);
  if (row.versionId !== name.versionId) {
    throw new Fault(
      "usage",
      `${subject}: asked for version ${name.versionId ?? ""}, the store answered with ${row.versionId ?? "none"}`,
      { subject },
    );
  }
  return row;
}

function flat(listing: Listing): FlatListing<Row> {
  const { connection, name, way, options } = listing;
  return {
    pagesOf: (prefix) => listCurrent(connection, { bucket: name.bucket, prefix }, way, options),
    onPage: () => options.onProgress?.(listing.found),
    isMarker: (row, page) => isDirectoryMarker(listing, row, page),
  };
}

/** Tools make folders visible by empty objects; only one without the "/" needs a closer look. */
async function isDirectoryMarker(listing: Listing, row: Row, page: RowPage<Row>): Promise<boolean> {
  if (row.sizeBytes !== 0) return false;
  const prefix = `${row.key}/`;
  const hasChildren =
    page.rows.some((other) => other.key.startsWith(prefix)) ||
    (page.more && (await firstPage(flat(listing), prefix)).rows.length > 0);
  if (!hasChildren) return false;
  const { connection, name, options } = listing;
  const { contentType } = await headObject(connection, name, options.signal);
  return contentType.includes("x-directory");
}

function toListed(listing: Listing, { row, key, single }: Found<Row>): Listed {
  const { options, subject } = listing;
  listing.found += 1;
  if (listing.found > options.maxObjects) {
    throw tooMany(subject, options.maxObjects);
  }
  const uri = formatS3Uri(listing.name.bucket, row.key);
  const common = { key, single, sizeBytes: row.sizeBytes, uri, mtimeMs: row.mtimeMs };
  if (!options.checksum) return { ...common, entryDigest: uri, pin: NO_PIN, claims: [] };
  if (row.versionId === "null" || row.versionId === undefined) {
    listing.unversioned += 1;
    if (options.pinVersion) {
      throw new Fault(
        "usage",
        `--pin version: ${uri} has no version id; re-upload it, or pin by ETag`,
        {
          subject: uri,
        },
      );
    }
  }
  return {
    ...common,
    entryDigest: row.etag === "" ? uri : row.etag,
    pin: {
      ...(row.versionId === undefined ? {} : { versionId: row.versionId }),
      ...(row.etag === "" ? {} : { etag: row.etag }),
    },
    claims: row.claims,
  };
}

function finish({ found, unversioned, subject, options, way }: Listing): void {
  options.onProgress?.(found);
  if (found === 0) {
    throw nothingFound(subject);
  }
  if (options.checksum && way.mode !== "objects" && unversioned > 0) {
    options.onNotice(
      `${subject}: ${unversioned} of ${found} objects have no version id; they are pinned by ETag: ` +
        "one that is overwritten can then no longer be read",
    );
  }
}
