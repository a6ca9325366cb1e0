// The ledger's SQLite file: its schema, its statements, and a new one where the old one is damaged.
// Decides nothing.

import { rmSync } from "node:fs";
import type { Database, Statement } from "better-sqlite3";
import { openSqlite } from "../native/sqlite.js";

export type LedgerFile = Database;

const VERSION = 1;
const SCHEMA = `
  CREATE TABLE blob(
    id INTEGER PRIMARY KEY,
    sha256 BLOB NOT NULL UNIQUE,
    size_bytes INTEGER NOT NULL,
    block_crcs BLOB,
    use INTEGER NOT NULL,
    used INTEGER NOT NULL,
    epoch INTEGER NOT NULL
  );
  CREATE INDEX blob_order ON blob(use, used);
  CREATE TABLE use(id INTEGER PRIMARY KEY, released INTEGER);
  CREATE TABLE state(
    stop TEXT NOT NULL,
    boot_id TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    used_bytes INTEGER NOT NULL,
    scanned INTEGER NOT NULL
  );
  INSERT INTO state VALUES ('open', '', 0, 0, 0, 0);
  PRAGMA user_version = ${VERSION};
`;
export interface StoredRow {
  readonly sha256: Buffer;
  readonly size_bytes: number;
  readonly block_crcs: Buffer | null;
  readonly use: number;
  readonly used: number;
  readonly epoch: number;
}

export interface State {
  readonly stop: "open" | "closed" | "synced";
  readonly boot_id: string;
  readonly epoch: number;
  readonly sequence: number;
  readonly used_bytes: number;
  readonly scanned: number;
}

/** The statements of one connection, prepared once. */
export class Statements {
  readonly state: Statement<[], State>;
  readonly saveState: Statement<[object]>;
  readonly find: Statement<[Buffer], StoredRow>;
  readonly put: Statement<[object]>;
  readonly remove: Statement<[Buffer]>;
  readonly inOrder: Statement<[number, number, number, number], StoredRow>;
  readonly between: Statement<[Buffer, Buffer], Buffer>;
  readonly addUse: Statement<[number, number | null]>;
  readonly releaseUse: Statement<[number, number]>;
  readonly releasedUses: Statement<[], { id: number; released: number }>;
  readonly dropEmptyUse: Statement<[object]>;
  readonly dropEmptyUses: Statement<[]>;
  readonly endUses: Statement<[number]>;

  constructor(database: Database) {
    const columns = "sha256, size_bytes, block_crcs, use, used, epoch";
    const empty = "NOT EXISTS (SELECT 1 FROM blob WHERE blob.use = use.id)";
    this.state = database.prepare<[], State>("SELECT * FROM state");
    this.saveState = database.prepare<[object]>(
      `UPDATE state SET stop = @stop, boot_id = @bootId, epoch = @epoch, sequence = @sequence,
         used_bytes = @usedBytes, scanned = @scanned`,
    );
    this.find = database.prepare<[Buffer], StoredRow>(
      `SELECT ${columns} FROM blob WHERE sha256 = ?`,
    );
    this.put = database.prepare<[object]>(
      `INSERT INTO blob(${columns}) VALUES (@sha256, @sizeBytes, @blockCrcs, @use, @used, @epoch)
       ON CONFLICT(sha256) DO UPDATE SET size_bytes = excluded.size_bytes, use = excluded.use,
         block_crcs = excluded.block_crcs, used = excluded.used, epoch = excluded.epoch`,
    );
    this.remove = database.prepare<[Buffer]>("DELETE FROM blob WHERE sha256 = ?");
    this.inOrder = database.prepare<[number, number, number, number], StoredRow>(
      `SELECT ${columns} FROM blob WHERE use = ? AND used > ? AND used < ? ORDER BY used LIMIT ?`,
    );
    this.between = database
      .prepare<[Buffer, Buffer], Buffer>("SELECT sha256 FROM blob WHERE sha256 BETWEEN ? AND ?")
      .pluck();
    this.addUse = database.prepare<[number, number | null]>("INSERT INTO use VALUES (?, ?)");
    this.releaseUse = database.prepare<[number, number]>(
      "UPDATE use SET released = ? WHERE id = ?",
    );
    this.releasedUses = database.prepare<[], { id: number; released: number }>(
      "SELECT id, released FROM use WHERE released IS NOT NULL ORDER BY released",
    );
    this.dropEmptyUse = database.prepare<[object]>(`DELETE FROM use WHERE id = @id AND ${empty}`);
    this.dropEmptyUses = database.prepare<[]>(`DELETE FROM use WHERE ${empty}`);
    this.endUses = database.prepare<[number]>("UPDATE use SET released = ? WHERE released IS NULL");
  }
}

export function openLedgerFile(path: string): Database {
  const database = openSqlite(path, { timeout: 1000 });
  try {
    database.pragma("journal_mode = WAL");
    database.pragma("synchronous = NORMAL");
    const version = (): unknown => database.pragma("user_version", { simple: true });
    if (version() === 0) database.exec(`BEGIN; ${SCHEMA} COMMIT;`);
    if (version() !== VERSION) throw new Error(`it has the format ${String(version())}`);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/** A new, empty ledger; in memory where the file cannot be written. */
export function replaceLedgerFile(path: string, log: (line: string) => void): Database {
  try {
    for (const part of ["", "-wal", "-shm"]) rmSync(path + part, { force: true });
    return openLedgerFile(path);
  } catch (error) {
    log(`the cache's ledger is kept in memory only: ${String(error)}`);
    return openLedgerFile(":memory:");
  }
}
