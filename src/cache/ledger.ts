// What is known of the blobs on disk: size, block CRCs, order of use, and whether they can be trusted
// after the last stop. Speaks SQL. Touches no blob; can be lost and made again from the directory.

import {
  type LedgerFile,
  openLedgerFile,
  replaceLedgerFile,
  Statements,
  type State,
  type StoredRow,
} from "./ledger-file.js";
import { WriteBehind } from "./write-behind.js";

/** Rows read at once when looking for blobs to evict. */
const CANDIDATE_ROWS = 64;
/** The use of a blob that no mount asked for. */
const LOOSE = 0;
/** The epoch of a blob that was found in the directory and not hashed since. */
const NEVER = 0;

export interface BlobRow {
  readonly sha256: string;
  readonly sizeBytes: number;
  /** Null: in the file beside the blob. */
  readonly blockCrcs: Uint8Array | null;
  /** True when its bytes were hashed since the last stop that may have lost some. */
  readonly trusted: boolean;
  /** The use (mount) that used it last, or 0. */
  readonly use: number;
  /** When it was used last: a number that grows. */
  readonly used: number;
}

interface Row {
  readonly sizeBytes: number;
  readonly blockCrcs: Uint8Array | null;
  readonly epoch: number;
  use: number;
  used: number;
}

export interface LedgerOptions {
  readonly path: string;
  /** Identifies the running kernel: what it wrote is there until it stops. */
  readonly bootId: string;
  readonly log: (line: string) => void;
}

