// S3's checksum algorithms, slow and plain: written apart from the ones under test.

import { createHash } from "node:crypto";

export type ChecksumAlgorithm = "SHA256" | "SHA1" | "CRC32" | "CRC32C" | "CRC64NVME";

const POLYNOMIALS_32 = { CRC32: 0xedb88320, CRC32C: 0x82f63b78 } as const;
const POLYNOMIAL_64 = 0x9a6c9329ac4bc9b5n;
const ALL_64 = 0xffffffffffffffffn;

/** The checksum of the concatenated blocks, big endian as S3 writes it. */
export function checksum(algorithm: ChecksumAlgorithm, blocks: Iterable<Uint8Array>): Buffer {
  if (algorithm === "SHA256" || algorithm === "SHA1") {
    const hash = createHash(algorithm.toLowerCase());
    for (const block of blocks) hash.update(block);
    return hash.digest();
  }
  return algorithm === "CRC64NVME" ? crc64(blocks) : crc32(POLYNOMIALS_32[algorithm], blocks);
}

function crc32(polynomial: number, blocks: Iterable<Uint8Array>): Buffer {
  const table = Uint32Array.from({ length: 256 }, (_, byte) => {
    let value = byte;
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ polynomial : value >>> 1;
    return value;
  });
  let crc = 0xffffffff;
  for (const block of blocks) {
    for (const byte of block) crc = (table[(crc ^ byte) & 255] ?? 0) ^ (crc >>> 8);
  }
  const sum = Buffer.alloc(4);
  sum.writeUInt32BE((crc ^ 0xffffffff) >>> 0);
  return sum;
}

const TABLE_64 = Array.from({ length: 256 }, (_, byte) => {
  let value = BigInt(byte);
  for (let bit = 0; bit < 8; bit++)
    value = value & 1n ? (value >> 1n) ^ POLYNOMIAL_64 : value >> 1n;
  return value;
});

function crc64(blocks: Iterable<Uint8Array>): Buffer {
  let crc = ALL_64;
  for (const block of blocks) {
    for (const byte of block)
      crc = (TABLE_64[Number((crc ^ BigInt(byte)) & 255n)] ?? 0n) ^ (crc >> 8n);
  }
  return Buffer.from((crc ^ ALL_64).toString(16).padStart(16, "0"), "hex");
}
