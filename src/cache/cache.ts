// The cache of one folder, whole: joins equal fills, keeps what live mounts use, opens and closes in
// order. What one fill does is in fills.ts.

import { randomUUID } from "node:crypto";
import { promises as fs, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Assurance } from "../model/assurance.js";
import type { Entry } from "../model/entry.js";
import { Fault } from "../model/fault.js";
import { encodePin } from "../model/pin.js";
import { addon } from "../native/addon.js";
import { Holds, lend, type Blob } from "./blob.js";
import { Blobs } from "./blobs.js";
import type { Release } from "../model/budget.js";
import { Fills, type FetchInFlight, type FillOptions, type Known, type Landed } from "./fills.js";
import { Ledger } from "./ledger.js";
import { codeOf, localFault } from "./local-fault.js";
import { takeLock } from "./lock.js";
import { Room } from "./lru.js";
import { Observed, sightingKey } from "./observed.js";
import { Shelf } from "./shelf.js";
import { proven } from "./verify.js";

export type { Blob } from "./blob.js";
export type { FetchInFlight, FillOptions } from "./fills.js";

const SMALL_FILLS = 32;
const LARGE_FILLS = 4;
/** The use of a fill that no mount asked for. */
const NO_USE = 0;

export interface CacheOptions {
  /** The cache folder: made when missing, owned by one Cache at a time. */
  readonly dir: string;
  /** Quota for blobs, bytes; null: 80 % of what is free now plus what the cache already uses. */
  readonly limitBytes: number | null;
  /** Free disk space that the cache leaves; null: 5 % of the disk or 1 GiB, whichever is less. */
  readonly floorBytes: number | null;
  /** A blob is about to be unlinked: close what nobody needs, and do not open it by path again. */
  readonly onEvict: (sha256: string) => void;
  /** One line for the daemon's log. */
  readonly log: (line: string) => void;
  /** Most objects up to 16 MiB that one use fetches or re-hashes at once; 32 unless given. */
  readonly smallFills?: number;
  /** The same for larger objects; 4 unless given. */
  readonly largeFills?: number;
}

/** One mount's use of the cache: what it used is not evicted for other objects of live mounts. */
export interface CacheUse extends Disposable {
  fill(entry: Entry, options: FillOptions): Promise<Blob>;
  /** The blob that holds the bytes of `entry` and how sure that is; null before the first fetch. */
  known(entry: Entry): Known | null;
}

export interface CacheStats {
  readonly usedBytes: number;
  readonly limitBytes: number;
  /** Fills that needed no fetch of their own. */
  readonly hits: number;
  /** Fetches begun. */
  readonly misses: number;
  readonly fetches: readonly FetchInFlight[];
}

/** A fill that others may join. */
interface Flight {
  readonly entry: Entry;
  readonly options: FillOptions;
  waiters: number;
  /** With one hold for each waiter. */
  readonly landed: Promise<Landed & { readonly holds: Release[] }>;
}

interface Parts {
  readonly lock: Disposable;
  readonly ledger: Ledger;
  readonly blobs: Blobs;
  readonly shelf: Shelf;
  readonly room: Room;
  readonly holds: Holds;
  readonly observed: Observed;
}

export class Cache implements AsyncDisposable {
  /** What was learnt at first sight; also for `receive`. */
  readonly observed: Observed;
  readonly #options: CacheOptions;
  readonly #parts: Parts;
  readonly #fills: Fills;
  readonly #closing = new AbortController();
  readonly #flights = new Map<string, Flight>();
  /** Work that no caller waits for. */
  readonly #chores = new Set<Promise<void>>();
  #hits = 0;
  #closed: Promise<void> | null = null;

