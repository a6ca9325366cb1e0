// An object's bytes as the JSON API sends them for `alt=media`: ranges, hashes of the stored bytes, and
// the unpacking of what is stored gzipped.

import type { IncomingMessage, ServerResponse } from "node:http";
import { gunzipSync } from "node:zlib";
import { sendBody, type Accident, type Pace } from "../double/body.js";
import { asContent, blocks, type Content } from "../double/content.js";
import { announce, type Headers } from "../double/headers.js";
import { parseRange } from "../double/range.js";
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
  const asked =
    unpacked || accident.ignoreRange === true
      ? null
      : parseRange(request.headers.range, content.sizeBytes);
  if (asked === "unsatisfiable") {
    response.statusCode = 416;
    response.setHeader("content-range", `bytes */${content.sizeBytes}`);
    response.end(`The requested range cannot be satisfied.`);
    return;
  }
  const headers: Headers = {
    ...objectHeaders(object),
    ...(unpacked
      ? {
          "content-length": "",
          ...(accident.unpackSilently === true
            ? { "x-goog-stored-content-encoding": "" }
            : {
                warning: "214 UploadServer gunzipped",
                "x-guploader-response-body-transformations": "gunzipped",
              }),
        }
      : { "content-encoding": object.described.contentEncoding ?? "" }),
  };
  const range = announce(response, asked, content.sizeBytes, headers, accident);
  await sendBody(response, content, range, accident, pace);
}

function objectHeaders(object: Generation): Headers {
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
