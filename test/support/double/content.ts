// The bytes of an object of a double: in memory, or made when read. Knows no store and no HTTP.

import { createHash } from "node:crypto";

/** Bytes of an object: in memory, or made when read, for objects bigger than memory. */
export interface Content {
  readonly sizeBytes: number;
  /** At most 1 MiB of the bytes from `start`; not past `end`. */
  read(start: number, end: number): Uint8Array;
}

export function asContent(content: string | Uint8Array | Content): Content {
  if (typeof content === "object" && "read" in content) return content;
  const bytes = typeof content === "string" ? Buffer.from(content) : content;
  return {
    sizeBytes: bytes.length,
    read: (start, end) => bytes.subarray(start, Math.min(end, start + 1_048_576)),
  };
}

/** Reproducible content of any size that takes no memory of its own. */
export function generated(sizeBytes: number, seed = 1): Content {
  const block = Buffer.allocUnsafe(1_048_576);
  let state = seed >>> 0 || 1;
  for (let offset = 0; offset < block.length; offset += 4) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    block.writeUInt32LE(state, offset);
  }
  const twice = Buffer.concat([block, block]);
  return {
    sizeBytes,
    read(start, end) {
      // Every MiB begins elsewhere in the block, so that a MiB in another's place shows.
      const mib = Math.floor(start / block.length);
      const within = start - mib * block.length;
      const from = ((mib * 7_919) % block.length) + within;
      return twice.subarray(from, from + Math.min(end - start, block.length - within));
    },
  };
}

export function* blocks(content: Content, start: number, end: number): Generator<Uint8Array> {
  for (let position = start; position < end;) {
    const block = content.read(position, end);
    yield block;
    position += block.length;
  }
}

/** Of all the bytes. */
export function sha256(content: Content): Buffer {
  const hash = createHash("sha256");
  for (const block of blocks(content, 0, content.sizeBytes)) hash.update(block);
  return hash.digest();
}

/** Of the bytes from `start` to `end`; of all of them unless given. */
export function md5(content: Content, start = 0, end = content.sizeBytes): Buffer {
  const hash = createHash("md5");
  for (const block of blocks(content, start, end)) hash.update(block);
  return hash.digest();
}
