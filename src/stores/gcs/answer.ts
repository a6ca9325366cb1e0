// Reads what only Google Cloud Storage says in headers and listings: generations, hashes, and whether
// the bytes are those that are stored. Pure.

import type { IncomingHttpHeaders } from "node:http";
import type { Claim } from "../../model/digest.js";
import { base64ToHex } from "../../model/digest.js";
import { readChecksum } from "../checksum.js";

/** The hashes in an object's metadata: CRC-32C always, MD5 unless it was composed of others. */
export function listedClaims(
  md5Hash: string | undefined,
  crc32c: string | undefined,
): readonly Claim[] {
  return [...readChecksum("md5", md5Hash), ...readChecksum("crc32c", crc32c)];
}

/** The hashes in an answer's `x-goog-hash`: of the whole stored object, also beside a range of it. */
export function readClaims(headers: IncomingHttpHeaders): readonly Claim[] {
  const text = header(headers, "x-goog-hash") ?? "";
  const value = (name: string): string | undefined =>
    new RegExp(`(?:^|,)\\s*${name}=([^,\\s]+)`).exec(text)?.[1];
  return listedClaims(value("md5"), value("crc32c"));
}

/** The MD5 in an entry digest of W&B's older manifests, as hex; undefined for an ETag or a uri. */
export function md5InDigest(entryDigest: string): string | undefined {
  if (!/^[A-Za-z0-9+/]{22}==$/.test(entryDigest)) return undefined;
  return base64ToHex(entryDigest);
}

/**
 * How an answer's bytes differ from the stored ones, as a clause; undefined when they do not. The
 * store unpacks an object that was stored with `Content-Encoding: gzip` for whoever does not accept
 * gzip, and some (a compressed content type besides) whatever was asked.
 */
export function transformationIn(headers: IncomingHttpHeaders): string | undefined {
  const told = header(headers, "x-guploader-response-body-transformations");
  if (told !== undefined && told !== "") return `the store ${told} it on the way`;
  const warned = /\b214 \S+ (g\w+)/.exec(header(headers, "warning") ?? "")?.[1];
  if (warned !== undefined) return `the store ${warned} it on the way`;
  const stored = header(headers, "x-goog-stored-content-encoding");
  const sent = headers["content-encoding"] ?? "identity";
  if (stored !== undefined && stored !== sent) {
    return `it is stored with the encoding ${stored}, but was sent with ${sent}`;
  }
  return undefined;
}

/** Size of the stored object in bytes; undefined when the answer does not tell. */
export function storedLength(headers: IncomingHttpHeaders): number | undefined {
  const text = header(headers, "x-goog-stored-content-length");
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

export function generationIn(headers: IncomingHttpHeaders): string | undefined {
  return header(headers, "x-goog-generation");
}

function header(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name];
  return typeof value === "string" ? value : value?.join(", ");
}
