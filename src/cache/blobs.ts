// The folder of blobs: where files are, how they come there whole and how they go. Knows no digest but
// as a name; a file is renamed into place and later unlinked, never written or truncated there.

import { renameSync, promises as fs } from "node:fs";
import { join } from "node:path";
import { BLOCK_BYTES } from "../model/digest.js";
import { codeOf } from "./local-fault.js";

/** Blobs over this size have their block CRCs in a file beside them instead of in the ledger. */
export const SIDECAR_BYTES = 4 * 1_048_576;
const CRC_BYTES = 4;
const NAME = /^[0-9a-f]{64}$/;

export class Blobs {
  readonly #dir: string;
  #sequence = 0;

  private constructor(dir: string) {
    this.#dir = dir;
  }

  /**
   * Makes the folders and removes what writers that are gone have left behind. The caller holds the
   * lock of `dir`.
   */
  static async open(dir: string): Promise<Blobs> {
    const blobs = new Blobs(dir);
    await fs.rm(join(dir, "tmp"), { recursive: true, force: true });
    await blobs.makeFolders();
    return blobs;
  }

  /** Makes the folders that are missing, for this user alone. */
  async makeFolders(): Promise<void> {
    for (const name of ["blobs", "tmp"]) {
      await fs.mkdir(join(this.#dir, name), { recursive: true, mode: 0o700 });
      await fs.chmod(join(this.#dir, name), 0o700);
    }
  }

  pathOf(sha256: string): string {
    return join(this.#dir, "blobs", sha256.slice(0, 2), sha256);
  }

  /** A path for a new temporary file. */
  newPath(): string {
    return join(this.#dir, "tmp", String(++this.#sequence));
  }

  /** Size of the blob's file in bytes; null when there is none to read. */
  async sizeOf(sha256: string): Promise<number | null> {
    return fileSize(this.pathOf(sha256));
  }

  /** True when the file of block CRCs beside a blob of `sizeBytes` is there in full. */
  async hasSidecar(sha256: string, sizeBytes: number): Promise<boolean> {
    return (await fileSize(`${this.pathOf(sha256)}.crc`)) === crcBytes(sizeBytes);
  }

  /**
   * Writes the block CRCs of the file `path` beside it, where its size wants that.
   * @returns What is to be kept in memory and in the ledger: the CRCs, or null.
   */
  async keepCrcs(path: string, sizeBytes: number, crcs: Uint8Array): Promise<Uint8Array | null> {
    if (sizeBytes <= SIDECAR_BYTES) return crcs;
    await fs.writeFile(`${path}.crc`, crcs, { mode: 0o400, flag: "wx" });
    return null;
  }

  /** Renames a checked temporary file, and its block CRCs first, to its place. */
  async publish(path: string, sha256: string, sizeBytes: number): Promise<void> {
    const target = this.pathOf(sha256);
    const rename = async (): Promise<void> => {
      if (sizeBytes > SIDECAR_BYTES) await fs.rename(`${path}.crc`, `${target}.crc`);
      await fs.rename(path, target);
    };
    try {
      await rename();
    } catch (error) {
      if (codeOf(error) !== "ENOENT") throw error;
      await fs.mkdir(join(target, ".."), { recursive: true, mode: 0o700 });
      await rename();
    }
  }

  /** Puts new block CRCs beside a blob that is in place. */
  async replaceSidecar(sha256: string, crcs: Uint8Array): Promise<void> {
    const path = this.newPath();
    await fs.writeFile(path, crcs, { mode: 0o400, flag: "wx" });
    await fs.rename(path, `${this.pathOf(sha256)}.crc`);
  }

  /**
   * Takes a blob away. Its name is free when this returns, so a new blob of that name is never hit by
   * the unlinking, which the promise waits for; who has it open keeps reading.
   */
  discard(sha256: string): Promise<void> {
    const path = this.pathOf(sha256);
    const taken: string[] = [];
    for (const from of [path, `${path}.crc`]) {
      const to = this.newPath();
      try {
        renameSync(from, to);
        taken.push(to);
      } catch {
        // Gone already, or on a disk that fails: then it is found wanting when it is looked at.
      }
    }
    return Promise.all(taken.map(remove)).then(() => undefined);
  }

  /** Removes a temporary file and its block CRCs. */
  async discardTemporary(path: string): Promise<void> {
    await Promise.all([remove(path), remove(`${path}.crc`)]);
  }

  /** Names of the blobs in the folder of `prefix`, two hex digits; removes CRCs without a blob. */
  async list(prefix: string): Promise<string[]> {
    const folder = join(this.#dir, "blobs", prefix);
    const names = await fs.readdir(folder).catch((): string[] => []);
    const blobs = new Set(names.filter((name) => NAME.test(name)));
    for (const name of names) {
      const [blob = "", extension] = name.split(".");
      // A blob that is being published has its CRCs in place a moment earlier; look again.
      if (extension !== "crc" || blobs.has(blob)) continue;
      if ((await this.sizeOf(blob)) === null) await remove(join(folder, name));
    }
    return [...blobs];
  }
}

/** Bytes of the block CRCs of a blob. */
export function crcBytes(sizeBytes: number): number {
  return CRC_BYTES * Math.ceil(sizeBytes / BLOCK_BYTES);
}

async function fileSize(path: string): Promise<number | null> {
  try {
    const stat = await fs.lstat(path);
    return stat.isFile() ? stat.size : null;
  } catch {
    return null;
  }
}

async function remove(path: string): Promise<void> {
  await fs.rm(path, { force: true }).catch(() => undefined);
}
