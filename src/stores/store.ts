// What a store is: it lists what a uri names and fetches pinned objects, for one scheme. A store
// checks no bytes and retries nothing: the cache checks, retry.ts retries.

import type { Entry } from "../model/entry.js";
import type { Fetch } from "../model/fetch.js";

/** The caller's environment, passed in: each mount keeps that of the shell that asked for it. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** One object found below a source: an entry that has no path of its own yet. */
export interface Listed extends Pick<
  Entry,
  "sizeBytes" | "entryDigest" | "uri" | "pin" | "claims" | "mtimeMs"
> {
  /**
   * The object's name relative to the source, '/'-separated and raw: the store may hold names that
   * no path can be (`a//b`, `..`). The base name when the source is a single object.
   */
  readonly key: string;
  /** True when the source is this one object, not a prefix or a folder that holds it. */
  readonly single: boolean;
  /**
   * Set for a local file, whose `entryDigest` is then "": the caller reads the file and computes it.
   * Follows no symbolic link by the time it is listed.
   */
  readonly localPath?: string;
  /** Nothing that the store told ties the object to its bytes: whoever logs it reads and hashes it. */
  readonly needsHash?: boolean;
  /** An empty directory, which only stores with real directories have; the other fields say nothing. */
  readonly emptyDirectory?: boolean;
}

/** How one object is looked at; see ListOptions. */
export type StatOptions = Pick<ListOptions, "pinVersion" | "checksum" | "signal" | "onNotice">;

export interface ListOptions {
  /** Refuse (`usage` or `denied`) where objects cannot be pinned by version. */
  readonly pinVersion: boolean;
  /** False: pin nothing and claim nothing; the entry digest comes from the uri alone. */
  readonly checksum: boolean;
  /** More objects than this, empty directories not counted, are a `usage` fault that names --max-objects. */
  readonly maxObjects: number;
  readonly signal: AbortSignal;
  /** Called now and then with the number of objects found so far. */
  readonly onProgress?: (found: number) => void;
  /** Something the user should know although the listing goes on; a sentence. */
  readonly onNotice: (message: string) => void;
}

export interface Store {
  /**
   * Lists what `uri` names: one object, or everything below a prefix, in bounded memory. Ends with
   * `not-found` when there is nothing. It starts no request before it is iterated.
   */
  list(uri: string, options: ListOptions): AsyncIterable<Listed>;
  /**
   * What `uri` names, as one object (`single`) and never as a prefix: as `list` would tell of it.
   * Retries like a listing.
   * @throws Fault `not-found` when there is no such object or version, and whatever `list` throws.
   */
  stat(uri: string, options: StatOptions): Promise<Listed>;
  /** Opens an entry's pinned object, or a range of it, for reading. */
  readonly fetch: Fetch;
  /** Ends idle connections. Transfers in flight go on until they end or are disposed. */
  close(): Promise<void>;
}

/** Limits of a store; the defaults are right outside tests. */
export interface StoreOptions {
  /** Longest wait for a connection to be made. Default 5,000. */
  readonly connectTimeoutMs?: number;
  /** Longest wait without a single byte of progress. Default 20,000. */
  readonly stallTimeoutMs?: number;
  /** How long a listing tries again while the store is unavailable. Default 60,000. */
  readonly retryTimeoutMs?: number;
}

/** The value of a variable; one that is set to nothing counts as not set. */
export function nonEmpty(value: string | undefined): string | undefined {
  return value === undefined || value === "" ? undefined : value;
}

export const CONNECT_TIMEOUT_MS = 5_000;
export const STALL_TIMEOUT_MS = 20_000;
export const RETRY_TIMEOUT_MS = 60_000;

/** The limits of a store for somebody who gives up after `timeoutMs` without progress. */
export function limitsWithin(timeoutMs: number): StoreOptions {
  return {
    connectTimeoutMs: Math.min(CONNECT_TIMEOUT_MS, timeoutMs),
    stallTimeoutMs: Math.min(STALL_TIMEOUT_MS, timeoutMs),
    retryTimeoutMs: Math.min(RETRY_TIMEOUT_MS, timeoutMs),
  };
}
