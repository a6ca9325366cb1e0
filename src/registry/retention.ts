// How long versions live: deleted by somebody or by their time to live, brought back, and purged when
// the grace is over. Their numbers are never given again. Every method is one step within the caller's
// transaction; manifest files are not its business.

import { Fault } from "../model/fault.js";
import type { CollectionRow, VersionRow } from "./catalog.js";
import { LATEST } from "./labels.js";
import type { Database, Statement } from "./sqlite.js";

/** A time to live in milliseconds; "never" ends none; "inherit" takes that of the artifact. */
export type TimeToLive = number | "never" | "inherit";

/** How `ttl_ms` of a version is stored; null is "inherit". */
const NEVER = 0;

export class Retention {
  readonly #delete: Statement<[number, number]>;
  readonly #undelete: Statement<[number]>;
  readonly #setTtl: Statement<[number | null, number]>;
  readonly #setCollectionTtl: Statement<[number | null, number]>;
  readonly #dueOne: Statement<[number], { found: number }>;
  readonly #expire: Statement<[number, number]>;
  readonly #forgetLatest: Statement<[]>;
  readonly #purgeable: Statement<[number], { count: number }>;
  readonly #purged: readonly Statement<[number]>[];

  constructor(db: Database) {
    this.#delete = db.prepare("UPDATE version SET deleted_ms = ? WHERE id = ?");
    this.#undelete = db.prepare("UPDATE version SET deleted_ms = NULL WHERE id = ?");
    this.#setTtl = db.prepare("UPDATE version SET ttl_ms = ? WHERE id = ?");
    this.#setCollectionTtl = db.prepare("UPDATE collection SET ttl_ms = ? WHERE id = ?");
    // An alias that somebody gave protects a version; `latest`, which every log gives, does not.
    const due = `FROM due_version WHERE expires_ms <= ? AND NOT EXISTS (
      SELECT 1 FROM alias WHERE alias.version_id = due_version.id AND alias.alias <> '${LATEST}')`;
    this.#dueOne = db.prepare(`SELECT 1 AS found ${due} LIMIT 1`);
    this.#expire = db.prepare(`UPDATE version SET deleted_ms = ? WHERE id IN (SELECT id ${due})`);
    this.#forgetLatest = db.prepare(
      "DELETE FROM alias WHERE version_id IN (SELECT id FROM version WHERE deleted_ms IS NOT NULL)",
    );
    this.#purgeable = db.prepare(
      "SELECT count(*) AS count FROM version WHERE deleted_ms < ? AND purged = 0",
    );
    const gone = "(SELECT id FROM version WHERE deleted_ms < ? AND purged = 0)";
    this.#purged = [
      db.prepare(`DELETE FROM alias WHERE version_id IN ${gone}`),
      db.prepare(`DELETE FROM tag WHERE version_id IN ${gone}`),
      db.prepare(`DELETE FROM revision WHERE version_id IN ${gone}`),
      db.prepare(
        `UPDATE version SET purged = 1, description = NULL, metadata = '{}'
         WHERE deleted_ms < ? AND purged = 0`,
      ),
    ];
  }

  delete(version: VersionRow, nowMs: number): void {
    this.#delete.run(nowMs, version.id);
  }

  /** @throws Fault `usage` when another version has the same content by now. */
  undelete(version: VersionRow, sameContent: VersionRow | undefined): void {
    if (sameContent !== undefined) {
      throw new Fault(
        "usage",
        `v${version.number} cannot come back: v${sameContent.number} has the same content`,
      );
    }
    this.#undelete.run(version.id);
  }

  setVersionTtl(version: VersionRow, ttl: TimeToLive): void {
    this.#setTtl.run(ttl === "inherit" ? null : ttl === "never" ? NEVER : ttl, version.id);
  }

  setCollectionTtl(collection: CollectionRow, ttl: Exclude<TimeToLive, "inherit">): void {
    this.#setCollectionTtl.run(ttl === "never" ? null : ttl, collection.id);
  }

  /** True when the time of some version is over: then `expire` has something to do. */
  isDue(nowMs: number): boolean {
    return this.#dueOne.get(nowMs) !== undefined;
  }

  /**
   * Deletes the versions whose time is over, as of now and not of when it was: whoever shortens a time
   * to live by mistake has the whole grace to bring them back.
   */
  expire(nowMs: number): void {
    this.#expire.run(nowMs, nowMs);
    this.#forgetLatest.run();
  }

  /** How many versions were deleted before `beforeMs`. */
  purgeable(beforeMs: number): number {
    return this.#purgeable.get(beforeMs)?.count ?? 0;
  }

  /** Forgets the versions that were deleted before `beforeMs`; gives their number. */
  purge(beforeMs: number): number {
    let purged = 0;
    for (const statement of this.#purged) purged = statement.run(beforeMs).changes;
    return purged;
  }
}
