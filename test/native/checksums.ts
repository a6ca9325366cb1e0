// Checksums computed bit by bit from their definitions, to compare the fast ones with.

import { crc32 } from "node:zlib";
import { createHash } from "node:crypto";
import { BLOCK_BYTES, CHUNK_BYTES } from "../../src/model/digest.js";

const TABLE_32C = Uint32Array.from({ length: 256 }, (_, byte) => {
  let residue = byte;
  for (let bit = 0; bit < 8; bit++) {
    residue = (residue & 1) === 1 ? (residue >>> 1) ^ 0x82f63b78 : residue >>> 1;
  }
  return residue >>> 0;
});

export function crc32cOf(bytes: Uint8Array): number {
  let state = 0xffffffff;
  for (const byte of bytes) state = (state >>> 8) ^ (TABLE_32C[(state ^ byte) & 0xff] ?? 0);
  return (state ^ 0xffffffff) >>> 0;
}

const POLYNOMIAL_64 = 0x9a6c9329ac4bc9b5n;
const ALL_64 = 0xffffffffffffffffn;
const TABLE_64 = Array.from({ length: 256 }, (_, byte) => {
  let residue = BigInt(byte);
  for (let bit = 0; bit < 8; bit++) {
    residue = (residue & 1n) === 1n ? (residue >> 1n) ^ POLYNOMIAL_64 : residue >> 1n;
  }
  return residue;
});

export function crc64NvmeOf(bytes: Uint8Array): string {
  let state = ALL_64;
  for (const byte of bytes) {
    state = (state >> 8n) ^ (TABLE_64[Number(state & 0xffn) ^ byte] ?? 0n);
  }
  return (state ^ ALL_64).toString(16).padStart(16, "0");
}

export function hex32(word: number): string {
  return word.toString(16).padStart(8, "0");
}

/** Everything that the addon computes over `bytes`, computed otherwise. */
export function expectedHashes(bytes: Buffer) {
  const hash = (algorithm: string, part: Buffer = bytes) =>
    createHash(algorithm).update(part).digest();
  const blocks = Buffer.alloc(4 * Math.ceil(bytes.length / BLOCK_BYTES));
  pieces(bytes, BLOCK_BYTES).forEach((block, i) => blocks.writeUInt32LE(crc32cOf(block), 4 * i));
  return {
    sizeBytes: bytes.length,
    digests: {
      sha256: hash("sha256").toString("hex"),
      md5: hash("md5").toString("hex"),
      sha1: hash("sha1").toString("hex"),
      crc64nvme: crc64NvmeOf(bytes),
      crc32c: hex32(crc32cOf(bytes)),
      crc32: hex32(crc32(bytes)),
    },
    chunks: Buffer.concat(pieces(bytes, CHUNK_BYTES).map((chunk) => hash("sha256", chunk))),
    blockCrcs: blocks,
  };
}

function pieces(bytes: Buffer, size: number): Buffer[] {
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
    bytes.subarray(i * size, (i + 1) * size),
  );
}
