// Fetches a pinned object of S3, or a range of it, with one signed request, and checks that the
// answer is the one asked for. It checks no bytes.

import type { IncomingHttpHeaders } from "node:http";
import type { Entry } from "../../model/entry.js";
import { Fault } from "../../model/fault.js";
import type { ByteRange, Fetched } from "../../model/fetch.js";
import { immutableVersion, pinsObject } from "../../model/pin.js";
import type { S3Name } from "../uri.js";
import { formatS3Uri, parseS3Uri } from "../uri.js";
import { bodyOf, extentOf, isWhole, rangeHeader, unquote } from "../object-answer.js";
import { CHECKSUM_MODE, isKeyed, readClaims } from "./answer.js";
import type { S3Connection } from "./connection.js";
import { Refused } from "./connection.js";
import { refusalFault } from "./failure.js";
import { findVersion } from "./find-version.js";
import type { FirstPart, PartsRequest } from "./parts.js";
import { firstPart, needsParts, partsOf } from "./parts.js";

/** What is asked for: a version, or whatever is there under the condition of its ETag. */
interface Wanted {
  readonly name: S3Name;
  readonly subject: string;
  readonly versionId: string | undefined;
  /** Sent as If-Match; undefined with a version that cannot change. */
  readonly etag: string | undefined;
}

/** @throws Fault as `Fetch` says. */
export async function fetchObject(
  connection: S3Connection,
  entry: Entry,
  range: ByteRange | null,
  signal: AbortSignal,
): Promise<Fetched> {
  const asked = isWhole(range, entry.sizeBytes) ? null : range;
  const wanted = wantedOf(entry);
  try {
    return await attempt(connection, entry, wanted, asked, signal);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    const other = await otherVersion(connection, wanted, error, signal);
    if (other === null) throw faultOf(error, wanted, connection);
    try {
      return await attempt(connection, entry, other, asked, signal);
    } catch (again) {
      throw again instanceof Refused ? faultOf(again, other, connection) : again;
    }
  }
}

function wantedOf(entry: Entry): Wanted {
  const name = parseS3Uri(entry.uri);
  const strong = entry.pin.etag?.startsWith("W/") === true ? undefined : entry.pin.etag;
  return {
    name,
    subject: formatS3Uri(name.bucket, name.key),
    versionId: entry.pin.versionId ?? name.versionId,
    etag: immutableVersion(entry.pin) === undefined ? strong : undefined,
  };
}

/**
 * An object that was pinned by its ETag alone and then overwritten or deleted may still be there as
 * an older version with that ETag.
 */
async function otherVersion(
  connection: S3Connection,
  wanted: Wanted,
  error: Refused,
  signal: AbortSignal,
): Promise<Wanted | null> {
  const { status } = error.refusal;
  if (wanted.etag === undefined || wanted.versionId !== undefined) return null;
  if (status !== 404 && status !== 412) return null;
  const versionId = await findVersion(connection, wanted.name, wanted.etag, signal);
  return versionId === null ? null : { ...wanted, versionId };
}

async function attempt(
  connection: S3Connection,
  entry: Entry,
  wanted: Wanted,
  range: ByteRange | null,
  signal: AbortSignal,
): Promise<Fetched> {
  const { bucket, key } = wanted.name;
  const request = {
    bucket,
    key,
    versionId: wanted.versionId,
    headers: {
      ...CHECKSUM_MODE,
      ...(wanted.etag === undefined ? {} : { "if-match": `"${wanted.etag}"` }),
    },
  };
  const beside = askBeside(connection, entry, request, range, signal);
  const transfer = await connection.request(
    { method: "GET", ...request, headers: { ...request.headers, ...rangeHeader(range) } },
    signal,
  );
  try {
    // What answers another question says nothing about the object either, so this comes first.
    const { sizeBytes, range: got } = extentOf(transfer, range, entry.sizeBytes, wanted.subject);
    checkIdentity(transfer.headers, entry, wanted);
    const whole = got.start === 0 && got.end === sizeBytes;
    const claims = whole ? readClaims(transfer.headers) : ((await beside.claims) ?? []);
    const first = await beside.firstPart;
    const parts =
      first == null ? undefined : partsOf(connection, request, { first, entry, sizeBytes });
    return {
      body: bodyOf(transfer, got.end - got.start, wanted.subject),
      sizeBytes,
      range: got,
      pinned: wanted.etag !== undefined || immutableVersion(entry.pin) !== undefined,
      claims,
      etagIsHash: !isKeyed(transfer.headers),
      ...(parts === undefined ? {} : { parts }),
      [Symbol.asyncDispose]() {
        transfer.close();
        return Promise.resolve();
      },
    };
  } catch (error) {
    transfer.close();
    throw error;
  }
}

