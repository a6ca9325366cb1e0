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

/** Asks for the values of an object's checksums. */
export const CHECKSUM_MODE = { "x-amz-checksum-mode": "ENABLED" } as const;

/** The checksums among `headers`: of the whole object, or over the checksums of its parts. */
export function readClaims(headers: IncomingHttpHeaders): readonly Claim[] {
  return Object.entries(ALGORITHMS).flatMap(([name, algorithm]): readonly Claim[] => {
    const text = headers[`x-amz-checksum-${name.toLowerCase()}`];
    const match = /^([A-Za-z0-9+/]+={0,2})(-\d{1,5})?$/.exec(typeof text === "string" ? text : "");
    if (match === null) return [];
    const [, base64 = "", count] = match;
    const claims = readChecksum(algorithm, base64);
    if (count === undefined) {
      // Without the number of parts it may be the checksum of one of them.
      return headers["x-amz-checksum-type"] === "COMPOSITE" ? [] : claims;
    }
    return claims.map((claim) => ({
      ...claim,
      value: `${claim.value ?? ""}${count}`,
      ofParts: true,
    }));
  });
}

/** What an ETag says of the bytes, if it is made of MD5 at all. */
export function etagClaims(etag: string): readonly Claim[] {
  const match = /^[0-9a-f]{32}(-[1-9]\d{0,4})?$/.exec(etag);
  if (match === null) return [];
  const claim = { algorithm: "md5", value: etag, source: "etag" } as const;
  return [match[1] === undefined ? claim : { ...claim, ofParts: true }];
}

/** What a listing's row claims: by its ETag, and by checksums whose values the GET will tell. */
export function listedClaims(
  etag: string,
  checksumAlgorithms: readonly string[],
  checksumType: string | undefined,
): readonly Claim[] {
  const ofEtag = etagClaims(etag);
  // Servers that do not tell the type compose the checksums of multipart objects.
  const composite =
    checksumType === undefined ? !/^[0-9a-f]{32}$/.test(etag) : checksumType !== "FULL_OBJECT";
  const checksums = checksumAlgorithms.flatMap((name): Claim[] => {
    const algorithm = ALGORITHMS[name];
    if (algorithm === undefined) return [];
    if (!composite) return [{ algorithm, source: "checksum" }];
    return algorithm === "crc64nvme" ? [] : [{ algorithm, source: "checksum", ofParts: true }];
  });
  return [...ofEtag, ...checksums];
}

/** Encrypted with KMS or a customer's key: then the ETag is no hash of the bytes. */
export function isKeyed(headers: IncomingHttpHeaders): boolean {
  const encryption = headers["x-amz-server-side-encryption"];
  return (
    (typeof encryption === "string" && encryption.startsWith("aws:")) ||
    headers["x-amz-server-side-encryption-customer-algorithm"] !== undefined
  );
}
