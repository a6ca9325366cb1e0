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
  `
  -- Versions may be deleted, and are then kept for a while: only one that is not may have its content.
  CREATE TABLE version_2 (
    id INTEGER PRIMARY KEY,
    collection_id INTEGER NOT NULL REFERENCES collection,
    number INTEGER NOT NULL,
    digest TEXT NOT NULL,
    description TEXT,
    metadata TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    -- NULL: that of the collection; 0: for ever.
    ttl_ms INTEGER,
    deleted_ms INTEGER,
    -- 1: cannot be brought back any more; the row stays for its number and for the history of runs.
    purged INTEGER NOT NULL DEFAULT 0,
    UNIQUE (collection_id, number)
  ) STRICT;
  INSERT INTO version_2 (id, collection_id, number, digest, description, metadata, created_ms)
    SELECT id, collection_id, number, digest, description, metadata, created_ms FROM version;
  DROP TABLE version;
  ALTER TABLE version_2 RENAME TO version;
  CREATE UNIQUE INDEX version_content ON version (collection_id, digest) WHERE deleted_ms IS NULL;
  -- NULL: for ever.
  ALTER TABLE collection ADD COLUMN ttl_ms INTEGER;
  CREATE VIEW due_version AS
    SELECT v.id, v.created_ms + coalesce(v.ttl_ms, c.ttl_ms) AS expires_ms
    FROM version v JOIN collection c ON c.id = v.collection_id
    WHERE v.deleted_ms IS NULL AND coalesce(v.ttl_ms, c.ttl_ms, 0) > 0;

  CREATE TABLE run (
    id INTEGER PRIMARY KEY,
    -- What people write.
    name TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    title TEXT,
    command TEXT NOT NULL,
    directory TEXT,
    host TEXT NOT NULL,
    user TEXT NOT NULL,
    git TEXT,
    started_ms INTEGER NOT NULL,
    finished_ms INTEGER,
    exit_code INTEGER
  ) STRICT;
  CREATE INDEX run_started ON run (started_ms);
  CREATE TABLE run_version (
    run_id INTEGER NOT NULL REFERENCES run,
    version_id INTEGER NOT NULL REFERENCES version,
    role TEXT NOT NULL,
    how TEXT NOT NULL,
    manifest_digest TEXT NOT NULL,
    first_ms INTEGER NOT NULL,
    PRIMARY KEY (run_id, role, version_id, how, manifest_digest)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX run_version_version ON run_version (version_id, role);
  `,
];

/** The version of the schema that this program writes. */
export const SCHEMA_VERSION = MIGRATIONS.length;

/**
 * Brings the registry to `target`. Foreign keys must be off meanwhile: tables may be laid anew.
 * @param target an older version of the schema, for tests.
 * @throws Fault `usage` when a newer program wrote it.
 */
export function migrate(db: Database, target = SCHEMA_VERSION): void {
  if (versionOf(db) === target) return;
  db.write(() => {
    // Again, now that nobody else can be at it.
    for (const step of MIGRATIONS.slice(versionOf(db), target)) db.exec(step);
    const broken = db.prepare<[], { table: string }>("PRAGMA foreign_key_check").get();
    if (broken !== undefined) throw new Error(`migrating broke the references of ${broken.table}`);
    db.pragma(`user_version = ${target}`);
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
