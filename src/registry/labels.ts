// What people say of versions: aliases, tags, description, metadata. Every method is one change within
// the caller's transaction; which version is meant, the caller knows.

import { Fault } from "../model/fault.js";
import type { Metadata } from "../model/metadata.js";
import { checkAlias } from "../model/ref.js";
import type { CollectionRow, VersionRow } from "./catalog.js";
import type { Database, Statement } from "./sqlite.js";

/** The alias that every log moves; without it, the newest version answers to it. */
export const LATEST = "latest";

const VERSION_LIKE = /^v[0-9]+$/;

/** @throws Fault `usage` unless `alias` may be given to a version. */
export function checkNewAlias(alias: string): string {
  checkAlias(alias);
  if (VERSION_LIKE.test(alias)) {
    throw new Fault(
      "usage",
      `Alias "${alias}" is not allowed: names like v0 and v1 are the versions themselves, which refmount numbers`,
    );
  }
  return alias;
}

export class Labels {
  readonly #setAlias: Statement<[number, string, number]>;
  readonly #removeAlias: Statement<[number, string]>;
  readonly #removeAliases: Statement<[number]>;
  readonly #addTag: Statement<[number, string]>;
  readonly #removeTag: Statement<[number, string]>;
  readonly #describe: Statement<[string | null, number]>;
  readonly #setMetadata: Statement<[string, number]>;

  constructor(db: Database) {
    this.#setAlias = db.prepare(
      `INSERT INTO alias (collection_id, alias, version_id) VALUES (?, ?, ?)
       ON CONFLICT (collection_id, alias) DO UPDATE SET version_id = excluded.version_id`,
    );
    this.#removeAlias = db.prepare("DELETE FROM alias WHERE collection_id = ? AND alias = ?");
    this.#removeAliases = db.prepare("DELETE FROM alias WHERE version_id = ?");
    this.#addTag = db.prepare(
      "INSERT INTO tag (version_id, tag) VALUES (?, ?) ON CONFLICT DO NOTHING",
    );
    this.#removeTag = db.prepare("DELETE FROM tag WHERE version_id = ? AND tag = ?");
    this.#describe = db.prepare("UPDATE version SET description = ? WHERE id = ?");
    this.#setMetadata = db.prepare("UPDATE version SET metadata = ? WHERE id = ?");
  }

  /** Gives `version` an alias, taken from whichever version of the collection has it. */
  setAlias(collection: CollectionRow, version: VersionRow, alias: string): void {
    this.#setAlias.run(collection.id, alias, version.id);
  }

  /** False when no version of the collection has it. */
  removeAlias(collection: CollectionRow, alias: string): boolean {
    return this.#removeAlias.run(collection.id, alias).changes > 0;
  }

  removeAliasesOf(version: VersionRow): void {
    this.#removeAliases.run(version.id);
  }

  addTag(version: VersionRow, tag: string): void {
    this.#addTag.run(version.id, tag);
  }

  /** False when the version does not have it. */
  removeTag(version: VersionRow, tag: string): boolean {
    return this.#removeTag.run(version.id, tag).changes > 0;
  }

  /** Null: no description. */
  describe(version: VersionRow, description: string | null): void {
    this.#describe.run(description, version.id);
  }

  setMetadata(version: VersionRow, metadata: Metadata): void {
    this.#setMetadata.run(JSON.stringify(metadata), version.id);
  }
}
