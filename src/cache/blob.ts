// Blobs as they are handed out: each stays where it is until everybody who got it has disposed it.

import type { Assurance } from "../model/assurance.js";
import type { Shelved } from "./shelf.js";

/** Checked bytes in a local file. Stays where it is until disposed: dispose it once it is open. */
export interface Blob extends Disposable {
  readonly sha256: string;
  readonly sizeBytes: number;
  readonly path: string;
  /** CRC-32C of every BLOCK_BYTES, little endian; null: in the file `${path}.crc`. */
  readonly blockCrcs: Uint8Array | null;
  /** True for a blob outside the cache: unlinked when the last holder disposes it. */
  readonly temporary: boolean;
  /** What was really reached for the entry asked for: an ETag that is no hash gives `pin`. */
  readonly assurance: Assurance;
}

/** Counts who holds what, by name. */
export class Holds {
  readonly #counts = new Map<string, number>();

  has(name: string): boolean {
    return this.#counts.has(name);
  }

  /** @returns Gives the hold back, once; `onLast` follows when it was the last one. */
  take(name: string, onLast?: () => void): () => void {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1);
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      const left = (this.#counts.get(name) ?? 1) - 1;
      if (left > 0) {
        this.#counts.set(name, left);
        return;
      }
      this.#counts.delete(name);
      onLast?.();
    };
  }
}

/** A blob for one holder. */
export function lend(
  shelved: Shelved,
  temporary: boolean,
  assurance: Assurance,
  release: () => void,
): Blob {
  const { sha256, sizeBytes, path, blockCrcs } = shelved;
  return {
    sha256,
    sizeBytes,
    path,
    blockCrcs,
    temporary,
    assurance,
    [Symbol.dispose]: release,
  };
}
