// A checksum as HTTP headers tell it: base64 of as many bytes as its algorithm has. Pure.

import type { Claim, DigestAlgorithm } from "../model/digest.js";
import { base64ToHex } from "../model/digest.js";

const DIGEST_BYTES: Readonly<Record<DigestAlgorithm, number>> = {
  sha256: 32,
  md5: 16,
  sha1: 20,
  crc64nvme: 8,
  crc32c: 4,
  crc32: 4,
};

/** The claim in a header's value, or none when it cannot be one of that algorithm. */
export function readChecksum(algorithm: DigestAlgorithm, base64: unknown): readonly Claim[] {
  if (typeof base64 !== "string" || !/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) return [];
  const value = base64ToHex(base64);
  if (value.length !== DIGEST_BYTES[algorithm] * 2) return [];
  return [{ algorithm, value, source: "checksum" }];
}
