// The tables of the registry and their migrations: one step per version of the schema, never edited
// once released, only added to.

import { Fault } from "../model/fault.js";
import type { Database } from "./sqlite.js";

const MIGRATIONS: readonly string[] = [
  `
  -- The names "" of an entity and a project are the user's own.
  CREATE TABLE entity (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created_ms INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE project (
    id INTEGER PRIMARY KEY,
    entity_id INTEGER NOT NULL REFERENCES entity,
    name TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    UNIQUE (entity_id, name)
  ) STRICT;
  CREATE TABLE collection (
    id INTEGER PRIMARY KEY,
    project_id INTEGER NOT NULL REFERENCES project,
    name TEXT NOT NULL,
    type TEXT NOT NULL,
    -- Only ever grows: the number of a deleted version is not given again.
    next_number INTEGER NOT NULL DEFAULT 0,
    created_ms INTEGER NOT NULL,
    UNIQUE (project_id, name)
  ) STRICT;
  CREATE TABLE version (
    id INTEGER PRIMARY KEY,
    collection_id INTEGER NOT NULL REFERENCES collection,
    number INTEGER NOT NULL,
    digest TEXT NOT NULL,
    description TEXT,
    metadata TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    UNIQUE (collection_id, number),
    UNIQUE (collection_id, digest)
  ) STRICT;
  CREATE TABLE revision (
    id INTEGER PRIMARY KEY,
    version_id INTEGER NOT NULL REFERENCES version,
    number INTEGER NOT NULL,
    manifest_digest TEXT NOT NULL,
    files INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    unknown_sizes INTEGER NOT NULL,
    assurances TEXT NOT NULL,
    sources TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    UNIQUE (version_id, number),
    UNIQUE (version_id, manifest_digest)
  ) STRICT;
  CREATE TABLE alias (
    collection_id INTEGER NOT NULL REFERENCES collection,
    alias TEXT NOT NULL,
    version_id INTEGER NOT NULL REFERENCES version,
    PRIMARY KEY (collection_id, alias)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX alias_version ON alias (version_id);
  CREATE TABLE tag (
    id INTEGER PRIMARY KEY,
    version_id INTEGER NOT NULL REFERENCES version,
    tag TEXT NOT NULL,
    UNIQUE (version_id, tag)
  ) STRICT;
  `,
];

/** The version of the schema that this program writes. */
export const SCHEMA_VERSION = MIGRATIONS.length;

/**
 * Brings the registry to `SCHEMA_VERSION`.
 * @throws Fault `usage` when a newer program wrote it.
 */
export function migrate(db: Database): void {
  if (versionOf(db) === SCHEMA_VERSION) return;
  db.write(() => {
    // Again, now that nobody else can be at it.
    for (const step of MIGRATIONS.slice(versionOf(db))) db.exec(step);
    db.pragma(`user_version = ${SCHEMA_VERSION}`);
  });
}

function versionOf(db: Database): number {
  const version = Number(db.pragma("user_version"));
  if (version > SCHEMA_VERSION) {
    throw new Fault(
      "usage",
      `The registry ${db.path} was written by a newer refmount (schema ${version}, this one knows ${SCHEMA_VERSION}): upgrade refmount, or use another --home`,
      { subject: db.path },
    );
  }
  return version;
}
