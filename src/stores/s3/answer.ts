// Reads what only S3 says in headers and listings: checksums, encryption. Pure.

import type { IncomingHttpHeaders } from "node:http";
import type { Claim, DigestAlgorithm } from "../../model/digest.js";
import { readChecksum } from "../checksum.js";

/** S3's names of checksum algorithms, as in listings and, in lower case, in headers. */
const ALGORITHMS: Readonly<Record<string, DigestAlgorithm>> = {
  SHA256: "sha256",
  SHA1: "sha1",
  CRC64NVME: "crc64nvme",
  CRC32C: "crc32c",
  CRC32: "crc32",
};

/** Checksums of the whole object among `headers`; those of a multipart object's parts are none. */
export function readClaims(headers: IncomingHttpHeaders): readonly Claim[] {
  if (headers["x-amz-checksum-type"] === "COMPOSITE") return [];
  return Object.entries(ALGORITHMS).flatMap(([name, algorithm]) =>
    readChecksum(algorithm, headers[`x-amz-checksum-${name.toLowerCase()}`]),
  );
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

/** Encrypted with KMS or a customer's key: then the ETag is no hash of the bytes. */
export function isKeyed(headers: IncomingHttpHeaders): boolean {
  const encryption = headers["x-amz-server-side-encryption"];
  return (
    (typeof encryption === "string" && encryption.startsWith("aws:")) ||
    headers["x-amz-server-side-encryption-customer-algorithm"] !== undefined
  );
}
