// What a uri names: one object, looked at by HEAD where the server answers that well, else by a GET
// whose body is not read. Follows no links in pages.

import type { IncomingHttpHeaders } from "node:http";
import type { Claim } from "../../model/digest.js";
import { Fault } from "../../model/fault.js";
import { NO_PIN } from "../../model/pin.js";
import { patience } from "../listing.js";
import { readLength, readModified, readRange } from "../object-answer.js";
import { retry } from "../retry.js";
import type { Listed, StatOptions } from "../store.js";
import { countBytes, encodingOf, pinOf, strongEtag, wandbDigest } from "./answer.js";
import type { HttpAnswer, HttpConnection } from "./connection.js";
import { readClaims, WANT_DIGEST } from "./digests.js";
import type { Failure } from "./failure.js";
import { failureFault } from "./failure.js";
import type { HttpName } from "./uri.js";
import { parseHttpUri } from "./uri.js";

/** What an answer told of an object. */
interface Look {
  readonly headers: IncomingHttpHeaders;
  readonly claims: readonly Claim[];
  /** Null when the answer does not tell. */
  readonly sizeBytes: number | null;
}

/** @throws as `Store.stat` says. */
export async function statObject(
  connection: HttpConnection,
  uri: string,
  options: StatOptions,
): Promise<Listed> {
  const name = parseHttpUri(uri);
  const { checksum, pinVersion, signal, onNotice } = options;
  if (pinVersion) {
    throw new Fault("usage", `--pin version: HTTP servers keep no versions (${name.uri})`, {
      subject: name.uri,
    });
  }
  const look = await retry(
    () => lookAt(connection, name, options),
    patience(connection.retryTimeoutMs, options),
  );
  signal.throwIfAborted();
  const { headers, claims, sizeBytes } = look;
  const encoding = encodingOf(headers);
  if (encoding !== undefined) {
    onNotice(
      `${name.uri}: the server sends it compressed (${encoding}) although asked not to; ` +
        "the file in the version is what it sends, compressed",
    );
  }
  const common = {
    key: name.fileName,
    single: true,
    sizeBytes,
    uri: name.uri,
    mtimeMs: readModified(headers),
  };
  if (!checksum) return { ...common, entryDigest: name.uri, pin: NO_PIN, claims: [] };
  return {
    ...common,
    entryDigest: wandbDigest(headers) ?? name.uri,
    pin: pinOf(headers),
    claims,
    needsHash: claims.length === 0 && strongEtag(headers) === undefined,
  };
}

/** Statuses by which servers that route GET alone answer a HEAD. */
const HEAD_REFUSED: ReadonlySet<number> = new Set([400, 403, 404, 405, 501]);

async function lookAt(
  connection: HttpConnection,
  name: HttpName,
  options: StatOptions,
): Promise<Look> {
  const { headers, status, ...answer } = await ask(connection, "HEAD", name, {}, options.signal);
  answer.close();
  if (status === 200) {
    const sizeBytes = readLength(headers);
    // Some programs answer every HEAD with the length of no body: zero is asked for again.
    if (sizeBytes !== undefined && sizeBytes > 0) {
      return { headers, claims: readClaims(headers, "none"), sizeBytes };
    }
  } else if (!HEAD_REFUSED.has(status)) {
    throw failure({ ...answer, headers, status }, name);
  }
  return (await lookAtPart(connection, name, options)) ?? lookAtWhole(connection, name, options);
}

/** Asks for the first byte: the answer tells the size of the whole. Null where that cannot be had. */
async function lookAtPart(
  connection: HttpConnection,
  name: HttpName,
  options: StatOptions,
): Promise<Look | null> {
  const part = { range: "bytes=0-0" };
  const answer = await ask(connection, "GET", name, part, options.signal);
  try {
    const { status, headers } = answer;
    if (status === 200) return await wholeOf(answer, options);
    // An empty object has no first byte.
    if (status === 416) return null;
    if (status !== 206) throw failure(answer, name);
    const got = readRange(headers);
    if (got === undefined) return null;
    return { headers, claims: readClaims(headers, "part"), sizeBytes: got.sizeBytes };
  } finally {
    answer.close();
  }
}

async function lookAtWhole(
  connection: HttpConnection,
  name: HttpName,
  options: StatOptions,
): Promise<Look> {
  const answer = await ask(connection, "GET", name, {}, options.signal);
  try {
    if (answer.status !== 200) throw failure(answer, name);
    return await wholeOf(answer, options);
  } finally {
    answer.close();
  }
}

/** A file in a mount has a size: where no server tells it, the bytes are counted. */
async function wholeOf(answer: HttpAnswer, { checksum }: StatOptions): Promise<Look> {
  const { headers } = answer;
  const claims = readClaims(headers, "whole");
  const sizeBytes = readLength(headers) ?? (checksum ? await countBytes(answer) : null);
  return { headers, claims, sizeBytes };
}

function ask(
  connection: HttpConnection,
  method: "GET" | "HEAD",
  name: HttpName,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<HttpAnswer> {
  return connection.request({ method, name, headers: { ...WANT_DIGEST, ...headers } }, signal);
}

function failure(answer: Failure, name: HttpName): Fault {
  return failureFault(answer, { subject: name.uri, what: "Cannot list", missing: "not-found" });
}
