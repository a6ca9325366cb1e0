// Runs and their versions: who used what, who produced what.

import { randomInt } from "node:crypto";
import { Fault } from "../model/fault.js";
import { formatRef } from "../model/ref.js";
import type { Run, RunKind, RunStart, RunVersion } from "./run.js";
import type { Database, Statement } from "./sqlite.js";

const ID_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789";
const ID_LENGTH = 8;

export type Role = "used" | "produced";

/** A version as rows name it: its id, and the revision in question. */
export interface VersionOfRun {
  readonly versionId: number;
  readonly manifestDigest: string;
  readonly how: RunKind;
}

interface RunRow {
  readonly id: number;
  readonly name: string;
  readonly kind: RunKind;
  readonly title: string | null;
  readonly command: string;
  readonly directory: string | null;
  readonly host: string;
  readonly user: string;
  readonly git: string | null;
  readonly started_ms: number;
  readonly finished_ms: number | null;
  readonly exit_code: number | null;
}

interface RunVersionRow {
  readonly entity: string;
  readonly project: string;
  readonly name: string;
  readonly type: string;
  readonly number: number;
  readonly digest: string;
  readonly manifest_digest: string;
  readonly how: RunKind;
  readonly first_ms: number;
  readonly deleted_ms: number | null;
}

export interface RunFilter {
  readonly kinds: readonly RunKind[];
  readonly limit: number;
}

export class Runs {
  readonly #db: Database;
  readonly #byName: Statement<[string], RunRow>;
  readonly #byPrefix: Statement<[string, string], RunRow>;
  readonly #newest: Statement<[string, number], RunRow>;
  readonly #ofVersion: Statement<[number, string], RunRow>;
  readonly #versionsOf: Statement<[number, string], RunVersionRow>;
  readonly #insert: Statement<(string | number | null)[]>;
  readonly #finish: Statement<[number, number | null, number]>;
  readonly #join: Statement<[number, number, string, string, string, number]>;

  constructor(db: Database) {
    this.#db = db;
    this.#byName = db.prepare("SELECT * FROM run WHERE name = ?");
    this.#byPrefix = db.prepare("SELECT * FROM run WHERE name >= ? AND name < ? LIMIT 2");
    this.#newest = db.prepare(
      `SELECT * FROM run WHERE kind IN (SELECT value FROM json_each(?))
       ORDER BY started_ms DESC, id DESC LIMIT ?`,
    );
    this.#ofVersion = db.prepare(
      `SELECT * FROM run WHERE id IN (SELECT run_id FROM run_version WHERE version_id = ? AND role = ?)
       ORDER BY started_ms, id`,
    );
    this.#versionsOf = db.prepare(
      `SELECT e.name AS entity, p.name AS project, c.name, c.type, v.number, v.digest,
         v.deleted_ms, r.manifest_digest, r.how, r.first_ms
       FROM run_version r JOIN version v ON v.id = r.version_id
         JOIN collection c ON c.id = v.collection_id JOIN project p ON p.id = c.project_id
         JOIN entity e ON e.id = p.entity_id
       WHERE r.run_id = ? AND r.role = ? ORDER BY r.first_ms, c.name, v.number`,
    );
    this.#insert = db.prepare(
      `INSERT INTO run (name, kind, title, command, directory, host, user, git, started_ms)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    );
    this.#finish = db.prepare("UPDATE run SET finished_ms = ?, exit_code = ? WHERE id = ?");
    this.#join = db.prepare(
      `INSERT INTO run_version (run_id, version_id, role, how, manifest_digest, first_ms)
       VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
    );
  }

  /** Records a run that begins now; gives its id. */
  start(start: RunStart): string {
    return this.#db.write(() => {
      for (;;) {
        const name = Array.from({ length: ID_LENGTH }, () => ID_LETTERS[randomInt(36)]).join("");
        if (this.#byName.get(name) !== undefined) continue;
        this.#insert.run(
          name,
          start.kind,
          start.title,
          JSON.stringify(start.command),
          start.directory,
          start.host,
          start.user,
          start.git === null ? null : JSON.stringify(start.git),
          Date.now(),
        );
        return name;
      }
    });
  }

  /**
   * Records that a run has ended.
   * @param exitCode null: unknown.
   * @throws Fault `not-found`; `usage` when it has ended before.
   */
  finish(id: string, exitCode: number | null): Run {
    return this.#db.write(() => {
      const row = this.#mustFind(id);
      if (row.finished_ms !== null) {
        throw new Fault("usage", `Run ${row.name} has ended already`, { subject: row.name });
      }
      this.#finish.run(Date.now(), exitCode, row.id);
      return this.#run(this.#mustFind(row.name));
    });
  }

  /** @param id may be cut short where that is unambiguous. @throws Fault `not-found`, `usage` */
  find(id: string): Run {
    return this.#db.read(() => this.#run(this.#mustFind(id)));
  }

  /** The newest first. */
  list({ kinds, limit }: RunFilter): Run[] {
    return this.#db.read(() =>
      this.#newest.all(JSON.stringify(kinds), limit).map((row) => this.#run(row)),
    );
  }

  /**
   * Records, within the caller's transaction, that a run used or produced a version; once, however
   * often. @throws Fault `not-found`
   */
  join(id: string, role: Role, version: VersionOfRun): void {
    const { versionId, how, manifestDigest } = version;
    this.#join.run(this.#mustFind(id).id, versionId, role, how, manifestDigest, Date.now());
  }

  /** The runs that used or produced a version, oldest first; within the caller's transaction. */
  ofVersion(versionId: number, role: Role): Run[] {
    return this.#ofVersion.all(versionId, role).map((row) => this.#run(row));
  }

  #mustFind(id: string): RunRow {
    const exact = this.#byName.get(id);
    if (exact !== undefined) return exact;
    // "~" follows every letter of an id.
    const [found, other] = id === "" ? [] : this.#byPrefix.all(id, `${id}~`);
    if (found !== undefined && other === undefined) return found;
    throw found === undefined
      ? new Fault("not-found", `There is no run "${id}": "refmount runs ls" shows what there is`, {
          subject: id,
        })
      : new Fault("usage", `"${id}" begins the ids of several runs: write more of it`, {
          subject: id,
        });
  }

  #run(row: RunRow): Run {
    return {
      id: row.name,
      kind: row.kind,
      title: row.title,
      command: JSON.parse(row.command) as readonly string[],
      directory: row.directory,
      host: row.host,
      user: row.user,
      git: row.git === null ? null : (JSON.parse(row.git) as Run["git"]),
      startedMs: row.started_ms,
      finishedMs: row.finished_ms,
      exitCode: row.exit_code,
      used: this.#versionsOf.all(row.id, "used").map(toRunVersion),
      produced: this.#versionsOf.all(row.id, "produced").map(toRunVersion),
    };
  }
}

function toRunVersion(row: RunVersionRow): RunVersion {
  return {
    ref: formatRef({
      entity: row.entity === "" ? null : row.entity,
      project: row.project === "" ? null : row.project,
      name: row.name,
      alias: `v${row.number}`,
    }),
    type: row.type,
    digest: row.digest,
    manifestDigest: row.manifest_digest,
    how: row.how,
    atMs: row.first_ms,
    deleted: row.deleted_ms !== null,
  };
}
