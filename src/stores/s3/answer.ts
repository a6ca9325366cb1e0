// Reads the headers of S3's answers: lengths, ranges, checksums. Pure.

import type { IncomingHttpHeaders } from "node:http";
import type { Claim, DigestAlgorithm } from "../../model/digest.js";
import { base64ToHex } from "../../model/digest.js";
import type { ByteRange } from "../../model/fetch.js";

/** S3's names of checksum algorithms, as in listings and, in lower case, in headers. */
const ALGORITHMS: Readonly<Record<string, DigestAlgorithm>> = {
  SHA256: "sha256",
  SHA1: "sha1",
  CRC64NVME: "crc64nvme",
  CRC32C: "crc32c",
  CRC32: "crc32",
};

const DIGEST_BYTES: Readonly<Record<DigestAlgorithm, number>> = {
  sha256: 32,
  md5: 16,
  sha1: 20,
  crc64nvme: 8,
  crc32c: 4,
  crc32: 4,
};

/** Checksums of the whole object among `headers`; those of a multipart object's parts are none. */
export function readClaims(headers: IncomingHttpHeaders): readonly Claim[] {
  if (headers["x-amz-checksum-type"] === "COMPOSITE") return [];
  return Object.entries(ALGORITHMS).flatMap(([name, algorithm]): Claim[] => {
    const text = headers[`x-amz-checksum-${name.toLowerCase()}`];
    if (typeof text !== "string" || !/^[A-Za-z0-9+/]+={0,2}$/.test(text)) return [];
    const value = base64ToHex(text);
    if (value.length !== DIGEST_BYTES[algorithm] * 2) return [];
    return [{ algorithm, value, source: "checksum" }];
  });
}

/** The claims in a listing's row: an ETag that may be an MD5, and checksums that the GET will tell. */
export function listedClaims(
  etag: string,
  checksumAlgorithms: readonly string[],
  checksumType: string | undefined,
): readonly Claim[] {
  const single = /^[0-9a-f]{32}$/.test(etag);
  const claims: Claim[] = single ? [{ algorithm: "md5", value: etag, source: "etag" }] : [];
  // Servers that do not tell the type have checksums of the whole for single-part objects only.
  if (checksumType === undefined ? !single : checksumType !== "FULL_OBJECT") return claims;
  for (const name of checksumAlgorithms) {
    const algorithm = ALGORITHMS[name];
    if (algorithm !== undefined) claims.push({ algorithm, source: "checksum" });
  }
  return claims;
}

/** Content-Length; undefined when there is none or it is no number. */
export function readLength(headers: IncomingHttpHeaders): number | undefined {
  const text = headers["content-length"];
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/** Content-Range with a known size; undefined for anything else. */
export function readRange(
  headers: IncomingHttpHeaders,
): { range: ByteRange; sizeBytes: number } | undefined {
  const match = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15})$/.exec(headers["content-range"] ?? "");
  if (match === null) return undefined;
  const [start, last, sizeBytes] = match.slice(1).map(Number) as [number, number, number];
  if (last < start || last >= sizeBytes) return undefined;
  return { range: { start, end: last + 1 }, sizeBytes };
}

/** An ETag without its quotes; a weak one keeps its `W/`. */
export function unquote(etag: string): string {
  return etag.replace(/^(W\/)?"(.*)"$/s, "$1$2");
}

/** Encrypted with KMS or a customer's key: then the ETag is no hash of the bytes. */
export function isKeyed(headers: IncomingHttpHeaders): boolean {
  const encryption = headers["x-amz-server-side-encryption"];
  return (
    (typeof encryption === "string" && encryption.startsWith("aws:")) ||
    headers["x-amz-server-side-encryption-customer-algorithm"] !== undefined
  );
}
