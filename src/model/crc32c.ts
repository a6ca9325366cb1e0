// CRC-32C (Castagnoli) in plain TypeScript, for the short records of the inode index. Blobs are
// checked by the addon's hardware version, not by this one.

const POLYNOMIAL_REVERSED = 0x82f63b78;

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL_REVERSED : crc >>> 1;
  return crc >>> 0;
});

/** CRC-32C of `bytes`, continuing from `seed`: crc32c(b, crc32c(a)) is that of a followed by b. */
export function crc32c(bytes: Uint8Array, seed = 0): number {
  let crc = ~seed;
  // By index: iterating takes half as long again.
  for (let at = 0; at < bytes.length; at++) {
    crc = (TABLE[(crc ^ (bytes[at] ?? 0)) & 0xff] ?? 0) ^ (crc >>> 8);
  }
  return ~crc >>> 0;
}
