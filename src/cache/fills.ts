// One fill at a time, from beginning to end: the blob on disk, re-hashed where that is due, or else a
// fetch into a new file that is published or, without room, lent as it is. Joins nobody.

import { setMaxListeners } from "node:events";
import type { Assurance } from "../model/assurance.js";
import type { Entry } from "../model/entry.js";
import { Fault } from "../model/fault.js";
import type { Fetch } from "../model/fetch.js";
import { Holds } from "./blob.js";
import type { Blobs } from "./blobs.js";
import { Budget, type Release } from "../model/budget.js";
import { codeOf, localFault } from "./local-fault.js";
import type { Room } from "./lru.js";
import type { Observed, Sighting } from "./observed.js";
import { LARGE_BYTES, receive, type Received } from "./receive.js";
import type { Shelf, Shelved } from "./shelf.js";
import { proven } from "./verify.js";

/** Evicted at least, when the disk is full in the middle of a fetch. */
const FULL_EVICT_BYTES = 64 * 1_048_576;
/** Each mount keeps 16 of them open. */
const MOST_LENT = 1024;

export interface FillOptions {
  /** Opens the object; retries the opening by itself. */
  readonly fetch: Fetch;
  /** A transfer without progress for this long is given up, milliseconds. */
  readonly timeoutMs: number;
  /** Re-hash a blob that is there, because nobody will check it while reading (passthrough). */
  readonly rehash?: boolean;
}

/** A fetch under way. */
export interface FetchInFlight {
  readonly uri: string;
  readonly path: string;
  readonly sizeBytes: number | null;
  readonly doneBytes: number;
  /** Milliseconds since 1970. */
  readonly startedMs: number;
}

/** The blob an entry is known to be, and how sure that is. */
export interface Known {
  readonly sha256: string;
  readonly assurance: Assurance;
}

/** What a fill brings home. */
export interface Landed {
  readonly shelved: Shelved;
  readonly temporary: boolean;
  /** For the entry that was asked for. */
  readonly assurance: Assurance;
  /** Null for a blob that was there. */
  readonly sighting: Sighting | null;
  /** The bytes were hashed for this fill. */
  readonly hashed: boolean;
  /** The fill's own hold: the blob stays until it and every other is released. */
  readonly release: Release;
}

export interface FillsOptions {
  readonly blobs: Blobs;
  readonly shelf: Shelf;
  readonly room: Room;
  readonly holds: Holds;
  readonly observed: Observed;
  readonly smallFills: number;
  readonly largeFills: number;
  /** Whoever has the blob open shall let it go. */
  readonly onEvict: (sha256: string) => void;
  /** Ends every fill. */
  readonly signal: AbortSignal;
  /** Takes work that no caller waits for. */
  readonly chore: (work: Promise<void>) => void;
}

/** The places of one mount, kept while it fills something. */
interface Places {
  readonly small: Budget;
  readonly large: Budget;
  users: number;
}

export class Fills {
  readonly #parts: FillsOptions;
  readonly #places = new Map<string, Places>();
  readonly #fetches = new Set<FetchInFlight>();
  /** Temporary blobs that readers may still have open, the newest last. */
  readonly #lent = new Set<string>();
  #misses = 0;

  constructor(parts: FillsOptions) {
    this.#parts = parts;
    // Every fill that waits for its turn listens.
    setMaxListeners(0, parts.signal);
  }

  /** Fetches begun so far. */
  get misses(): number {
    return this.#misses;
  }