/** What is asked while the first bytes come, where their answer does not tell it. */
interface Beside {
  readonly claims: Promise<Fetched["claims"]> | undefined;
  /** Null where the store does not tell. */
  readonly firstPart: Promise<FirstPart | null> | undefined;
}

function askBeside(
  connection: S3Connection,
  entry: Entry,
  request: PartsRequest,
  range: ByteRange | null,
  signal: AbortSignal,
): Beside {
  const first = range === null || range.start === 0;
  // The answer to a range tells no checksum of the whole.
  const asksClaims =
    first && range !== null && entry.claims.some((claim) => claim.value === undefined);
  const claims = asksClaims ? headClaims(connection, request, signal) : undefined;
  const part =
    first && needsParts(entry) ? firstPart(connection, entry, request, signal) : undefined;
  // Awaited once the GET is answered: until then, and when it fails, nobody waits for them.
  for (const asked of [claims, part]) asked?.catch(() => undefined);
  return { claims, firstPart: part };
}
async function headClaims(
  connection: S3Connection,
  request: PartsRequest,
  signal: AbortSignal,
): Promise<Fetched["claims"]> {
  try {
    const transfer = await connection.request({ method: "HEAD", ...request }, signal);
    transfer.close();
    return readClaims(transfer.headers);
  } catch (error) {
    // Without it the object is only less assured; whether it can be read the GET tells.
    if (error instanceof Refused) return [];
    throw error;
  }
}

/** A server that ignores the version or the condition must not pass for the pinned object. */
function checkIdentity(headers: IncomingHttpHeaders, entry: Entry, wanted: Wanted): void {
  const version = headers["x-amz-version-id"];
  if (
    wanted.versionId !== undefined &&
    typeof version === "string" &&
    version !== wanted.versionId
  ) {
    throw new Fault(
      "corrupt",
      `The store answered with version ${version} of ${wanted.subject}; asked was ${wanted.versionId}`,
      { subject: wanted.subject },
    );
  }
  const etag = headers.etag === undefined ? undefined : unquote(headers.etag);
  if (entry.pin.etag !== undefined && etag !== undefined && etag !== entry.pin.etag) {
    const sameVersion = wanted.versionId !== undefined && version === wanted.versionId;
    throw new Fault(
      sameVersion && version !== "null" ? "corrupt" : "drifted",
      `${wanted.subject} has the ETag ${etag}; logged was ${entry.pin.etag}`,
      { subject: wanted.subject },
    );
  }
  const named = version !== undefined && version !== "null" && version === wanted.versionId;
  if (pinsObject(entry.pin) && !named && etag === undefined) {
    throw new Fault(
      "drifted",
      `The store's answer for ${wanted.subject} names neither a version nor an ETag, so nothing shows ` +
        "that it is the object that was logged",
      { subject: wanted.subject },
    );
  }
}

function faultOf(error: Refused, wanted: Wanted, connection: S3Connection): Fault {
  const { refusal } = error;
  const version = wanted.versionId === undefined ? "" : ` (version ${wanted.versionId})`;
  if (refusal.status === 416) {
    return new Fault(
      wanted.etag !== undefined || wanted.versionId !== undefined ? "corrupt" : "drifted",
      `${wanted.subject}${version} is shorter than logged`,
      { subject: wanted.subject, cause: error },
    );
  }
  return refusalFault(refusal, {
    subject: `${wanted.subject}${version}`,
    what: "Cannot read",
    missing: "drifted",
    region: connection.regionOf(wanted.name.bucket),
    asker: error.asker,
  });
}