export class Ledger implements Disposable {
  /** Called when the ledger was lost and begun anew: the directory must be scanned. */
  onLost: (() => void) | null = null;
  readonly #options: LedgerOptions;
  #database: LedgerFile;
  #sql: Statements;
  #epoch = 1;
  #sequence = 0;
  #usedBytes = 0;
  #scanned = false;
  /** Something could not be written: the next start must look for itself. */
  #incomplete = false;
  /** Live uses, each with what it shares with the live use that a blob's row names. */
  readonly #live = new Map<number, Set<number>>();
  // Null: the row is to be removed.
  readonly #changes = new WriteBehind<string, Row | null>((changes) => {
    this.#write(changes);
  });

  private constructor(options: LedgerOptions, database: LedgerFile) {
    this.#options = options;
    this.#database = database;
    this.#sql = new Statements(database);
    this.#begin();
  }

  /** Opens the ledger, or makes it; a damaged one is replaced, at worst by one in memory. */
  static open(options: LedgerOptions): Ledger {
    let database: LedgerFile | null = null;
    try {
      database = openLedgerFile(options.path);
      return new Ledger(options, database);
    } catch (error) {
      database?.close();
      options.log(`the cache's ledger ${options.path} is made anew: ${String(error)}`);
      return new Ledger(options, replaceLedgerFile(options.path, options.log));
    }
  }

  /** Bytes of all blobs in the ledger. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** False when blobs may be on disk that the ledger does not know, or the other way round. */
  get scanned(): boolean {
    return this.#scanned;
  }

  get(sha256: string): BlobRow | null {
    const row = this.#row(sha256);
    return row === null ? null : this.#present(sha256, row);
  }

  /** Adds a blob or replaces what was known of it. `trusted`: it has just been hashed. */
  put(sha256: string, sizeBytes: number, blockCrcs: Uint8Array | null, trusted: boolean): void {
    const known = this.#row(sha256);
    this.#usedBytes += sizeBytes - (known?.sizeBytes ?? 0);
    this.#changes.set(sha256, {
      sizeBytes,
      blockCrcs,
      epoch: trusted ? this.#epoch : NEVER,
      use: known?.use ?? LOOSE,
      used: known?.used ?? ++this.#sequence,
    });
  }

  remove(sha256: string): void {
    const known = this.#row(sha256);
    if (known === null) return;
    this.#usedBytes -= known.sizeBytes;
    this.#changes.set(sha256, null);
  }

  /** The blob is used now, by `use` or (0) by nobody in particular. */
  touch(sha256: string, use: number): void {
    const row = this.#row(sha256);
    if (row === null) return;
    // The row names one use. A live one keeps its blobs; others that are live remember theirs.
    const kept = row.use !== use && this.#live.has(row.use);
    if (kept) this.#live.get(use)?.add(shortKey(sha256));
    this.#changes.set(sha256, { ...row, use: kept ? row.use : use, used: ++this.#sequence });
  }

  /** Begins a use: until it is released, the blobs that it touched are no candidates. */
  openUse(): number {
    const id = ++this.#sequence;
    this.#live.set(id, new Set());
    this.#attempt(() => this.#sql.addUse.run(id, null));
    return id;
  }

  /** From now on the blobs of this use are as old as this moment, in the order they were used. */
  releaseUse(id: number): void {
    if (!this.#live.delete(id)) return;
    this.#attempt(() => this.#sql.releaseUse.run(++this.#sequence, id));
  }

  /**
   * Blobs of no live use, least recently used first: those of a released use are as old as its
   * release. The caller may remove and touch rows while it goes on.
   */
  *candidates(): Generator<BlobRow, void, undefined> {
    this.#changes.flush();
    let after = -1;
    for (const { id, released } of this.#attempt(() => this.#sql.releasedUses.all())) {
      yield* this.#inOrder(LOOSE, after, released);
      after = released;
      yield* this.#inOrder(id, -1, Number.MAX_SAFE_INTEGER);
      this.#changes.flush();
      this.#attempt(() => this.#sql.dropEmptyUse.run({ id }));
    }
    yield* this.#inOrder(LOOSE, after, Number.MAX_SAFE_INTEGER);
  }

  /** SHA-256 of every blob in the ledger that begins with `prefix`, two hex digits. */
  withPrefix(prefix: string): string[] {
    this.#changes.flush();
    const first = Buffer.alloc(32, 0);
    const last = Buffer.alloc(32, 0xff);
    first[0] = last[0] = Number.parseInt(prefix, 16);
    return this.#attempt(() => this.#sql.between.all(first, last)).map((sha256) =>
      sha256.toString("hex"),
    );
  }

  /** Every blob of the directory is in the ledger, and no other. */
  markScanned(): void {
    this.#scanned = true;
    this.#saveState("open");
  }

  flush(): void {
    this.#changes.flush();
  }

  /**
   * Records an orderly stop. `closed`: good as long as this kernel runs; `synced`: also after it, for
   * the blobs have reached the disk.
   */
  markStopped(stop: "closed" | "synced"): void {
    this.#changes.flush();
    if (!this.#incomplete) this.#saveState(stop);
  }

  [Symbol.dispose](): void {
    this.#changes.flush();
    this.#database.close();
  }

  #begin(): void {
    const state = this.#sql.state.get();
    if (state === undefined) throw new Error("it holds no state");
    const orderly =
      state.stop === "synced" ||
      (state.stop === "closed" && state.boot_id === this.#options.bootId);
    this.#epoch = orderly && state.epoch > 0 ? state.epoch : state.epoch + 1;
    this.#sequence = state.sequence;
    this.#usedBytes = state.used_bytes;
    this.#scanned = orderly && state.scanned === 1;
    this.#sql.endUses.run(++this.#sequence);
    this.#sql.dropEmptyUses.run();
    // Must be on disk before the first blob is: after a power failure an older state would vouch
    // for blobs that were written after it.
    this.#database.pragma("synchronous = FULL");
    this.#saveState("open");
    this.#database.pragma("synchronous = NORMAL");
  }

  #row(sha256: string): Row | null {
    const change = this.#changes.get(sha256);
    if (change !== undefined) return change;
    const stored = this.#attempt(() => this.#sql.find.get(Buffer.from(sha256, "hex")));
    return stored === undefined ? null : rowOf(stored);
  }

  #present(sha256: string, row: Row): BlobRow {
    const { sizeBytes, blockCrcs, use, used } = row;
    return { sha256, sizeBytes, blockCrcs, use, used, trusted: row.epoch === this.#epoch };
  }

  *#inOrder(use: number, after: number, before: number): Generator<BlobRow, void, undefined> {
    let cursor = after;
    for (;;) {
      const rows = this.#attempt(() => this.#sql.inOrder.all(use, cursor, before, CANDIDATE_ROWS));
      for (const stored of rows) {
        cursor = stored.used;
        const sha256 = stored.sha256.toString("hex");
        const now = this.#row(sha256);
        // Used or removed since it was read.
        if (now?.used !== stored.used || now.use !== use) continue;
        const sharer = this.#sharerOf(sha256);
        if (sharer === null) yield this.#present(sha256, now);
        else this.touch(sha256, sharer);
      }
      if (rows.length < CANDIDATE_ROWS) return;
    }
  }

  /** A live use that uses this blob besides the one that its row names. */
  #sharerOf(sha256: string): number | null {
    const key = shortKey(sha256);
    for (const [use, shared] of this.#live) if (shared.has(key)) return use;
    return null;
  }

  #write(changes: ReadonlyMap<string, Row | null>): void {
    try {
      this.#database.transaction(() => {
        for (const [hex, row] of changes) {
          const sha256 = Buffer.from(hex, "hex");
          if (row === null) this.#sql.remove.run(sha256);
          else {
            const { sizeBytes, blockCrcs, use, used, epoch } = row;
            this.#sql.put.run({ sha256, sizeBytes, blockCrcs, use, used, epoch });
          }
        }
        this.#saveState("open");
      })();
    } catch (error) {
      // The scan that follows finds these blobs again.
      this.#beginAnew(error);
    }
  }

  #saveState(stop: State["stop"]): void {
    this.#sql.saveState.run({
      stop,
      bootId: this.#options.bootId,
      epoch: this.#epoch,
      sequence: this.#sequence,
      usedBytes: this.#usedBytes,
      scanned: this.#scanned ? 1 : 0,
    });
  }

  /** Runs `work`; when the file fails it, once more on a new one. */
  #attempt<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      this.#beginAnew(error);
      return work();
    }
  }

  #beginAnew(error: unknown): void {
    this.#options.log(`the cache's ledger failed and is made anew: ${String(error)}`);
    this.#incomplete = true;
    this.#scanned = false;
    this.#usedBytes = 0;
    this.#changes.clear();
    this.#database.close();
    this.#database = replaceLedgerFile(this.#options.path, this.#options.log);
    this.#sql = new Statements(this.#database);
    for (const id of this.#live.keys()) this.#sql.addUse.run(id, null);
    this.#saveState("open");
    this.onLost?.();
  }
}

/**
 * A small integer for a blob: a million hex strings in a set would cost a hundred times its bytes. Two
 * blobs with one key are kept both, which does no harm.
 */
function shortKey(sha256: string): number {
  return Number.parseInt(sha256.slice(0, 7), 16);
}

function rowOf(stored: StoredRow): Row {
  return {
    sizeBytes: stored.size_bytes,
    blockCrcs: stored.block_crcs,
    use: stored.use,
    used: stored.used,
    epoch: stored.epoch,
  };
}
