// What the first complete fetch of a pinned object showed, so that every later fetch is held to it.
// One SQLite file that several processes use at once; survives eviction and a lost ledger.

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, renameSync } from "node:fs";
import { dirname } from "node:path";
import type Database from "better-sqlite3";
import { decodeDigests, encodeDigests, type Digests } from "../model/digest.js";
import type { Entry } from "../model/entry.js";
import { encodePin, pinsObject } from "../model/pin.js";
import { openSqlite } from "../native/sqlite.js";
import { codeOf } from "./local-fault.js";
import { mergeSightings } from "./verify.js";
import { WriteBehind } from "./write-behind.js";

const IN_MEMORY = ":memory:";
const VERSION = 1;
const SCHEMA = `
  CREATE TABLE observed(
    key BLOB PRIMARY KEY,
    uri TEXT NOT NULL,
    pin TEXT NOT NULL,
    scope TEXT NOT NULL,
    sha256 BLOB NOT NULL,
    size_bytes INTEGER NOT NULL,
    digests TEXT NOT NULL,
    chunks BLOB,
    etag_is_hash INTEGER NOT NULL,
    provider_checked INTEGER NOT NULL,
    seen_ms INTEGER NOT NULL
  );
  CREATE INDEX observed_scope ON observed(scope) WHERE scope <> '';
  PRAGMA user_version = ${VERSION};
`;
/** Rows deleted at once: keeps a statement short. */
const DELETE_ROWS = 500;

/** What a complete fetch of an object showed. */
export interface Sighting {
  readonly sha256: string;
  readonly sizeBytes: number;
  /** Every digest that was computed, sha256 among them. */
  readonly digests: Digests;
  /** SHA-256 of every CHUNK_BYTES, 32 bytes each; null for an object of one chunk. */
  readonly chunks: Uint8Array | null;
  /** False when the store's answer showed that the ETag is no hash. */
  readonly etagIsHash: boolean;
  /** True when a checksum that the provider holds was compared and matched. */
  readonly providerChecked: boolean;
}

interface Row {
  readonly sha256: Buffer;
  readonly size_bytes: number;
  readonly digests: string;
  readonly chunks: Buffer | null;
  readonly etag_is_hash: number;
  readonly provider_checked: number;
}

interface Change {
  readonly key: Buffer;
  readonly entry: Entry;
  readonly scope: string;
  readonly sighting: Sighting;
  /** The SHA-256 that stood there when this was decided: another process may have been faster. */
  readonly replaces: string | null;
}

/** Sightings by (uri, pin). Errors of the file never reach the caller: they make objects unknown. */
export class Observed implements Disposable {
  readonly #path: string;
  readonly #log: (line: string) => void;
  #database: Database.Database;
  #find: Database.Statement<[Buffer], Row>;
  readonly #changes = new WriteBehind<string, Change>((changes) => {
    this.#write(changes);
  });

  private constructor(path: string, log: (line: string) => void, database: Database.Database) {
    this.#path = path;
    this.#log = log;
    this.#database = database;
    this.#find = database.prepare("SELECT * FROM observed WHERE key = ?");
  }

  /**
   * Opens the table, or makes it. A damaged file is kept under another name and a new one begun; where
   * none can be had, sightings last as long as this object. Both are told to `log`.
   */
  static open(path: string, log: (line: string) => void): Observed {
    return new Observed(path, log, openOrReplace(path, log));
  }

  /**
   * What was seen of the pinned object of `entry`; null when nothing was, or when nothing pins it.
   * @param scope The mount or command within which an unpinned object must stay what it was.
   */
  find(entry: Entry, scope = ""): Sighting | null {
    const key = sightingKey(entry, scope);
    if (key === null) return null;
    const change = this.#changes.get(key.toString("latin1"));
    if (change !== undefined) return change.sighting;
    try {
      const row = this.#find.get(key);
      return row === undefined ? null : sightingOf(row);
    } catch (error) {
      this.#log(`cannot look up what was observed of ${entry.uri}: ${String(error)}`);
      return null;
    }
  }

  /** Keeps a sighting that was judged good; joins what an earlier one of the same bytes told. */
  record(entry: Entry, sighting: Sighting, scope = ""): void {
    const key = sightingKey(entry, scope);
    if (key === null) return;
    const seen = this.find(entry, scope);
    const same = seen?.sha256 === sighting.sha256;
    const merged = seen !== null && same ? mergeSightings(seen, sighting) : sighting;
    if (seen !== null && same && tellsNothingNew(seen, merged)) return;
    const name = key.toString("latin1");
    const pending = this.#changes.get(name);
    const replaces = pending === undefined ? (seen?.sha256 ?? null) : pending.replaces;
    this.#changes.set(name, { key, entry, scope, sighting: merged, replaces });
  }

  /** Forgets what unpinned objects were within `scope`, in steps that leave the event loop free. */
  async forgetScope(scope: string): Promise<void> {
    this.#changes.flush();
    try {
      // The second condition says what the partial index says: without it all rows are read.
      const statement = this.#database.prepare<[string, number]>(
        `DELETE FROM observed WHERE rowid IN
           (SELECT rowid FROM observed WHERE scope = ? AND scope <> '' LIMIT ?)`,
      );
      while (this.#database.open && statement.run(scope, DELETE_ROWS).changes === DELETE_ROWS) {
        await new Promise(setImmediate);
      }
    } catch (error) {
      this.#log(`cannot forget what was observed within ${scope}: ${String(error)}`);
    }
  }

  [Symbol.dispose](): void {
    this.#changes.flush();
    this.#database.close();
  }

  #write(changes: ReadonlyMap<string, Change>): void {
    try {
      this.#insert(changes);
    } catch (error) {
      this.#log(`cannot keep what was observed of ${changes.size} objects: ${String(error)}`);
      if (codeOf(error) === "SQLITE_BUSY") return;
      // Removed or damaged under us: what comes later is kept in what can be opened now.
      this.#database.close();
      this.#database = openOrReplace(this.#path, this.#log);
      this.#find = this.#database.prepare("SELECT * FROM observed WHERE key = ?");
    }
  }

  #insert(changes: ReadonlyMap<string, Change>): void {
    const insert = this.#database.prepare(
      `INSERT INTO observed VALUES (@key, @uri, @pin, @scope, @sha256, @size, @digests, @chunks, @etag, @checked, @seen)
       ON CONFLICT(key) DO UPDATE SET sha256 = excluded.sha256, size_bytes = excluded.size_bytes,
         digests = excluded.digests, chunks = excluded.chunks, etag_is_hash = excluded.etag_is_hash,
         provider_checked = excluded.provider_checked
       WHERE sha256 = excluded.sha256 OR sha256 = @replaces`,
    );
    const seen = Date.now();
    this.#database
      .transaction(() => {
        for (const { key, entry, scope, sighting, replaces } of changes.values()) {
          insert.run({
            key,
            uri: entry.uri,
            pin: encodePin(entry.pin),
            scope: pinsObject(entry.pin) ? "" : scope,
            sha256: Buffer.from(sighting.sha256, "hex"),
            size: sighting.sizeBytes,
            digests: encodeDigests(sighting.digests),
            chunks: sighting.chunks,
            etag: sighting.etagIsHash ? 1 : 0,
            checked: sighting.providerChecked ? 1 : 0,
            seen,
            replaces: replaces === null ? null : Buffer.from(replaces, "hex"),
          });
        }
      })
      .immediate();
  }
}

