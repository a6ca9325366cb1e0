// Loads the native addon and types its border: the only file that knows where it is. Everything
// behind it works off the main thread or answers the kernel by itself.

import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import type { DigestAlgorithm, Digests } from "../model/digest.js";
import type { Lane } from "./lane.js";

/** What hashing an object gives. */
export interface Hashes {
  readonly sizeBytes: number;
  /** The algorithms asked for; sha256 is always among them. Lower-case hex. */
  readonly digests: Digests & { readonly sha256: string };
  /** Digests over the digests of the parts: hex, "-" and their number. Only where parts were asked for. */
  readonly composites?: Digests;
  /** SHA-256 of every CHUNK_BYTES, 32 bytes each, the last chunk shorter. */
  readonly chunks: Buffer;
  /** CRC-32C of every BLOCK_BYTES, 4 bytes each, little endian, the last block shorter. */
  readonly blockCrcs: Buffer;
}

export interface HashOptions {
  /** Besides sha256, which is always computed. */
  readonly algorithms?: readonly DigestAlgorithm[];
  readonly parts?: PartOptions;
}

/** The parts that an object was written in, and what to compute over their digests. */
export interface PartOptions {
  /** Any but crc64nvme. */
  readonly algorithms: readonly DigestAlgorithm[];
  /** Bytes of the parts in order, one or more; the last one holds for all that follow. */
  readonly sizes: readonly number[];
  /** Number of parts; the last one takes whatever is left. */
  readonly count: number;
}

/** A new file that is written and hashed in order on the thread pool. */
export interface Sink {
  /** Appends and hashes `bytes`, which must not be changed until the promise settles. One at a time. */
  append(bytes: Uint8Array): Promise<void>;
  /** Closes the file and gives its hashes. The file stays. */
  finish(): Promise<Hashes>;
  /** Closes the file and removes it; safe at any time, also after `finish` (then it does nothing). */
  abort(): void;
}

/** Hashes bytes in order on the thread pool and keeps none of them. */
export interface Hasher {
  /** Hashes `bytes`, which must not be changed until the promise settles. One at a time. */
  append(bytes: Uint8Array): Promise<void>;
  finish(): Promise<Hashes>;
}

/** How a device is mounted. */
export interface AttachOptions {
  /** Shown as the source in `mount` and /proc/self/mountinfo. */
  readonly fsname: string;
  readonly allowOther: boolean;
}

/** State of a session that outlives the worker: see native/state.h. */
export interface SessionOptions {
  /**
   * Descriptors of /dev/fuse, the mount's own first, then its clones: one reading thread each. They
   * and `stateFd` belong to the session from the call of startSession on, also when it throws.
   */
  readonly devices: readonly number[];
  /** The memfd that the holder keeps: INIT reply and io-mode table. Lengthened as needed. */
  readonly stateFd: number;
  /** The compiled inode index. */
  readonly indexPath: string;
  /** The manifest's digest, hex: must be the one in the index. */
  readonly manifestDigest: string;
  readonly io: "cached" | "passthrough";
  /** Owner of every node. */
  readonly uid: number;
  readonly gid: number;
  /** Most blob descriptors this session keeps open. */
  readonly maxOpenBlobs: number;
  /** A reader waits for `node`: exactly one call until `provide` or `fail` for that node. */
  readonly onFill: (node: number) => void;
  /** A read of `node` found its blob damaged; a call of onFill follows. */
  readonly onDamage: (node: number, sha256: string) => void;
  /** The inode index is damaged: something of it was refused with EIO. Called once. */
  readonly onIndexDamage: () => void;
  /** Somebody asks for an extended attribute; answer with `replyXattr(token, …)`. */
  readonly onXattr: (token: number, node: number, name: string) => void;
  /** INIT was answered (or taken over): the mount is readable. */
  readonly onReady: (negotiated: Negotiated) => void;
  /** The file system was unmounted or the session was stopped; called once, last. */
  readonly onEnd: (reason: "unmounted" | "stopped" | "aborted", message: string) => void;
}

export interface Negotiated {
  readonly protocol: string;
  readonly io: "cached" | "passthrough";
  readonly maxReadBytes: number;
  readonly resumed: boolean;
}

export interface ProvidedBlob {
  readonly path: string;
  /** Lower-case hex: names the blob in onDamage. */
  readonly sha256: string;
  readonly sizeBytes: number;
  /** CRC-32C of every BLOCK_BYTES, little endian; null: in the file `${path}.crc`. */
  readonly blockCrcs: Uint8Array | null;
  /** True for a blob that is not in the cache: few are kept open, and it is unlinked by its owner. */
  readonly temporary: boolean;
}

