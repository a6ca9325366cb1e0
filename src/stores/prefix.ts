// What a key without a version names in a store whose listing is flat: the object of exactly that name,
// else everything below it. What stands beside a prefix (`mnist2/`, `mnist.txt`) is never part of it,
// and folder markers are no objects.

import { baseName } from "./listing.js";

/** What is looked at of a row. */
interface Named {
  readonly key: string;
  readonly sizeBytes: number;
}

/** A row and its name relative to the source. */
export interface Found<Row> {
  readonly row: Row;
  readonly key: string;
  /** The source is this one object. */
  readonly single: boolean;
}

export interface RowPage<Row> {
  readonly rows: readonly Row[];
  /** False for the last one. */
  readonly more: boolean;
}

/** A flat listing of one bucket. */
export interface FlatListing<Row> {
  /** What is current and begins with `prefix`, keys in byte order. A page may hold nothing current. */
  pagesOf(prefix: string): AsyncIterable<RowPage<Row>>;
  /** After each page below a prefix. */
  onPage(): void;
  /** True for a row that only makes a folder visible; `page` is the one that holds it. */
  isMarker?(row: Row, page: RowPage<Row>): Promise<boolean>;
}

export async function* findNamed<Row extends Named>(
  listing: FlatListing<Row>,
  key: string,
): AsyncGenerator<Found<Row>> {
  if (key === "" || key.endsWith("/")) yield* below(listing, key);
  else yield* objectOrPrefix(listing, key);
}

/** The first page that is not empty, if there is one. */
export async function firstPage<Row>(
  listing: FlatListing<Row>,
  prefix: string,
): Promise<RowPage<Row>> {
  for await (const page of listing.pagesOf(prefix)) {
    if (page.rows.length > 0) return page;
  }
  return { rows: [], more: false };
}

/** An object of exactly this name wins; else everything below it. */
async function* objectOrPrefix<Row extends Named>(
  listing: FlatListing<Row>,
  key: string,
): AsyncGenerator<Found<Row>> {
  const page = await firstPage(listing, key);
  const exact = page.rows.find((row) => row.key === key);
  if (exact !== undefined && (await listing.isMarker?.(exact, page)) !== true) {
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

async function* below<Row extends Named>(
  listing: FlatListing<Row>,
  prefix: string,
): AsyncGenerator<Found<Row>> {
  for await (const page of listing.pagesOf(prefix)) {
    yield* relative(page.rows, prefix);
    listing.onPage();
  }
}

function* relative<Row extends Named>(rows: readonly Row[], prefix: string): Generator<Found<Row>> {
  for (const row of rows) {
    if (row.key.endsWith("/") && row.sizeBytes === 0) continue;
    yield { row, key: row.key.slice(prefix.length), single: false };
  }
}
