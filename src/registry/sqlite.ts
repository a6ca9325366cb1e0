// The registry's door to SQLite: opens databases and turns SQLite's errors into faults, nowhere
// else. Knows nothing of what is stored.

import { closeSync, mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";
import type Sqlite from "better-sqlite3";
import { Fault } from "../model/fault.js";
import { openSqlite } from "../native/sqlite.js";

export type Statement<Parameters extends unknown[], Row = unknown> = Sqlite.Statement<
  Parameters,
  Row
>;

/** What messages say of a file. */
export interface Described {
  readonly path: string;
  /** How messages name it, e.g. `The registry /home/a/registry.sqlite`. */
  readonly what: string;
  /** What to do when it is damaged: a sentence. */
  readonly remedy: string;
}

export interface OpenOptions extends Described {
  /** `create` makes a missing file, for the owner only; the others want it there. */
  readonly mode: "create" | "write" | "readonly";
  /** How long a statement waits for another process's lock, in milliseconds. */
  readonly busyTimeoutMs?: number;
}

export const DEFAULT_BUSY_TIMEOUT_MS = 10_000;

/** One open database. Every use of it runs inside `guard`, which translates SQLite's errors. */
export class Database implements Disposable {
  readonly #options: OpenOptions;
  readonly #db: Sqlite.Database;

  constructor(options: OpenOptions) {
    this.#options = options;
    this.#db = this.guard(() => {
      if (options.mode === "create") createPrivateFile(options.path);
      return openSqlite(options.path, {
        readonly: options.mode === "readonly",
        fileMustExist: true,
        timeout: options.busyTimeoutMs ?? DEFAULT_BUSY_TIMEOUT_MS,
      });
    });
  }

  get path(): string {
    return this.#options.path;
  }

  prepare<Parameters extends unknown[], Row = unknown>(sql: string): Statement<Parameters, Row> {
    return this.guard(() => this.#db.prepare<Parameters, Row>(sql));
  }

  exec(sql: string): void {
    this.guard(() => this.#db.exec(sql));
  }

  /** The first column of the first row of `PRAGMA <text>`. */
  pragma(text: string): unknown {
    return this.guard(() => this.#db.pragma(text, { simple: true }));
  }

  /** Runs `work` in one transaction that takes the write lock first; rolled back when it throws. */
  write<T>(work: () => T): T {
    return this.guard(() => this.#db.transaction(work).immediate());
  }

  /** Runs `work` on one snapshot of the database. */
  read<T>(work: () => T): T {
    return this.guard(() => this.#db.transaction(work).deferred());
  }

  /** Runs `work`; an error of SQLite or of the file system leaves as a Fault. */
  guard<T>(work: () => T): T {
    return guarded(this.#options, work);
  }

  /** The rows of a statement one by one, with its errors translated. */
  *iterate<Parameters extends unknown[], Row>(
    statement: Statement<Parameters, Row>,
    ...parameters: Parameters
  ): IterableIterator<Row> {
    try {
      // An error of whoever takes the rows does not pass through here.
      yield* statement.iterate(...parameters);
    } catch (error) {
      throw translate(this.#options, error);
    }
  }

  close(): void {
    this.guard(() => this.#db.close());
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Runs `work` on `file`; an error of SQLite or of the file system leaves as a Fault. */
export function guarded<T>(file: Described, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw translate(file, error);
  }
}

/** The Fault for an error of SQLite or of the file system; any other error as it is. */
function translate({ path, what, remedy }: Described, error: unknown): unknown {
  const options = { subject: path, cause: error };
  const dir = dirname(path);
  // Our statements are right, so a table that is not there was lost.
  const lost = codeOf(error) === "SQLITE_ERROR" && messageOf(error).startsWith("no such ");
  switch (lost ? "corrupt" : kindOf(codeOf(error))) {
    case "busy":
      return new Fault(
        "busy",
        `${what} is locked by another process; wait until that one is done and try again`,
        options,
      );
    case "corrupt":
      return new Fault("corrupt", `${what} is damaged (${messageOf(error)}). ${remedy}`, options);
    case "full":
      return new Fault(
        "full",
        `${what} cannot be written: the disk that holds ${dir} is full; free some space and try again`,
        options,
      );
    case "denied":
      return new Fault(
        "denied",
        `${what} cannot be opened (${messageOf(error)}); check that you may read and write ${dir}`,
        options,
      );
    case null:
      return error;
  }
}

/** Makes the file, readable by its owner only, where it is missing; SQLite alone would use 0644. */
function createPrivateFile(path: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  closeSync(openSync(path, "a", 0o600));
}

function codeOf(error: unknown): string {
  if (!(error instanceof Error) || !("code" in error)) return "";
  return typeof error.code === "string" ? error.code : "";
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

const KINDS: readonly (readonly [
  prefixes: readonly string[],
  kind: "busy" | "corrupt" | "full" | "denied",
])[] = [
  [["SQLITE_BUSY", "SQLITE_LOCKED"], "busy"],
  [["SQLITE_FULL", "ENOSPC", "EDQUOT"], "full"],
  [["SQLITE_IOERR_ACCESS", "SQLITE_IOERR_LOCK"], "denied"],
  [["SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_FORMAT", "SQLITE_IOERR", "EIO"], "corrupt"],
  [["SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM", "SQLITE_AUTH"], "denied"],
  [["EACCES", "EPERM", "EROFS", "ENOENT", "EEXIST", "ENOTDIR", "EISDIR", "ENAMETOOLONG"], "denied"],
];

function kindOf(code: string): "busy" | "corrupt" | "full" | "denied" | null {
  if (code === "") return null;
  for (const [prefixes, kind] of KINDS) {
    if (prefixes.some((prefix) => code === prefix || code.startsWith(`${prefix}_`))) return kind;
  }
  return null;
}
