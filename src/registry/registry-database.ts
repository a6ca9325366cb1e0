// Opens the file of the registry: how SQLite has to treat it, and its tables as this refmount knows
// them.

import { Fault } from "../model/fault.js";
import { migrate } from "./schema.js";
import { Database, DEFAULT_BUSY_TIMEOUT_MS, type Described } from "./sqlite.js";

const WAL_RETRY_MS = 20;

export interface RegistryOptions {
  readonly registryPath: string;
  readonly manifestsDir: string;
  /** How long to wait for another process that writes, in milliseconds. */
  readonly busyTimeoutMs?: number;
}

/**
 * Opens the registry's database, made when missing and brought up to date when old. The caller
 * closes it.
 * @throws Fault `usage` (written by a newer refmount), `busy`, `corrupt`, `denied`, `full`.
 */
export function openRegistryDatabase(options: RegistryOptions): {
  readonly db: Database;
  readonly described: Described;
} {
  const { registryPath, manifestsDir, busyTimeoutMs = DEFAULT_BUSY_TIMEOUT_MS } = options;
  const described: Described = {
    path: registryPath,
    what: `The registry ${registryPath}`,
    remedy: `Restore it from a backup, or move it away (with its -wal and -shm) to begin a new one; the manifests in ${manifestsDir} stay.`,
  };
  const db = new Database({ ...described, mode: "create", busyTimeoutMs });
  try {
    useWal(db, busyTimeoutMs);
    // A version that was printed must survive a power cut.
    db.pragma("synchronous = FULL");
    // A migration may lay a table anew that others refer to; it checks the references itself.
    db.pragma("foreign_keys = OFF");
    migrate(db);
    db.pragma("foreign_keys = ON");
  } catch (error) {
    db.close();
    throw error;
  }
  return { db, described };
}

/** Switching to WAL does not wait for another process by itself as statements do. */
function useWal(db: Database, timeoutMs: number): void {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    try {
      if (db.pragma("journal_mode") === "wal" || db.pragma("journal_mode = WAL") === "wal") return;
      throw new Fault("denied", `The registry ${db.path} is on a file system without WAL`, {
        subject: db.path,
      });
    } catch (error) {
      const busy = error instanceof Fault && error.kind === "busy";
      if (!busy || performance.now() > deadline) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, WAL_RETRY_MS);
    }
  }
}