  get fetches(): readonly FetchInFlight[] {
    return [...this.#fetches].map((fetch) => ({ ...fetch }));
  }

  /** The blob that holds the bytes of `entry`, if that is known without fetching. */
  known(entry: Entry, scope: string): Known | null {
    const { sha256 } = entry.digests;
    if (sha256 !== undefined) return { sha256, assurance: "content" };
    const sighting = this.#parts.observed.find(entry, scope);
    const assurance = sighting === null ? null : proven(entry, sighting);
    if (sighting === null || assurance === null) return null;
    return { sha256: sighting.sha256, assurance };
  }

  /** Fills `entry`, whose blob is `known` or not. */
  async fill(
    entry: Entry,
    options: FillOptions,
    scope: string,
    known: Known | null,
  ): Promise<Landed> {
    this.#parts.signal.throwIfAborted();
    if (known === null) return this.#inTurn(entry, scope, () => this.#fetch(entry, options, scope));
    // From the first look on: what is looked at is not evicted.
    const release = this.#parts.holds.take(known.sha256);
    try {
      const found = await this.#parts.shelf.find(known.sha256);
      // A manifest row that contradicts itself is for `receive` to refuse.
      const fits = entry.sizeBytes === null || entry.sizeBytes === found?.sizeBytes;
      const usable = fits ? found : null;
      if (usable?.trusted === true && options.rehash !== true) {
        return present(usable, known, false, release);
      }
      return await this.#inTurn(entry, scope, async () => {
        const rehashed = usable === null ? null : await this.#parts.shelf.rehash(known.sha256);
        if (rehashed !== null) return present(rehashed, known, true, release);
        const landed = await this.#fetch(entry, options, scope);
        release();
        return landed;
      });
    } catch (error) {
      release();
      throw error;
    }
  }

  /** One more hold on what landed. */
  hold(landed: Landed): Release {
    const { shelved, temporary } = landed;
    if (!temporary) return this.#parts.holds.take(shelved.sha256);
    return this.#parts.holds.take(shelved.path, () => {
      this.#parts.chore(this.#parts.blobs.discardTemporary(shelved.path));
    });
  }

  /**
   * Runs `work` when there is a place: small objects never wait for large ones, nor a mount for the
   * store of another one.
   */
  async #inTurn<T>(entry: Entry, scope: string, work: () => Promise<T>): Promise<T> {
    const places = this.#placesOf(scope);
    places.users++;
    try {
      const size = (entry.sizeBytes ?? 0) > LARGE_BYTES ? places.large : places.small;
      const leave = await size.acquire(1, this.#parts.signal);
      try {
        return await work();
      } finally {
        leave();
      }
    } finally {
      places.users--;
      if (places.users === 0) this.#places.delete(scope);
    }
  }

  #placesOf(scope: string): Places {
    const { smallFills, largeFills } = this.#parts;
    const places = this.#places.get(scope) ?? {
      small: new Budget(smallFills),
      large: new Budget(largeFills),
      users: 0,
    };
    this.#places.set(scope, places);
    return places;
  }

  async #fetch(entry: Entry, options: FillOptions, scope: string): Promise<Landed> {
    const { uri, path, sizeBytes } = entry;
    const progress = { uri, path, sizeBytes, doneBytes: 0, startedMs: Date.now() };
    const onProgress = (doneBytes: number): void => {
      progress.doneBytes = doneBytes;
    };
    this.#misses++;
    this.#fetches.add(progress);
    try {
      return await this.#fetchOnce(entry, options, scope, onProgress);
    } catch (error) {
      if (!(await this.#remedied(error, sizeBytes ?? 0))) throw error;
      return await this.#fetchOnce(entry, options, scope, onProgress);
    } finally {
      this.#fetches.delete(progress);
    }
  }

  async #fetchOnce(
    entry: Entry,
    options: FillOptions,
    scope: string,
    onProgress: (doneBytes: number) => void,
  ): Promise<Landed> {
    const { blobs, observed, room, signal } = this.#parts;
    const { fetch, timeoutMs } = options;
    const path = blobs.newPath();
    let reserved: Release | null = null;
    try {
      if (entry.sizeBytes !== null) reserved = await room.reserve(entry.sizeBytes);
      const receiving = { observed, scope, timeoutMs, signal, onProgress };
      const received = await receive(entry, fetch, path, receiving);
      if (entry.sizeBytes === null) reserved = await room.reserve(received.sizeBytes);
      return reserved === null
        ? await this.#lendTemporary(path, received)
        : await this.#publish(path, received);
    } catch (error) {
      await blobs.discardTemporary(path);
      throw localFault(error, path);
    } finally {
      reserved?.();
    }
  }

  async #publish(path: string, received: Received): Promise<Landed> {
    const { assurance, sighting } = received;
    const release = this.#parts.holds.take(received.sha256);
    try {
      const shelved = await this.#parts.shelf.publish(path, received);
      return { shelved, temporary: false, assurance, sighting, hashed: true, release };
    } catch (error) {
      release();
      throw error;
    }
  }

  async #lendTemporary(path: string, received: Received): Promise<Landed> {
    const { sha256, sizeBytes, hashes, assurance, sighting } = received;
    const blockCrcs = await this.#parts.blobs.keepCrcs(path, sizeBytes, hashes.blockCrcs);
    this.#remember(sha256);
    const shelved = { sha256, sizeBytes, path, blockCrcs };
    const landed = { shelved, temporary: true, assurance, sighting, hashed: true };
    return { ...landed, release: this.hold({ ...landed, release: () => undefined }) };
  }

  #remember(sha256: string): void {
    this.#lent.delete(sha256);
    this.#lent.add(sha256);
    if (this.#lent.size <= MOST_LENT) return;
    const [oldest] = this.#lent;
    if (oldest !== undefined) this.#lent.delete(oldest);
  }

  /** A temporary blob keeps its space as long as a mount has it open. */
  #takeBackLent(): boolean {
    if (this.#lent.size === 0) return false;
    for (const sha256 of this.#lent) this.#parts.onEvict(sha256);
    this.#lent.clear();
    return true;
  }

  /** True when what stopped a fetch has been put right, so that it is worth another try. */
  async #remedied(error: unknown, sizeBytes: number): Promise<boolean> {
    if (error instanceof Fault) {
      if (error.kind !== "full") return false;
      const freedBytes = await this.#parts.room.evict(Math.max(sizeBytes, FULL_EVICT_BYTES));
      return freedBytes > 0 || this.#takeBackLent();
    }
    if (codeOf(error) !== "ENOENT") return false;
    // Somebody removed the folder under us: every blob is a miss now, which is no error.
    await this.#parts.blobs.makeFolders();
    return true;
  }
}

function present(shelved: Shelved, known: Known, hashed: boolean, release: Release): Landed {
  const { assurance } = known;
  return { shelved, temporary: false, assurance, sighting: null, hashed, release };
}
