// Pages of current objects with the best pin that can be had: by listing versions, else by listing
// objects, with a HEAD each where that is what finds their versions. Says so when it is not the first.

import { GetBucketVersioningCommand } from "@aws-sdk/client-s3";
import type { GetBucketVersioningCommandOutput } from "@aws-sdk/client-s3";
import { Fault } from "../../model/fault.js";
import { patience } from "../listing.js";
import { retry } from "../retry.js";
import type { ListOptions } from "../store.js";
import type { S3Connection } from "./connection.js";
import { Refused } from "./connection.js";
import { isBadCredentials, isExpired, isWrongRegion } from "./failure.js";
import { headRows } from "./head.js";
import type { Page, Place, Row } from "./pages.js";
import { currentPages, versionPages } from "./pages.js";

/** After this many pages, fewer current rows than this share are not worth listing versions for. */
const JUDGED_PAGES = 20;
const LEAST_CURRENT_SHARE = 0.2;

/** How a source is listed; one per listing, since what is learnt holds for all its requests. */
export interface Way {
  mode: "versions" | "objects" | "objects and heads";
  /** True once a row with a real version, or the bucket's own word, was seen. */
  versioned: boolean;
  answered: boolean;
}

export function startWay(options: ListOptions): Way {
  return { mode: options.checksum ? "versions" : "objects", versioned: false, answered: false };
}

export async function* listCurrent(
  connection: S3Connection,
  place: Place,
  way: Way,
  options: ListOptions,
): AsyncGenerator<Page> {
  const from =
    way.mode === "versions" ? yield* listVersions(connection, place, way, options) : place;
  if (from === null) return;
  for await (const page of currentPages(connection, from, options)) {
    way.answered = true;
    yield way.mode === "objects and heads"
      ? { ...page, rows: await headRows(connection, place.bucket, page.rows, options.signal) }
      : page;
  }
}

/** Lists versions to the end (null), or up to where objects are better listed from then on. */
async function* listVersions(
  connection: S3Connection,
  place: Place,
  way: Way,
  options: ListOptions,
): AsyncGenerator<Page, Place | null> {
  let pages = 0;
  let rows = 0;
  let current = 0;
  try {
    for await (const page of versionPages(connection, place, options)) {
      way.answered = true;
      const judged = await judge(connection, place, page, way, options);
      const kept = judged.rows.filter((row) => row.isLatest);
      pages += 1;
      rows += page.rowCount;
      current += kept.length;
      if (pages === JUDGED_PAGES && page.more && current < rows * LEAST_CURRENT_SHARE) {
        way.mode = "objects and heads";
        options.onNotice(
          `s3://${place.bucket}/${place.prefix}: most rows of the listing are old versions; ` +
            "listing current objects and asking for the version of each",
        );
      }
      yield { ...page, rows: kept };
      if (way.mode !== "versions" && page.more) return { ...place, startAfter: page.lastKey };
    }
    return null;
  } catch (error) {
    if (!(error instanceof Refused) || way.answered || !mayListObjects(error)) throw error;
    fallBack(error, place, way, options);
    return place;
  }
}

/** A bucket that never had versions gives every row the id "null", which pins nothing. */
async function judge(
  connection: S3Connection,
  place: Place,
  page: Page,
  way: Way,
  options: ListOptions,
): Promise<Page> {
  way.versioned ||= page.rows.some((row) => row.versionId !== "null") || hasOld(page);
  if (way.versioned || page.rows.length === 0) return page;
  if (await mayHaveVersions(connection, place.bucket, options)) {
    way.versioned = true;
    return page;
  }
  way.mode = "objects";
  withoutVersions("the bucket keeps no versions", "usage", place, options);
  return { ...page, rows: page.rows.map((row): Row => ({ ...row, versionId: undefined })) };
}

function hasOld(page: Page): boolean {
  return page.rowCount > page.rows.length || page.rows.some((row) => !row.isLatest);
}

async function mayHaveVersions(
  connection: S3Connection,
  bucket: string,
  options: ListOptions,
): Promise<boolean> {
  const { signal } = options;
  const ask = (): Promise<GetBucketVersioningCommandOutput> =>
    connection.command(
      {
        bucket,
        permission: "s3:GetBucketVersioning",
        send: (client) =>
          client.send(new GetBucketVersioningCommand({ Bucket: bucket }), { abortSignal: signal }),
      },
      signal,
    );
  try {
    const { Status } = await retry(ask, patience(connection.retryTimeoutMs, options));
    return Status !== undefined;
  } catch (error) {
    // Not allowed to ask, or not implemented: the listing goes on with what it has.
    if (error instanceof Refused) return true;
    throw error;
  }
}

function mayListObjects({ refusal }: Refused): boolean {
  if (isWrongRegion(refusal) || isExpired(refusal) || isBadCredentials(refusal)) return false;
  return [400, 403, 405, 501].includes(refusal.status);
}

function fallBack(error: Refused, place: Place, way: Way, options: ListOptions): void {
  const { status, code } = error.refusal;
  const refused = status === 403;
  way.mode = "objects";
  withoutVersions(
    refused
      ? "listing versions was refused (it needs s3:ListBucketVersions)"
      : `the store does not list versions (${status}${code === "" ? "" : ` ${code}`})`,
    refused ? "denied" : "usage",
    place,
    options,
  );
}

function withoutVersions(
  why: string,
  kind: "usage" | "denied",
  place: Place,
  options: ListOptions,
): void {
  const subject = `s3://${place.bucket}/${place.prefix}`;
  if (options.pinVersion) {
    throw new Fault(
      kind,
      `--pin version: objects of ${subject} cannot be pinned by version: ${why}`,
      {
        subject,
      },
    );
  }
  options.onNotice(
    `${subject}: ${why}; objects are pinned by ETag: one that is overwritten can then no longer be read`,
  );
}