function openOrReplace(path: string, log: (line: string) => void): Database.Database {
  try {
    return openDatabase(path);
  } catch (error) {
    log(`cannot use what was observed in ${path}: ${String(error)}`);
    try {
      if (isDamage(error)) {
        setAside(path);
        return openDatabase(path);
      }
    } catch (again) {
      log(`cannot begin a new ${path}: ${String(again)}`);
    }
    return openDatabase(IN_MEMORY);
  }
}

function openDatabase(path: string): Database.Database {
  // A command may come before the first daemon made the folder.
  if (path !== IN_MEMORY) mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const database = openSqlite(path, { timeout: 1000 });
  try {
    database.pragma("journal_mode = WAL");
    database.pragma("synchronous = NORMAL");
    const version = (): unknown => database.pragma("user_version", { simple: true });
    // Another process may be making the table now: only one of us gets to.
    database
      .transaction(() => {
        if (version() === 0) database.exec(SCHEMA);
      })
      .immediate();
    if (version() !== VERSION) {
      throw new Error(`made by another version of refmount (format ${String(version())})`);
    }
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

function isDamage(error: unknown): boolean {
  const code = codeOf(error) ?? "";
  return code.startsWith("SQLITE_CORRUPT") || code === "SQLITE_NOTADB";
}

/** Renames a damaged database; its log goes with it, since it must not be replayed into a new one. */
function setAside(path: string): void {
  const suffix = `.damaged-${Date.now()}`;
  for (const part of ["", "-wal", "-shm"]) {
    if (existsSync(path + part)) renameSync(path + part, `${path}${suffix}${part}`);
  }
}

/**
 * The key of an entry's sightings: what it is read from and pinned to. Without a pin, the digests
 * recorded when logging hold it in place, or else the scope does; with none of these there is no key.
 */
export function sightingKey(entry: Entry, scope: string): Buffer | null {
  const parts = [entry.uri, encodePin(entry.pin)];
  if (!pinsObject(entry.pin)) {
    // Nothing to learn: the entry itself says which blob it is.
    if (entry.digests.sha256 !== undefined) return null;
    const hold = encodeDigests(entry.digests) || scope;
    if (hold === "") return null;
    parts.push(hold);
  }
  return createHash("sha256").update(JSON.stringify(parts)).digest();
}

function sightingOf(row: Row): Sighting {
  return {
    sha256: row.sha256.toString("hex"),
    sizeBytes: row.size_bytes,
    digests: decodeDigests(row.digests),
    chunks: row.chunks,
    etagIsHash: row.etag_is_hash === 1,
    providerChecked: row.provider_checked === 1,
  };
}

function tellsNothingNew(older: Sighting, merged: Sighting): boolean {
  return (
    encodeDigests(older.digests) === encodeDigests(merged.digests) &&
    older.etagIsHash === merged.etagIsHash &&
    older.providerChecked === merged.providerChecked &&
    (older.chunks === null) === (merged.chunks === null)
  );
}
