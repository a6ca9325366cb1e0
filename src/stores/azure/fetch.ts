// Fetches a pinned blob, or a range of it, with one request, and checks that the answer is the one
// asked for. It checks no bytes.

import type { IncomingHttpHeaders } from "node:http";
import type { Entry } from "../../model/entry.js";
import { Fault } from "../../model/fault.js";
import type { ByteRange, Fetched } from "../../model/fetch.js";
import { bodyOf, extentOf, isWhole, rangeHeader, unquote } from "../object-answer.js";
import type { Environment } from "../store.js";
import { md5Claims, readMd5 } from "./answer.js";
import type { AzureConnection } from "./connection.js";
import { refusalFault, Refused } from "./failure.js";
import { findVersion } from "./find-version.js";
import { withVersion } from "./list.js";
import { versionQuery } from "./properties.js";
import type { AzureName } from "./uri.js";
import { formatAzureUri, parseAzureUri } from "./uri.js";

/** What is asked for: a version, a snapshot, or what is there under the condition of its ETag. */
interface Wanted {
  readonly name: AzureName;
  readonly subject: string;
  /** Sent as If-Match, unless a version is asked for; undefined when none is pinned. */
  readonly etag: string | undefined;
}

/** @throws Fault as `Fetch` says. */
export async function fetchBlob(
  connection: AzureConnection,
  environment: Environment,
  entry: Entry,
  range: ByteRange | null,
  signal: AbortSignal,
): Promise<Fetched> {
  const asked = isWhole(range, entry.sizeBytes) ? null : range;
  const wanted = wantedOf(entry, environment);
  try {
    return await attempt(connection, entry, wanted, asked, signal);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    const other = await otherVersion(connection, wanted, error, signal);
    if (other === null) throw faultOf(error, wanted);
    try {
      return await attempt(connection, entry, other, asked, signal);
    } catch (again) {
      throw again instanceof Refused ? faultOf(again, other) : again;
    }
  }
}

function wantedOf(entry: Entry, environment: Environment): Wanted {
  const written = parseAzureUri(entry.uri, environment);
  const { versionId = written.versionId, snapshot = written.snapshot, etag } = entry.pin;
  const name = { ...written, versionId, snapshot };
  const strong = etag?.startsWith("W/") === true ? undefined : etag;
  return { name, subject: formatAzureUri(written, written.blob), etag: strong };
}

/**
 * A blob that was pinned by its ETag alone and then overwritten or deleted may still be there as an
 * older version, or as a snapshot that was made of it, with that ETag.
 */
async function otherVersion(
  connection: AzureConnection,
  { name, subject, etag }: Wanted,
  { refusal }: Refused,
  signal: AbortSignal,
): Promise<Wanted | null> {
  if (etag === undefined || isNamed(name)) return null;
  if (refusal.status !== 404 && refusal.status !== 412) return null;
  const found = await findVersion(connection, name, etag, signal);
  return found === null ? null : { name: { ...name, ...found }, subject, etag };
}

async function attempt(
  connection: AzureConnection,
  entry: Entry,
  wanted: Wanted,
  range: ByteRange | null,
  signal: AbortSignal,
): Promise<Fetched> {
  const { name, etag, subject } = wanted;
  const transfer = await connection.request(
    name,
    {
      method: "GET",
      blob: name.blob,
      query: versionQuery(name),
      headers: {
        ...(etag === undefined || name.versionId !== undefined ? {} : { "if-match": `"${etag}"` }),
        ...rangeHeader(range),
      },
    },
    signal,
  );
  try {
    checkIdentity(transfer.headers, wanted);
    const { sizeBytes, range: got } = extentOf(transfer, range, entry.sizeBytes, subject);
    return {
      body: bodyOf(transfer, got.end - got.start, subject),
      sizeBytes,
      range: got,
      pinned: etag !== undefined || isNamed(name),
      claims: md5Claims(readMd5(transfer.headers)),
      // It counts changes, and is never made from the bytes.
      etagIsHash: false,
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

/**
 * A server that ignores the version or the condition must not pass for the pinned blob: emulators
 * answer `?versionid=` with whatever is current.
 */
function checkIdentity(headers: IncomingHttpHeaders, { name, etag, subject }: Wanted): void {
  const version = headers["x-ms-version-id"];
  if (name.versionId !== undefined && version !== name.versionId) {
    throw typeof version === "string"
      ? new Fault(
          "corrupt",
          `The store answered with version ${version} of ${subject}; asked was ${name.versionId}`,
          { subject },
        )
      : new Fault(
          "drifted",
          `The store keeps no versions of ${subject}, and has not the pinned one (${name.versionId})`,
          { subject },
        );
  }
  const now = unquote(headers.etag ?? "");
  if (etag !== undefined && now !== etag) {
    throw new Fault(
      isNamed(name) ? "corrupt" : "drifted",
      `${withVersion(subject, name)} has ${now === "" ? "no ETag" : `the ETag ${now}`}; logged was ${etag}`,
      { subject },
    );
  }
}

function isNamed({ versionId, snapshot }: AzureName): boolean {
  return versionId !== undefined || snapshot !== undefined;
}

function faultOf(error: Refused, { name, subject, etag }: Wanted): Fault {
  const named = withVersion(subject, name);
  if (error.refusal.status === 416) {
    const pinned = etag !== undefined || isNamed(name);
    return new Fault(pinned ? "corrupt" : "drifted", `${named} is shorter than logged`, {
      subject,
      cause: error,
    });
  }
  return refusalFault(error, { subject: named, what: "Cannot read", missing: "drifted" });
}
