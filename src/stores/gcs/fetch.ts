// Fetches a pinned object of Google Cloud Storage, or a range of it, with one authorised request, and
// checks that the answer is the one asked for. It checks no bytes.

import type { IncomingHttpHeaders } from "node:http";
import type { Claim } from "../../model/digest.js";
import type { Entry } from "../../model/entry.js";
import { Fault } from "../../model/fault.js";
import type { ByteRange, Fetched } from "../../model/fetch.js";
import { bodyOf, extentOf, isWhole, rangeHeader, unquote } from "../object-answer.js";
import type { Transfer } from "../transfer.js";
import { generationIn, md5InDigest, readClaims, storedLength, transformationIn } from "./answer.js";
import type { GcsConnection } from "./connection.js";
import { Refused, refusalFault } from "./failure.js";
import type { GcsName } from "./uri.js";
import { describe, parseGcsUri } from "./uri.js";

/** What is asked for: a generation, or whatever is there now. */
interface Wanted {
  readonly name: GcsName;
  readonly subject: string;
  /** The MD5, hex, that an old manifest has as its entry digest. */
  readonly md5: string | undefined;
}

/** @throws Fault as `Fetch` says. */
export async function fetchObject(
  connection: GcsConnection,
  entry: Entry,
  range: ByteRange | null,
  signal: AbortSignal,
): Promise<Fetched> {
  const wanted = wantedOf(entry);
  const asked = isWhole(range, entry.sizeBytes) ? null : range;
  const transfer = await open(connection, wanted, asked, signal);
  try {
    return answerOf(transfer, entry, wanted, asked);
  } catch (error) {
    transfer.close();
    throw error;
  }
}

function wantedOf(entry: Entry): Wanted {
  const named = parseGcsUri(entry.uri);
  const name = { ...named, generation: entry.pin.generation ?? named.generation };
  return { name, subject: describe(name), md5: md5InDigest(entry.entryDigest) };
}

async function open(
  connection: GcsConnection,
  wanted: Wanted,
  range: ByteRange | null,
  signal: AbortSignal,
): Promise<Transfer> {
  const { bucket, key, generation } = wanted.name;
  try {
    return await connection.request(
      {
        bucket,
        path: `/b/${bucket}/o/${encodeURIComponent(key)}`,
        query: { alt: "media", ...(generation === undefined ? {} : { generation }) },
        headers: {
          // Of an object that is stored gzipped, whoever does not accept gzip gets other bytes than
          // are stored, and a range of them is ignored. Whatever is stored otherwise is sent as it is.
          "accept-encoding": "gzip",
          ...rangeHeader(range),
        },
        subject: wanted.subject,
      },
      signal,
    );
  } catch (error) {
    throw error instanceof Refused ? faultOf(error, wanted) : error;
  }
}

function answerOf(
  transfer: Transfer,
  entry: Entry,
  wanted: Wanted,
  asked: ByteRange | null,
): Fetched {
  const { headers } = transfer;
  const { name, subject, md5 } = wanted;
  const claims = readClaims(headers);
  checkGeneration(headers, wanted);
  checkStored(headers, wanted);
  checkHash(claims, wanted);
  const sameEtag = checkEtag(headers, entry, wanted);
  const { sizeBytes, range } = extentOf(transfer, asked, entry.sizeBytes, subject);
  const stored = storedLength(headers);
  if (stored !== undefined && stored !== sizeBytes) {
    throw other(subject, `${stored} bytes are stored, ${sizeBytes} were sent`);
  }
  const pinned = name.generation !== undefined || sameEtag;
  return {
    body: bodyOf(transfer, range.end - range.start, subject),
    sizeBytes,
    range,
    pinned,
    // The hashes of whatever is there now say nothing of the bytes that were logged.
    claims: [...(pinned ? claims : []), ...md5Claim(md5)],
    etagIsHash: true,
    [Symbol.asyncDispose]() {
      transfer.close();
      return Promise.resolve();
    },
  };
}

/** The MD5 in the entry itself, which the bytes must have whatever the store says. */
function md5Claim(value: string | undefined): readonly Claim[] {
  return value === undefined ? [] : [{ algorithm: "md5", value, source: "checksum" }];
}

/** A server that ignores `generation` must not pass for the pinned object. */
function checkGeneration(headers: IncomingHttpHeaders, { name, subject }: Wanted): void {
  if (name.generation === undefined) return;
  const generation = generationIn(headers);
  if (generation !== name.generation) {
    throw new Fault(
      "corrupt",
      `The store answered with generation ${generation ?? "unknown"} of ${subject}`,
      { subject },
    );
  }
}

/** Bytes that were packed or unpacked on the way are not those that are stored. */
function checkStored(headers: IncomingHttpHeaders, { subject }: Wanted): void {
  const transformation = transformationIn(headers);
  if (transformation !== undefined) throw other(subject, transformation);
}

function other(subject: string, why: string): Fault {
  return new Fault(
    "corrupt",
    `The store did not send the stored bytes of ${subject}: ${why}. ` +
      "Set its Cache-Control to no-transform, or remove its Content-Encoding",
    { subject },
  );
}

function checkHash(claims: readonly Claim[], { md5, subject }: Wanted): void {
  const held = claims.find(({ algorithm }) => algorithm === "md5")?.value;
  if (md5 !== undefined && held !== undefined && held !== md5) {
    throw new Fault("drifted", `${subject} has the MD5 ${held}; logged was ${md5}`, { subject });
  }
}

/**
 * An ETag pins an entry that has no generation: true when it is still the same. Another one may only
 * mean other metadata, so it counts where nothing else can be compared.
 */
function checkEtag(
  headers: IncomingHttpHeaders,
  entry: Entry,
  { name, md5, subject }: Wanted,
): boolean {
  if (name.generation !== undefined || md5 !== undefined) return false;
  const logged = entry.pin.etag ?? (entry.entryDigest === entry.uri ? "" : entry.entryDigest);
  if (logged === "" || headers.etag === undefined) return false;
  const etag = unquote(headers.etag);
  if (etag === logged) return true;
  if (Object.keys(entry.digests).length > 0 || entry.claims.length > 0) return false;
  throw new Fault("drifted", `${subject} has the ETag ${etag}; logged was ${logged}`, { subject });
}

function faultOf(error: Refused, { name, subject }: Wanted): Fault {
  if (error.refusal.status === 416) {
    return new Fault(
      name.generation === undefined ? "drifted" : "corrupt",
      `${subject} is shorter than logged`,
      { subject, cause: error },
    );
  }
  return refusalFault(error, {
    subject,
    what: "Cannot read",
    missing: "drifted",
    missingText:
      name.generation === undefined
        ? "the object is gone; it was deleted since it was logged"
        : `generation ${name.generation} is gone; it was deleted, or overwritten in a bucket that keeps no versions`,
    permission: "storage.objects.get",
  });
}
