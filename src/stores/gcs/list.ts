// Lists what a uri of Google Cloud Storage names: one object, one generation, a prefix or a bucket. What
// stands beside a prefix (`mnist2/`, `mnist.txt`) is never part of it, and folder markers are no
// objects. Folders of a hierarchical namespace never come: they are no objects in a flat listing.

import { Fault } from "../../model/fault.js";
import { NO_PIN } from "../../model/pin.js";
import { baseName, nothingFound, tooMany } from "../listing.js";
import type { Listed, ListOptions, StatOptions } from "../store.js";
import { listedClaims } from "./answer.js";
import type { GcsConnection } from "./connection.js";
import { Refused, refusalFault } from "./failure.js";
import type { Page, Row } from "./pages.js";
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

/** A row and its name relative to the source. */
interface Found {
  readonly row: Row;
  readonly key: string;
  /** The source is this one object. */
  readonly single: boolean;
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

async function* findRows(listing: Listing): AsyncGenerator<Found> {
  const { name } = listing;
  if (name.generation !== undefined) {
    yield await oneObject(listing);
  } else if (name.key === "" || name.key.endsWith("/")) {
    yield* below(listing, name.key);
  } else {
    yield* objectOrPrefix(listing);
  }
}

/** A server that does not know generations must not pass for one that does. */
async function oneObject({ connection, name, subject, options }: Listing): Promise<Found> {
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

/** An object of exactly this name wins; else everything below it. */
async function* objectOrPrefix(listing: Listing): AsyncGenerator<Found> {
  const { key } = listing.name;
  const page = await firstPage(listing, key);
  const exact = page.rows.find((row) => row.key === key);
  if (exact !== undefined) {
    yield { row: exact, key: baseName(key), single: true };
    return;
  }
  const prefix = `${key}/`;
  if (page.more) {
    // Names beside the prefix (`key-2`, `key.txt`) may fill any number of pages: ask anew.
    yield* below(listing, prefix);
    return;
  }
  yield* relative(
    page.rows.filter((row) => row.key.startsWith(prefix)),
    prefix,
  );
}

/** The store may send empty pages before the last. */
async function firstPage(listing: Listing, prefix: string): Promise<Page> {
  const { connection, name, options } = listing;
  for await (const page of pagesOf(connection, name.bucket, prefix, options)) {
    if (page.rows.length > 0) return page;
  }
  return { rows: [], more: false };
}

async function* below(listing: Listing, prefix: string): AsyncGenerator<Found> {
  const { connection, name, options } = listing;
  for await (const page of pagesOf(connection, name.bucket, prefix, options)) {
    yield* relative(page.rows, prefix);
    options.onProgress?.(listing.found);
  }
}

function* relative(rows: readonly Row[], prefix: string): Generator<Found> {
  for (const row of rows) {
    if (row.key.endsWith("/") && row.sizeBytes === 0) continue;
    yield { row, key: row.key.slice(prefix.length), single: false };
  }
}

function toListed(listing: Listing, { row, key, single }: Found): Listed {
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