  private constructor(options: CacheOptions, parts: Parts) {
    this.#options = options;
    this.#parts = parts;
    this.observed = parts.observed;
    this.#fills = new Fills({
      ...parts,
      onEvict: options.onEvict,
      smallFills: options.smallFills ?? SMALL_FILLS,
      largeFills: options.largeFills ?? LARGE_FILLS,
      signal: this.#closing.signal,
      chore: (work) => {
        this.#chore(work);
      },
    });
    parts.ledger.onLost = () => {
      this.#chore(this.#scan());
    };
    if (!parts.ledger.scanned) parts.ledger.onLost();
  }

  /**
   * Opens the cache in `options.dir`, makes it when it is missing, and removes what a process that is
   * gone has left half done.
   * @throws Fault `busy` when another process owns the folder, `denied` when it cannot be written.
   */
  static async open(options: CacheOptions): Promise<Cache> {
    try {
      return new Cache(options, await openParts(options));
    } catch (error) {
      throw localFault(error, options.dir);
    }
  }

  /**
   * Makes sure the bytes of `entry` are present and checked. Joins an equal fill that is under way;
   * goes on, once begun, whoever asked.
   * @throws Fault whatever `receive` throws; `full` only when even a temporary file has no room.
   */
  fill(entry: Entry, options: FillOptions): Promise<Blob> {
    return this.#fill(entry, options, NO_USE, "");
  }

  /**
   * Begins a use, one per mount.
   * @param scope Names the mount over restarts of this process: what an entry without a pin was at
   * its first read, it stays within it, until the use is disposed.
   */
  openUse(scope: string = randomUUID()): CacheUse {
    const { ledger } = this.#parts;
    const use = ledger.openUse();
    return {
      fill: (entry, options) => this.#fill(entry, options, use, scope),
      known: (entry) => (this.#closed === null ? this.#fills.known(entry, scope) : null),
      [Symbol.dispose]: () => {
        if (this.#closed !== null) return;
        ledger.releaseUse(use);
        this.#chore(this.observed.forgetScope(scope));
      },
    };
  }

  /** The blob was found damaged by a reader: drops it, so that the next fill fetches anew. */
  damaged(sha256: string): void {
    if (this.#closed !== null) return;
    this.#options.log(`blob ${sha256} was found damaged while reading: dropped`);
    this.#chore(this.#parts.shelf.drop(sha256));
  }

  /** @param limitBytes Null: 80 % of what is free now plus what the cache uses. */
  async setLimit(limitBytes: number | null): Promise<void> {
    await this.#parts.room.setLimit(limitBytes);
  }

  stats(): CacheStats {
    const { ledger, room } = this.#parts;
    return {
      usedBytes: ledger.usedBytes,
      limitBytes: room.limitBytes,
      hits: this.#hits,
      misses: this.#fills.misses,
      fetches: this.#fills.fetches,
    };
  }

  /** Settles when the cache does nothing by itself any more: scans, evictions, unlinking. */
  async idle(): Promise<void> {
    while (this.#chores.size > 0) await Promise.all(this.#chores);
    await this.#parts.room.settled();
  }

  /** Ends the fills under way, records an orderly stop and lets go of the folder. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    const { ledger, lock, observed } = this.#parts;
    this.#closing.abort(new Fault("unavailable", "The cache is being closed"));
    await Promise.allSettled([...this.#flights.values()].map((flight) => flight.landed));
    await this.idle();
    ledger.markStopped("closed");
    try {
      await addon().syncFs(this.#options.dir);
      ledger.markStopped("synced");
    } catch (error) {
      this.#options.log(`the cache could not be synced to disk: ${String(error)}`);
    }
    ledger[Symbol.dispose]();
    observed[Symbol.dispose]();
    lock[Symbol.dispose]();
  }

  async #fill(entry: Entry, options: FillOptions, use: number, scope: string): Promise<Blob> {
    for (;;) {
      this.#closing.signal.throwIfAborted();
      const known = this.#fills.known(entry, scope);
      const key = known?.sha256 ?? flightKey(entry, scope);
      const joined = this.#flights.get(key);
      const flight = joined ?? this.#start(key, entry, options, scope, known);
      flight.waiters++;
      let landed;
      try {
        landed = await flight.landed;
      } catch (error) {
        // Another source of the same bytes, or other credentials, may do better.
        if (joined !== undefined && differs(flight, entry, options, error)) continue;
        throw error;
      }
      const release = landed.holds.pop();
      const assurance = joined === undefined ? landed.assurance : suits(entry, landed, known);
      const checked = options.rehash !== true || landed.hashed;
      if (release === undefined || assurance === null || !checked) {
        // What the other one got is not enough for this entry, so ask for this one.
        release?.();
        continue;
      }
      if (joined !== undefined || landed.sighting === null) this.#hits++;
      const { shelved, temporary } = landed;
      if (!temporary) this.#parts.ledger.touch(shelved.sha256, use);
      return lend(shelved, temporary, assurance, release);
    }
  }

  #start(
    key: string,
    entry: Entry,
    options: FillOptions,
    scope: string,
    known: Known | null,
  ): Flight {
    const flight: Flight = {
      entry,
      options,
      waiters: 0,
      landed: this.#fills
        .fill(entry, options, scope, known)
        .finally(() => this.#flights.delete(key))
        .then((landed) => {
          // Held for every waiter before the fill's own hold ends: nothing evicts it in between.
          const holds = Array.from({ length: flight.waiters }, () => this.#fills.hold(landed));
          landed.release();
          return { ...landed, holds };
        }),
    };
    this.#flights.set(key, flight);
    return flight;
  }

  async #scan(): Promise<void> {
    await this.#parts.shelf.scan(this.#closing.signal);
    await this.#parts.room.scanned();
  }

  #chore(work: Promise<void>): void {
    const chore = work
      .catch((error: unknown) => {
        this.#options.log(`the cache could not tidy up: ${String(error)}`);
      })
      .finally(() => {
        this.#chores.delete(chore);
      });
    this.#chores.add(chore);
  }
}

async function openParts(options: CacheOptions): Promise<Parts> {
  const { dir, log, onEvict, limitBytes, floorBytes } = options;
  await makeFolder(dir);
  const lock = takeLock(dir, join(dir, "lock"));
  try {
    const blobs = await Blobs.open(dir);
    const holds = new Holds();
    const ledger = Ledger.open({ path: join(dir, "ledger.sqlite"), bootId: bootId(), log });
    const shelf = new Shelf({ blobs, ledger, onEvict, log });
    const isHeld = (sha256: string): boolean => holds.has(sha256);
    const room = await Room.open({ dir, ledger, shelf, limitBytes, floorBytes, isHeld });
    const observed = Observed.open(join(dir, "observed.sqlite"), log);
    return { lock, ledger, blobs, shelf, room, holds, observed };
  } catch (error) {
    lock[Symbol.dispose]();
    throw error;
  }
}

async function makeFolder(dir: string): Promise<void> {
  try {
    await fs.mkdir(dir, { recursive: true, mode: 0o700 });
  } catch (error) {
    if (codeOf(error) !== "ENOENT") throw error;
    // What Node makes of a read-only file system when it makes folders recursively.
    const message = `Cannot make the cache folder ${dir}: make a folder above it writable for this user`;
    throw new Fault("denied", message, { subject: dir, cause: error });
  }
}

/** Identifies the running kernel; something that is never equal where there is none to read. */
function bootId(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch {
    return randomUUID();
  }
}

/** Entries of one key are the same object, so one fetch does for all. */
function flightKey(entry: Entry, scope: string): string {
  const key = sightingKey(entry, scope)?.toString("hex");
  return key === undefined ? `unpinned ${entry.uri}` : `object ${key}`;
}

/** The assurance that what another entry's fill brought gives to `entry`; null: none, or too little. */
function suits(entry: Entry, landed: Landed, known: Known | null): Assurance | null {
  const { shelved, sighting } = landed;
  if (entry.sizeBytes !== null && entry.sizeBytes !== shelved.sizeBytes) return null;
  if (known !== null) return known.sha256 === shelved.sha256 ? known.assurance : null;
  return sighting === null ? null : proven(entry, sighting);
}

/**
 * True when the fill that failed with `error` was not the one that `entry` and `options` would be: of
 * another object, or from another store or with other credentials, which speak for themselves only.
 */
function differs(flight: Flight, entry: Entry, options: FillOptions, error: unknown): boolean {
  if (flight.entry.uri !== entry.uri) return true;
  if (encodePin(flight.entry.pin) !== encodePin(entry.pin)) return true;
  return error instanceof Fault && error.kind !== "full" && flight.options.fetch !== options.fetch;
}
