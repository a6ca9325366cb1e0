// Reads local files, once, to hash them while they are being logged: small ones several at a time,
// since asking costs more than hashing them. Keeps no bytes.

import { availableParallelism } from "node:os";
import { CHUNK_BYTES, type DigestAlgorithm, type Digests } from "../model/digest.js";
import { Fault } from "../model/fault.js";
import type { Hashes } from "../native/addon.js";
import type { HashedFile } from "../native/lane.js";
import { listFault } from "../stores/file-fault.js";
import { fileSystems, REMOTE_AT_ONCE, type FileSystem } from "../stores/file-systems.js";
import { retry } from "../stores/retry.js";
import { RETRY_TIMEOUT_MS } from "../stores/store.js";

export interface Hashed {
  readonly sizeBytes: number;
  readonly digests: Digests;
  /** Null for an object of one chunk. */
  readonly chunks: Uint8Array | null;
}

export interface HashWatch {
  readonly signal: AbortSignal;
  /** Bytes that were read and hashed, not cumulative. */
  readonly onBytes: (bytes: number) => void;
}

export interface LocalFile {
  /** Without symbolic links. */
  readonly path: string;
  readonly uri: string;
  /** As it was listed. */
  readonly sizeBytes: number;
}

/** Files hashed by one call, and their bytes: some milliseconds of work. */
const BATCH_FILES = 32;
const BATCH_BYTES = 8 * CHUNK_BYTES;

/**
 * Hashes a local file: SHA-256 and chunks, which name bytes, and MD5, of which W&B's digest is made.
 * Many may be asked for at once.
 * @throws Fault `drifted` when it changed meanwhile, `unavailable` when its file system is away for a
 * minute, `not-found`, `denied`; the reason of the signal.
 */
export function hashLocalFile(file: LocalFile, watch: HashWatch): Promise<Hashed> {
  const { signal } = watch;
  return retry(() => queueOf(fileSystems.at(file.path)).hash(file, watch), {
    timeoutMs: RETRY_TIMEOUT_MS,
    signal,
  });
}

/** What a manifest keeps of `hashes`: the digests of `algorithms`, and the chunks. */
export function keptHashes(hashes: Hashes, algorithms: readonly DigestAlgorithm[]): Hashed {
  return {
    sizeBytes: hashes.sizeBytes,
    digests: Object.fromEntries(algorithms.map((name) => [name, hashes.digests[name]])),
    chunks: hashes.sizeBytes > CHUNK_BYTES ? hashes.chunks : null,
  };
}

interface Waiting {
  readonly file: LocalFile;
  readonly watch: HashWatch;
  readonly resolve: (hashed: Hashed) => void;
  readonly reject: (error: unknown) => void;
}

/** The files of one file system that wait to be hashed. */
class HashQueue {
  readonly #fileSystem: FileSystem;
  readonly #atOnce: number;
  readonly #waiting: Waiting[] = [];
  #running = 0;

  constructor(fileSystem: FileSystem) {
    this.#fileSystem = fileSystem;
    // A disk of this machine keeps up with its cores; a server's latency is hidden by asking for more.
    this.#atOnce = fileSystem.isLocal ? availableParallelism() : REMOTE_AT_ONCE;
  }

  hash(file: LocalFile, watch: HashWatch): Promise<Hashed> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ file, watch, resolve, reject });
      this.#next();
    });
  }

  #next(): void {
    while (this.#running < this.#atOnce && this.#waiting.length > 0) {
      const batch = this.#take();
      this.#running += 1;
      void this.#hash(batch).finally(() => {
        this.#running -= 1;
        this.#next();
      });
    }
  }

  /** One large file, or small ones that were asked for together. */
  #take(): Waiting[] {
    const signal = this.#waiting[0]?.watch.signal;
    let count = 0;
    let bytes = 0;
    for (const { file, watch } of this.#waiting) {
      bytes += file.sizeBytes;
      const fits = bytes <= BATCH_BYTES && count < BATCH_FILES && watch.signal === signal;
      if (count > 0 && !fits) break;
      count += 1;
    }
    return this.#waiting.splice(0, count);
  }

  async #hash(batch: readonly Waiting[]): Promise<void> {
    try {
      const results = await this.#call(batch);
      for (const [index, { file, watch, resolve, reject }] of batch.entries()) {
        const result = results[index];
        if (result === undefined || result instanceof Error) {
          reject(listFault(result, file.uri));
        } else if (result.changed) {
          reject(changed(file));
        } else {
          if (batch.length > 1) watch.onBytes(result.sizeBytes);
          resolve(toHashed(result));
        }
      }
    } catch (error) {
      for (const { file, reject } of batch) reject(listFault(error, file.uri));
    }
  }

  #call(batch: readonly Waiting[]): Promise<readonly (HashedFile | NodeJS.ErrnoException)[]> {
    const paths = batch.map(({ file }) => file.path);
    const [first] = batch;
    if (first === undefined) return Promise.resolve([]);
    const { signal, onBytes } = first.watch;
    const patience = { timeoutMs: RETRY_TIMEOUT_MS, signal };
    return this.#fileSystem.run(first.file.path, patience, async (lane, progress) => {
      const hashing = lane.hashFiles(paths, (bytes) => {
        progress();
        if (batch.length === 1 && !signal.aborted) onBytes(bytes);
      });
      const cancel = (): void => {
        hashing.cancel();
      };
      signal.addEventListener("abort", cancel);
      return hashing.done.finally(() => {
        signal.removeEventListener("abort", cancel);
      });
    });
  }
}

const queues = new WeakMap<FileSystem, HashQueue>();

function queueOf(fileSystem: FileSystem): HashQueue {
  let queue = queues.get(fileSystem);
  if (queue === undefined) {
    queue = new HashQueue(fileSystem);
    queues.set(fileSystem, queue);
  }
  return queue;
}

function toHashed({ sizeBytes, digests, chunks }: HashedFile): Hashed {
  return { sizeBytes, digests, chunks };
}

function changed({ uri }: LocalFile): Fault {
  return new Fault(
    "drifted",
    `${uri} changed while it was being logged; log it again when nothing writes to it`,
    { subject: uri },
  );
}
