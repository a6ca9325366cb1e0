// Temporary files of one writer in the folder of manifests. A lock that dies with its process tells
// what is being written from what a killed writer left behind: no pid, which could be reused or be
// of another pid namespace.

import { randomBytes } from "node:crypto";
import {
  chmodSync,
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
} from "node:fs";
import { join } from "node:path";
import { Fault } from "../model/fault.js";
import { Database, guarded } from "./sqlite.js";

const NAME = /^\.staging-([0-9a-f]{16})\.[a-z]+$/;
const LOCK_EXTENSION = "lock";
const LOCK_WAIT_MS = 1000;

/**
 * A set of temporary files with one name and several extensions. Its lock file is a SQLite database
 * that is held exclusively from `create` to `remove`, for the writer to work in.
 */
export class Staging implements Disposable {
  readonly #dir: string;
  readonly #id: string;
  readonly database: Database;
  #removed = false;

  /** Makes the folder if missing, and removes what killed writers left in it. */
  static create(dir: string): Staging {
    return guarded(describe(dir), () => {
      mkdirSync(dir, { recursive: true, mode: 0o700 });
      removeLitter(dir);
      for (;;) {
        const id = randomBytes(8).toString("hex");
        const database = lockNew(stagingPath(dir, id, LOCK_EXTENSION));
        if (database !== null) return new Staging(dir, id, database);
      }
    });
  }

  private constructor(dir: string, id: string, database: Database) {
    this.#dir = dir;
    this.#id = id;
    this.database = database;
  }

  /** The path of this writer's temporary file with `extension` (lower-case letters). */
  path(extension: string): string {
    return stagingPath(this.#dir, this.#id, extension);
  }

  /** Makes a finished file durable and gives it its name, replacing another one at once. */
  publish(extension: string, path: string): void {
    guarded(describe(this.#dir), () => {
      const from = this.path(extension);
      chmodSync(from, 0o400);
      syncPath(from);
      renameSync(from, path);
      syncPath(this.#dir);
    });
  }

  /** Removes what was not published. Safe to call twice. */
  remove(): void {
    if (this.#removed) return;
    this.#removed = true;
    guarded(describe(this.#dir), () => removeFiles(this.#dir, this.#id));
    this.database.close();
  }

  [Symbol.dispose](): void {
    this.remove();
  }
}

function describe(dir: string): { path: string; what: string; remedy: string } {
  return {
    path: join(dir, "."),
    what: `The folder of manifests ${dir}`,
    remedy: "Check the disk and its file system.",
  };
}

function stagingPath(dir: string, id: string, extension: string): string {
  return join(dir, `.staging-${id}.${extension}`);
}

/**
 * Makes a lock file and takes its lock; null when another writer, between any two of our steps, took the
 * file for litter.
 */
function lockNew(path: string): Database | null {
  closeSync(openSync(path, "wx", 0o600));
  let database: Database | null;
  try {
    database = lock(path, LOCK_WAIT_MS);
  } catch (error) {
    if (error instanceof Fault && !existsSync(path)) return null;
    throw error;
  }
  if (database === null || existsSync(path)) return database;
  database.close();
  return null;
}

/** Takes the lock; null when another writer has it. */
function lock(path: string, busyTimeoutMs: number): Database | null {
  const database = new Database({
    path,
    what: `The temporary file ${path}`,
    remedy: "Remove it and try again.",
    mode: "write",
    busyTimeoutMs,
  });
  try {
    // Nothing in it outlives this process, so nothing is journalled on disk or synced.
    database.pragma("journal_mode = MEMORY");
    database.pragma("synchronous = OFF");
    database.exec("BEGIN EXCLUSIVE");
    return database;
  } catch (error) {
    database.close();
    if (error instanceof Fault && error.kind === "busy") return null;
    throw error;
  }
}

function removeLitter(dir: string): void {
  const ids = new Set<string>();
  for (const name of readdirSync(dir)) {
    const id = NAME.exec(name)?.[1];
    if (id !== undefined) ids.add(id);
  }
  for (const id of ids) removeIfDead(dir, id);
}

function removeIfDead(dir: string, id: string): void {
  const lockPath = stagingPath(dir, id, LOCK_EXTENSION);
  let database: Database | null = null;
  try {
    // Without a lock file nobody is at work: it is made first and removed last.
    if (existsSync(lockPath)) {
      database = lock(lockPath, 0);
      if (database === null) return;
    }
  } catch (error) {
    // Gone in the meantime, or another user's: not ours to remove. A damaged one was not locked.
    if (!(error instanceof Fault) || error.kind !== "corrupt") return;
  }
  removeFiles(dir, id);
  database?.close();
}

/** The lock file goes last, so that there is never another file without it. */
function removeFiles(dir: string, id: string): void {
  const prefix = stagingPath("", id, "");
  for (const name of readdirSync(dir)) {
    if (name.startsWith(prefix) && name !== prefix + LOCK_EXTENSION) rmSync(join(dir, name));
  }
  rmSync(stagingPath(dir, id, LOCK_EXTENSION), { force: true });
}

function syncPath(path: string): void {
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
