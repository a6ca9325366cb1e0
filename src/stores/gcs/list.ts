// Lists what a uri of Google Cloud Storage names: one object, one generation, a prefix or a bucket.
// Folders of a hierarchical namespace never come: they are no objects in a flat listing.

import { Fault } from "../../model/fault.js";
import { NO_PIN } from "../../model/pin.js";
import { baseName, nothingFound, tooMany } from "../listing.js";
import { findNamed, type FlatListing, type Found } from "../prefix.js";
import type { Listed, ListOptions, StatOptions } from "../store.js";
import { listedClaims } from "./answer.js";
import type { GcsConnection } from "./connection.js";
import { Refused, refusalFault } from "./failure.js";
import type { Row } from "./pages.js";
import { pagesOf, rowOf } from "./pages.js";
import type { GcsName } from "./uri.js";
import { describe, formatGcsUri, parseGcsUri } from "./uri.js";

interface Listing {
  readonly connection: GcsConnection;
  readonly name: GcsName;
  readonly subject: string;
  readonly options: ListOptions;
  found: number;
}

export async function* listObjects(
  connection: GcsConnection,
  uri: string,
  options: ListOptions,
): AsyncGenerator<Listed> {
  const listing = begin(connection, uri, options);
  try {
    for await (const found of findRows(listing)) yield toListed(listing, found);
  } catch (error) {
    throw translate(listing, error);
  }
  options.onProgress?.(listing.found);
  if (listing.found === 0) throw nothingFound(listing.subject);
}

/** The object or generation that `uri` names, by one request. @throws as `Store.stat` says. */
export async function statObject(
  connection: GcsConnection,
  uri: string,
  options: StatOptions,
): Promise<Listed> {
  const listing = begin(connection, uri, { ...options, maxObjects: 1 });
  const { name, subject } = listing;
  if (name.key === "") {
    throw new Fault("usage", `${subject} names a bucket, not an object`, { subject });
  }
  try {
    return toListed(listing, await oneObject(listing));
  } catch (error) {
    throw translate(listing, error);
  }
}

function begin(connection: GcsConnection, uri: string, options: ListOptions): Listing {
  const name = parseGcsUri(uri);
  const subject = describe(name);
  if (!options.checksum && (options.pinVersion || name.generation !== undefined)) {
    throw new Fault(
      "usage",
      `${subject}: --no-checksum pins nothing, so no generation can be asked for`,
    );
  }
  return { connection, name, subject, options, found: 0 };
}

function translate({ name, subject }: Listing, error: unknown): unknown {
  if (!(error instanceof Refused)) return error;
  const objectMissing =
    error.refusal.status === 404 && !/bucket does not exist/i.test(error.refusal.message);
  if (objectMissing && name.generation !== undefined) {
    return new Fault("not-found", `Object does not exist: ${subject}`, { subject, cause: error });
  }
  return refusalFault(error, {
    subject,
    what: "Cannot list",
    missing: "not-found",
    missingText: "there is no such object",
    permission: "storage.objects.list and storage.objects.get",
  });
}

async function* findRows(listing: Listing): AsyncGenerator<Found<Row>> {
  const { connection, name, options } = listing;
  if (name.generation !== undefined) {
    yield await oneObject(listing);
  } else {
    const flat: FlatListing<Row> = {
      pagesOf: (prefix) => pagesOf(connection, name.bucket, prefix, options),
      onPage: () => options.onProgress?.(listing.found),
    };
    yield* findNamed(flat, name.key);
  }
}

/** A server that does not know generations must not pass for one that does. */
async function oneObject({ connection, name, subject, options }: Listing): Promise<Found<Row>> {
  const row = await rowOf(connection, name, options);
  if (name.generation !== undefined && row.generation !== name.generation) {
    throw new Fault(
      "usage",
      `${subject}: the store answered with generation ${row.generation}; it does not know generations`,
      { subject },
    );
  }
  return { row, key: baseName(name.key), single: true };
}

function toListed(listing: Listing, { row, key, single }: Found<Row>): Listed {
  const { options, subject, name } = listing;
  listing.found += 1;
  if (listing.found > options.maxObjects) throw tooMany(subject, options.maxObjects);
  const uri = formatGcsUri(name.bucket, row.key);
  const common = { key, single, sizeBytes: row.sizeBytes, uri, mtimeMs: row.createdMs };
  if (!options.checksum) return { ...common, entryDigest: uri, pin: NO_PIN, claims: [] };
  return {
    ...common,
    entryDigest: row.etag === "" ? uri : row.etag,
    // Nothing but the generation: the ETag changes with the metadata, which is no drift.
    pin: { generation: row.generation },
    claims: listedClaims(row.md5Hash, row.crc32c),
  };
}
