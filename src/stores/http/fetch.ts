// Fetches an object of an HTTP server, or a range of it, and checks that the answer is about the
// object that was logged, as far as the server can tell. Checks no bytes.
//
// A strong ETag ties an answer to what was logged. Where the bytes themselves were hashed, the hash
// decides: servers and mirrors give new ETags to old bytes.

import type { Entry } from "../../model/entry.js";
import { Fault } from "../../model/fault.js";
import type { ByteRange, Fetch, Fetched } from "../../model/fetch.js";
import { pinsObject } from "../../model/pin.js";
import {
  bodyOf,
  extentOf,
  isWhole,
  rangeHeader,
  readLength,
  readRange,
  unquote,
} from "../object-answer.js";
import { countBytes, encodingOf, strongEtag } from "./answer.js";
import type { HttpAnswer, HttpConnection } from "./connection.js";
import { readClaims, WANT_DIGEST } from "./digests.js";
import { failureFault } from "./failure.js";
import type { HttpName } from "./uri.js";
import { parseHttpUri } from "./uri.js";

/** Fetches over `connection`; @throws Fault as `Fetch` says. */
export function makeFetch(connection: HttpConnection): Fetch {
  // What the answer to the beginning of an object said of its version, for the ranges that follow.
  const begun = new WeakMap<Entry, string>();

  /** Ranges of two versions never make one file, also where nothing pins the object. */
  const checkVersion = (entry: Entry, start: number, version: string, subject: string): void => {
    const before = begun.get(entry);
    if (start === 0) begun.set(entry, version);
    else if (before !== undefined && before !== version) {
      throw drifted(subject, "it changed while it was being read");
    }
  };

  const attempt = async (
    entry: Entry,
    name: HttpName,
    asked: ByteRange | null,
    knownBytes: number | null,
    signal: AbortSignal,
  ): Promise<Fetched> => {
    const subject = name.uri;
    const headers = { ...conditionsOf(entry, asked), ...rangeHeader(asked) };
    const answer = await connection.request({ method: "GET", name, headers }, signal);
    try {
      if (answer.status !== 200 && answer.status !== 206) throw refused(answer, entry, name);
      refuseEncoding(answer, entry, subject);
      const pinned = checkEtag(answer, entry, subject);
      if (
        answer.status === 200 &&
        readLength(answer.headers) === undefined &&
        knownBytes === null
      ) {
        // Only the end of its body tells how long it is: it is read to there, and then asked for.
        const bytes = await countBytes(answer);
        answer.close();
        return await attempt(entry, name, asked, bytes, signal);
      }
      const { sizeBytes, range } = extentOf(answer, asked, knownBytes, subject);
      const { etag = "", "last-modified": modified = "" } = answer.headers;
      if (!isHashed(entry)) {
        checkVersion(entry, asked?.start ?? 0, `${etag} ${modified} ${sizeBytes}`, subject);
      }
      return {
        body: isChunked(answer)
          ? chunkedBody(answer, range.end - range.start, (what) =>
              another(answer, pinned, subject, what),
            )
          : bodyOf(answer, range.end - range.start, subject),
        sizeBytes,
        range,
        pinned,
        claims: readClaims(answer.headers, answer.status === 200 ? "whole" : "part"),
        etagIsHash: false,
        [Symbol.asyncDispose]() {
          answer.close();
          return Promise.resolve();
        },
      };
    } catch (error) {
      answer.close();
      throw error;
    }
  };

  return async (entry, range, signal) => {
    const asked = isWhole(range, entry.sizeBytes) ? null : range;
    return attempt(entry, parseHttpUri(entry.uri), asked, entry.sizeBytes, signal);
  };
}

function conditionsOf(entry: Entry, asked: ByteRange | null): Record<string, string> {
  const etag = conditionOf(entry);
  const curious = !isHashed(entry) && (asked?.start ?? 0) === 0;
  return {
    ...(etag === undefined ? {} : { "if-match": `"${etag}"` }),
    ...(curious ? WANT_DIGEST : {}),
  };
}

/** The ETag that the object must still have. */
function conditionOf(entry: Entry): string | undefined {
  return !isHashed(entry) && pinsObject(entry.pin) ? entry.pin.etag : undefined;
}

function isHashed(entry: Entry): boolean {
  return Object.keys(entry.digests).length > 0;
}

/**
 * True when the answer has the strong ETag that was logged.
 * @throws Fault `drifted` when it has another one, also from a server that ignores conditions.
 */
function checkEtag(answer: HttpAnswer, entry: Entry, subject: string): boolean {
  const { etag: logged } = entry.pin;
  if (logged === undefined) return false;
  const same = pinsObject(entry.pin) && strongEtag(answer.headers) === logged;
  if (same || isHashed(entry)) return same;
  const now = answer.headers.etag === undefined ? "none" : unquote(answer.headers.etag);
  // A weak ETag says that two versions mean the same, whether or not it is told as weak again.
  const alike = !pinsObject(entry.pin) && now.replace(/^W\//, "") === logged.replace(/^W\//, "");
  if (alike) return false;
  const encoding = encodingOf(answer.headers);
  const sent = encoding === undefined ? "" : `, of bytes that it sends compressed (${encoding})`;
  throw drifted(subject, `its ETag is ${now}${sent}; logged was ${logged}`);
}

/** Bytes that a server compressed on its way are not the bytes that were logged. */
function refuseEncoding(answer: HttpAnswer, entry: Entry, subject: string): void {
  const { headers } = answer;
  const encoding = encodingOf(headers);
  if (encoding === undefined || entry.sizeBytes === null) return;
  const toldBytes = answer.status === 206 ? readRange(headers)?.sizeBytes : readLength(headers);
  // Without a length the end of the body tells.
  if (toldBytes === undefined || toldBytes === entry.sizeBytes) return;
  throw compressed(encoding, subject);
}

function isChunked({ headers }: HttpAnswer): boolean {
  return /(^|,)\s*chunked\s*$/i.test(headers["transfer-encoding"] ?? "");
}

/** A body whose end the server marks: when it has another length than known, it is no broken one. */
async function* chunkedBody(
  answer: HttpAnswer,
  expectedBytes: number,
  otherwise: (what: string) => Fault,
): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  for (let chunk = await answer.read(); chunk !== null; chunk = await answer.read()) {
    bytes += chunk.length;
    if (bytes > expectedBytes) throw otherwise(`it is longer than ${expectedBytes} bytes`);
    yield chunk;
  }
  if (bytes < expectedBytes) throw otherwise(`it has ${bytes} bytes, not ${expectedBytes}`);
}

function another(answer: HttpAnswer, pinned: boolean, subject: string, what: string): Fault {
  const encoding = encodingOf(answer.headers);
  if (encoding !== undefined) return compressed(encoding, subject);
  return pinned
    ? new Fault("corrupt", `${subject}: ${what}, but has the same ETag`, { subject })
    : drifted(subject, what);
}

function compressed(encoding: string, subject: string): Fault {
  return drifted(
    subject,
    `the server now sends it compressed (${encoding}) although asked not to; turn that off`,
  );
}

function refused(answer: HttpAnswer, entry: Entry, name: HttpName): Fault {
  const subject = name.uri;
  if (answer.status === 416) {
    const same = pinsObject(entry.pin) && strongEtag(answer.headers) === entry.pin.etag;
    return another(answer, same, subject, "it is shorter than logged");
  }
  return failureFault(answer, { subject, what: "Cannot read", missing: "drifted" });
}

function drifted(subject: string, what: string): Fault {
  return new Fault("drifted", `${subject} is not what was logged: ${what}`, { subject });
}
