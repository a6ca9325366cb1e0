// S3's checksum algorithms, slow and plain: written apart from the ones under test.

import { createHash } from "node:crypto";

export type ChecksumAlgorithm = "SHA256" | "SHA1" | "CRC32" | "CRC32C" | "CRC64NVME";

const POLYNOMIALS = {
  CRC32: { bits: 32n, polynomial: 0xedb88320n },
  CRC32C: { bits: 32n, polynomial: 0x82f63b78n },
  CRC64NVME: { bits: 64n, polynomial: 0x9a6c9329ac4bc9b5n },
} as const;

/** The checksum of the concatenated blocks, big endian as S3 writes it. */
export function checksum(algorithm: ChecksumAlgorithm, blocks: Iterable<Uint8Array>): Buffer {
  if (algorithm === "SHA256" || algorithm === "SHA1") {
    const hash = createHash(algorithm.toLowerCase());
    for (const block of blocks) hash.update(block);
    return hash.digest();
  }
  const { bits, polynomial } = POLYNOMIALS[algorithm];
  const table = tableOf(polynomial);
  const ones = (1n << bits) - 1n;
  let crc = ones;
  for (const block of blocks) {
    for (const byte of block)
      crc = (table[Number((crc ^ BigInt(byte)) & 255n)] ?? 0n) ^ (crc >> 8n);
  }
  const hex = (crc ^ ones).toString(16).padStart(Number(bits / 4n), "0");
  return Buffer.from(hex, "hex");
}

const tables = new Map<bigint, readonly bigint[]>();

function tableOf(polynomial: bigint): readonly bigint[] {
  const known = tables.get(polynomial);
  if (known !== undefined) return known;
  const table = Array.from({ length: 256 }, (_, byte) => {
    let value = BigInt(byte);
    for (let bit = 0; bit < 8; bit++) value = value & 1n ? (value >> 1n) ^ polynomial : value >> 1n;
    return value;
  });
  tables.set(polynomial, table);
  return table;
}
