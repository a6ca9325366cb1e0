// Room in the cache: who is admitted and who goes. Between mounts the least recently used goes first;
// inside live mounts nobody does, because a data set larger than the quota is read in cycles and
// would push itself out: what is there stays, and the rest is served from temporary files.

import { promises as fs } from "node:fs";
import type { Release } from "../model/budget.js";
import type { Ledger } from "./ledger.js";
import type { Shelf } from "./shelf.js";

/** Once something must go, it goes down to this part of the quota, so that it is not done each time. */
const LOW_MARK = 0.95;
/** Blobs dropped without a pause for the event loop. */
const STEP_BLOBS = 32;
const DEFAULT_LIMIT = 0.8;
const DEFAULT_FLOOR = 0.05;
const MOST_FLOOR_BYTES = 1024 ** 3;
/** How long a look at the free space of the disk counts. */
const LOOK_MS = 1000;

export interface RoomOptions {
  readonly dir: string;
  readonly ledger: Ledger;
  readonly shelf: Shelf;
  readonly limitBytes: number | null;
  readonly floorBytes: number | null;
  /** True for a blob that somebody is about to open: it must stay where it is. */
  readonly isHeld: (sha256: string) => boolean;
}

export class Room {
  readonly #options: RoomOptions;
  #limitBytes = 0;
  #byDefault = false;
  #floorBytes = 0;
  #reservedBytes = 0;
  #freeBytes = 0;
  #lookedMs = -Infinity;
  #trimming: Promise<void> | null = null;

  private constructor(options: RoomOptions) {
    this.#options = options;
  }

  static async open(options: RoomOptions): Promise<Room> {
    const room = new Room(options);
    const { blocks, bsize } = await fs.statfs(options.dir);
    room.#floorBytes =
      options.floorBytes ?? Math.min(MOST_FLOOR_BYTES, Math.floor(DEFAULT_FLOOR * blocks * bsize));
    await room.setLimit(options.limitBytes);
    return room;
  }

  get limitBytes(): number {
    return this.#limitBytes;
  }

  /** @param limitBytes Null: a part of what is free now, and what the cache uses already. */
  async setLimit(limitBytes: number | null): Promise<void> {
    await this.#look();
    this.#byDefault = limitBytes === null;
    this.#limitBytes =
      limitBytes ?? Math.floor(DEFAULT_LIMIT * this.#freeBytes) + this.#options.ledger.usedBytes;
    if (!this.#fits(0)) this.#trim();
  }

  /** The ledger knows all blobs by now: a limit by default takes them into account. */
  async scanned(): Promise<void> {
    if (this.#byDefault) await this.setLimit(null);
  }

  /**
   * Makes room for a blob and keeps it until released (once the blob is in the ledger, or is not to
   * come). Null: there is none that may be made; the blob must be temporary.
   */
  async reserve(sizeBytes: number): Promise<Release | null> {
    if (sizeBytes > this.#limitBytes && !this.#limitIsUnknown) return null;
    const shortBytes = await this.#shortage(sizeBytes);
    const full = !this.#fits(sizeBytes) || shortBytes > 0;
    if (full) {
      const freed = await this.#evictUntil(
        (freedBytes) => this.#fits(sizeBytes) && freedBytes >= shortBytes,
      );
      if (!this.#fits(sizeBytes) || freed < shortBytes) return null;
    }
    this.#reservedBytes += sizeBytes;
    this.#freeBytes -= sizeBytes;
    if (full) this.#trim();
    let held = true;
    return () => {
      if (held) this.#reservedBytes -= sizeBytes;
      held = false;
    };
  }

  /** The disk is full: evicts at least `bytes` of what may be. @returns Bytes freed. */
  async evict(bytes: number): Promise<number> {
    const freedBytes = await this.#evictUntil((freed) => freed >= bytes);
    this.#lookedMs = -Infinity;
    return freedBytes;
  }

  /** Settles when no eviction is under way. */
  async settled(): Promise<void> {
    await this.#trimming;
  }

  /** A default counts what is there already, which is not known before the folder was scanned. */
  get #limitIsUnknown(): boolean {
    return this.#byDefault && !this.#options.ledger.scanned;
  }

  #fits(sizeBytes: number, part = 1): boolean {
    if (this.#limitIsUnknown) return true;
    const { usedBytes } = this.#options.ledger;
    return usedBytes + this.#reservedBytes + sizeBytes <= part * this.#limitBytes;
  }

  /** Evicts down to the low mark in the background. */
  #trim(): void {
    this.#trimming ??= this.#evictUntil(() => this.#fits(0, LOW_MARK))
      .then(() => undefined)
      .finally(() => {
        this.#trimming = null;
      });
  }

  async #evictUntil(done: (freedBytes: number) => boolean): Promise<number> {
    const { ledger, shelf, isHeld } = this.#options;
    let freedBytes = 0;
    let dropping: Promise<void>[] = [];
    if (done(freedBytes)) return freedBytes;
    for (const { sha256, sizeBytes } of ledger.candidates()) {
      if (isHeld(sha256)) continue;
      freedBytes += sizeBytes;
      dropping.push(shelf.drop(sha256));
      if (done(freedBytes)) break;
      if (dropping.length < STEP_BLOBS) continue;
      await Promise.all(dropping);
      dropping = [];
    }
    await Promise.all(dropping);
    return freedBytes;
  }

  /** Bytes that are missing for the floor to stay free beside a new blob. */
  async #shortage(sizeBytes: number): Promise<number> {
    if (performance.now() - this.#lookedMs > LOOK_MS) await this.#look();
    return Math.max(0, this.#floorBytes + sizeBytes - this.#freeBytes);
  }

  async #look(): Promise<void> {
    this.#lookedMs = performance.now();
    try {
      const { bavail, bsize } = await fs.statfs(this.#options.dir);
      this.#freeBytes = bavail * bsize;
    } catch {
      // The folder is gone or the disk fails: then writing says so.
      this.#freeBytes = Infinity;
    }
  }
}
