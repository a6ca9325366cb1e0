// The blobs on disk together with what the ledger knows of them: finds, re-hashes, publishes and
// drops. Fetches nothing and decides nothing about room.

import { addon } from "../native/addon.js";
import { crcBytes, SIDECAR_BYTES, type Blobs } from "./blobs.js";
import type { Ledger } from "./ledger.js";
import type { Received } from "./receive.js";

/** Checked bytes in a local file. */
export interface Shelved {
  readonly sha256: string;
  readonly sizeBytes: number;
  readonly path: string;
  /** Null: in the file `${path}.crc`. */
  readonly blockCrcs: Uint8Array | null;
}

export interface ShelfOptions {
  readonly blobs: Blobs;
  readonly ledger: Ledger;
  readonly onEvict: (sha256: string) => void;
  readonly log: (line: string) => void;
}

export class Shelf {
  readonly #blobs: Blobs;
  readonly #ledger: Ledger;
  readonly #options: ShelfOptions;

  constructor(options: ShelfOptions) {
    this.#options = options;
    this.#blobs = options.blobs;
    this.#ledger = options.ledger;
  }

  /**
   * Looks for a blob: its file must be there, in full. `trusted` false: it must be re-hashed before
   * anybody reads it. What is not whole is dropped.
   */
  async find(sha256: string): Promise<(Shelved & { readonly trusted: boolean }) | null> {
    const row = this.#ledger.get(sha256);
    const sizeBytes = await this.#blobs.sizeOf(sha256);
    if (sizeBytes === null) {
      // A row whose file is gone; unless the row is another by now, of a blob that just came.
      if (row !== null && this.#ledger.get(sha256)?.used === row.used) await this.drop(sha256);
      return null;
    }
    const path = this.#blobs.pathOf(sha256);
    if (row === null) return { sha256, sizeBytes, path, blockCrcs: null, trusted: false };
    if (row.sizeBytes !== sizeBytes) {
      this.#options.log(`blob ${sha256} has ${sizeBytes} of ${row.sizeBytes} bytes: dropped`);
      await this.drop(sha256);
      return null;
    }
    const { blockCrcs } = row;
    const whole =
      blockCrcs === null
        ? sizeBytes > SIDECAR_BYTES && (await this.#blobs.hasSidecar(sha256, sizeBytes))
        : blockCrcs.length === crcBytes(sizeBytes);
    return { sha256, sizeBytes, path, blockCrcs, trusted: row.trusted && whole };
  }

  /** Hashes a blob on disk and knows it from then on; a bad one is dropped, and null. */
  async rehash(sha256: string): Promise<Shelved | null> {
    const path = this.#blobs.pathOf(sha256);
    try {
      const { digests, sizeBytes, blockCrcs } = await addon().hashFile(path, {});
      if (digests.sha256 === sha256) {
        const inLedger = sizeBytes <= SIDECAR_BYTES ? blockCrcs : null;
        if (inLedger === null) await this.#blobs.replaceSidecar(sha256, blockCrcs);
        this.#ledger.put(sha256, sizeBytes, inLedger, true);
        return { sha256, sizeBytes, path, blockCrcs: inLedger };
      }
      this.#options.log(`blob ${sha256} was damaged on disk: dropped`);
    } catch (error) {
      this.#options.log(`blob ${sha256} cannot be read: dropped (${String(error)})`);
    }
    await this.drop(sha256);
    return null;
  }

  /** Makes the file at `path`, just received, the blob of its digest. */
  async publish(path: string, received: Received): Promise<Shelved> {
    const { sha256, sizeBytes, hashes } = received;
    const present = await this.find(sha256);
    if (present?.trusted === true) {
      await this.#blobs.discardTemporary(path);
      return present;
    }
    const blockCrcs = await this.#blobs.keepCrcs(path, sizeBytes, hashes.blockCrcs);
    await this.#blobs.publish(path, sha256, sizeBytes);
    this.#ledger.put(sha256, sizeBytes, blockCrcs, true);
    return { sha256, sizeBytes, path: this.#blobs.pathOf(sha256), blockCrcs };
  }

  /** Takes a blob out of the ledger at once and off the disk by the time the promise settles. */
  drop(sha256: string): Promise<void> {
    this.#options.onEvict(sha256);
    this.#ledger.remove(sha256);
    return this.#blobs.discard(sha256);
  }

  /**
   * Makes ledger and folder agree: blobs that the ledger does not know are entered, to be re-hashed
   * on first use; rows without a blob are removed.
   */
  async scan(signal: AbortSignal): Promise<void> {
    for (let number = 0; number < 256; number++) {
      const prefix = number.toString(16).padStart(2, "0");
      const known = new Set(this.#ledger.withPrefix(prefix));
      const found = new Set(await this.#blobs.list(prefix));
      for (const sha256 of found) {
        if (signal.aborted) return;
        if (known.has(sha256)) continue;
        const sizeBytes = await this.#blobs.sizeOf(sha256);
        // Published or evicted since the folder was read, perhaps.
        if (sizeBytes !== null && this.#ledger.get(sha256) === null) {
          this.#ledger.put(sha256, sizeBytes, null, false);
        }
      }
      for (const sha256 of known) {
        if (found.has(sha256) || (await this.#blobs.sizeOf(sha256)) !== null) continue;
        this.#ledger.remove(sha256);
      }
    }
    if (!signal.aborted) this.#ledger.markScanned();
  }
}
