// An object's bytes as the JSON API sends them for `alt=media`: ranges, hashes of the stored bytes, and
// the unpacking of what is stored gzipped.

import type { IncomingMessage, ServerResponse } from "node:http";
import { gunzipSync } from "node:zlib";
import { sendBody, type Accident, type Pace } from "../s3-double/body.js";
import { asContent, blocks, type Content } from "../s3-double/bucket.js";
import type { GcsBucket, Generation } from "./bucket.js";
import { etagOf } from "./bucket.js";

/** What goes wrong with one answer, besides what goes wrong with its body. */
export interface GcsAccident extends Accident {
  /** The reason in the error's document; `status` must be set. */
  readonly reason?: string;
  readonly message?: string;
  /** The whole answer of a listing or of a token: for answers that are not Google's. */
  readonly text?: string;
  /** Answers with the bytes of another generation, but this one's headers. */
  readonly bytesOfGeneration?: string;
  /** Answers with another generation, headers included, as a server that ignores `generation`. */
  readonly answerWithGeneration?: string;
  /** Unpacks a gzipped object whatever was asked, and does not say so. */
  readonly unpackSilently?: boolean;
}

interface ByteRange {
  readonly start: number;
  readonly end: number;
}

export async function sendMedia(
  request: IncomingMessage,
  response: ServerResponse,
  bucket: GcsBucket,
  object: Generation,
  accident: GcsAccident,
  pace: Pace,
): Promise<void> {
  const unpacked = accident.unpackSilently === true || isUnpacked(request, object);
  const content = unpacked ? asContent(unpack(object.content)) : bytesOf(bucket, object, accident);
  // Unpacked, a range is not looked at.
  const range =
    unpacked || accident.ignoreRange === true
      ? null
      : parseRange(request.headers.range, content.sizeBytes);
  if (range === "unsatisfiable") {
    response.statusCode = 416;
    response.setHeader("content-range", `bytes */${content.sizeBytes}`);
    response.end(`The requested range cannot be satisfied.`);
    return;
  }
  const { start, end } = range ?? { start: 0, end: content.sizeBytes };
  response.statusCode = range === null ? 200 : 206;
  const headers: Record<string, string | readonly string[]> = {
    ...objectHeaders(object),
    ...(unpacked
      ? accident.unpackSilently === true
        ? { "x-goog-stored-content-encoding": "" }
        : {
            warning: "214 UploadServer gunzipped",
            "x-guploader-response-body-transformations": "gunzipped",
          }
      : {
          "content-length": String(end - start),
          "content-encoding": object.described.contentEncoding ?? "",
        }),
    ...(range === null
      ? {}
      : { "content-range": `bytes ${start}-${end - 1}/${content.sizeBytes}` }),
    ...accident.headers,
  };
  if (accident.longByBytes !== undefined) headers["content-length"] = "";
  for (const [name, value] of Object.entries(headers)) {
    if (value !== "") response.setHeader(name, value);
  }
  await sendBody(response, content, { start, end }, accident, pace);
}

function objectHeaders(object: Generation): Record<string, string | readonly string[]> {
  const { contentType, contentEncoding, cacheControl } = object.described;
  const md5 = object.md5Hash === undefined ? [] : [`md5=${object.md5Hash}`];
  return {
    "content-type": contentType ?? "application/octet-stream",
    "cache-control": cacheControl ?? "",
    etag: etagOf(object),
    "last-modified": object.updated.toUTCString(),
    "x-goog-generation": object.generation,
    "x-goog-metageneration": String(object.metageneration),
    "x-goog-storage-class": "STANDARD",
    "x-goog-hash": [`crc32c=${object.crc32c}`, ...md5],
    "x-goog-stored-content-encoding": contentEncoding ?? "identity",
    "x-goog-stored-content-length": String(object.content.sizeBytes),
  };
}

function isUnpacked(request: IncomingMessage, { described }: Generation): boolean {
  const { contentEncoding, contentType, cacheControl } = described;
  if (contentEncoding !== "gzip") return false;
  if (/\bno-transform\b/.test(cacheControl ?? "")) return false;
  // Packed twice: one layer is taken off whatever the request accepts.
  if (/^application\/(x-)?(gzip|zip)$/.test(contentType ?? "")) return true;
  return !/\bgzip\b/.test(request.headers["accept-encoding"] ?? "");
}

function unpack(content: Content): Buffer {
  return gunzipSync(Buffer.concat([...blocks(content, 0, content.sizeBytes)]));
}

function bytesOf(bucket: GcsBucket, object: Generation, accident: GcsAccident): Content {
  const { bytesOfGeneration: generation } = accident;
  if (generation === undefined) return object.content;
  return bucket.find(object.key, generation)?.content ?? object.content;
}

function parseRange(
  text: string | undefined,
  sizeBytes: number,
): ByteRange | null | "unsatisfiable" {
  const match = /^bytes=(\d+)-(\d*)$/.exec(text ?? "");
  if (match === null) return null;
  const start = Number(match[1]);
  const end = match[2] === "" ? sizeBytes : Math.min(sizeBytes, Number(match[2]) + 1);
  return start >= sizeBytes || end <= start ? "unsatisfiable" : { start, end };
}