export interface Session {
  /** Gives the checked blob of `node` and answers every parked request. Opens the file at once. */
  provide(node: number, blob: ProvidedBlob): void;
  /** Answers every parked request of `node` with `errno`. */
  fail(node: number, errno: number): void;
  /** `value` null: the attribute does not exist. */
  replyXattr(token: number, value: Uint8Array | null): void;
  /** Forgets the blob with this name (it is being evicted): closes descriptors without users. */
  forget(sha256: string): void;
  /**
   * Begins to stop the threads without unmounting; onEnd follows. Parked requests stay with the kernel
   * for a successor. Afterwards the other methods do nothing, and `stats` gives the last figures.
   */
  stop(): void;
  stats(): SessionStats;
}

export interface SessionStats {
  readonly requests: number;
  readonly reads: number;
  readonly readBytes: number;
  readonly parked: number;
  readonly openBlobs: number;
  readonly damaged: number;
}

export interface Addon {
  /** Makes the file at `path` (0600; 0400 once finished). Throws an Error with `code` (EEXIST, ...). */
  openSink(path: string, options: HashOptions): Sink;
  /** A Sink without a file. */
  openHasher(options: HashOptions): Hasher;
  /** Writes a whole small object and hashes it in one step on the thread pool; the file is new. */
  writeHashed(path: string, parts: readonly Uint8Array[], options: HashOptions): Promise<Hashes>;
  /** Hashes an existing regular file on the thread pool. `onProgress` gets the bytes done so far. */
  hashFile(
    path: string,
    options: HashOptions,
    onProgress?: (doneBytes: number) => void,
  ): Promise<Hashes>;
  /** A lane with `threads` threads, which live as long as the process. */
  openLane(threads: number): Lane;
  /** CRC-32C (Castagnoli) of `bytes`, continuing from `seed`. */
  crc32c(bytes: Uint8Array, seed?: number): number;
  /**
   * Mounts a new FUSE device at `dir`, by mount(2) as root, else through fusermount3, and returns its
   * descriptor. Throws an Error with `code` (EACCES, EPERM, ENOENT for a missing fusermount3, …).
   */
  attach(dir: string, options: AttachOptions): number;
  /** umount2, or fusermount3 -u where that is not permitted. Throws an Error with `code`. */
  detach(dir: string, lazy: boolean): void;
  /** A file in memory that holds `text`, open at its beginning; its descriptor is the caller's. */
  memoryFile(text: string): number;
  /** Closes a raw descriptor. */
  closeFd(fd: number): void;
  /** Connects to a SOCK_SEQPACKET socket of the holder. */
  connectHolder(path: string): HolderLink;
  /** syncfs(2) of the file system that holds `path`, on the thread pool. */
  syncFs(path: string): Promise<void>;
  /** An exclusive flock on `path` (made when missing), kept until closeFd; null when another has it. */
  lockFile(path: string): number | null;
  /**
   * From here on SIGTERM, SIGINT and SIGHUP wait for the program that `exec` makes of this process.
   * Not undone: for a process that ends when that fails.
   */
  holdSignals(): void;
  /**
   * execve: replaces this process by the program at `path`; `args` is what follows argv[0], which is
   * `path`. Besides the standard streams only the descriptors in `keepFds` survive. Returns only by
   * throwing.
   */
  exec(path: string, args: readonly string[], keepFds: readonly number[]): never;
  startSession(options: SessionOptions): Session;
  /** True when this process may set up passthrough on this device (kernel, CAP_SYS_ADMIN). */
  canPassthrough(): boolean;
}

/** One request, one answer; blocking and local, so fast. */
export interface HolderLink {
  /**
   * Sends one message with descriptors, waits for the answer. Received descriptors are CLOEXEC.
   * Throws an Error with `code`: EMSGSIZE (nothing was sent), ECONNRESET (the holder is gone),
   * ETIMEDOUT (it does not answer; the link is closed).
   */
  call(message: string, fds: readonly number[]): { message: string; fds: number[] };
  close(): void;
}

let loaded: Addon | undefined;

/** The addon; loaded on first use, since `--help` and `ls` need none of it. */
export function addon(): Addon {
  loaded ??= createRequire(import.meta.url)("../../native/build/Release/refmount.node") as Addon;
  return loaded;
}

/** The holder executable, built beside the addon. */
export function holderPath(): string {
  return fileURLToPath(new URL("../../native/build/Release/refmount-holder", import.meta.url));
}
