// Reads of the registry: rows into collections and versions. Changes nothing.

import { ASSURANCES, type Assurance } from "../model/assurance.js";
import { Fault } from "../model/fault.js";
import type { Metadata } from "../model/metadata.js";
import { formatRef } from "../model/ref.js";
import { LATEST } from "./labels.js";
import type { Database, Described, Statement } from "./sqlite.js";
import {
  formatBase,
  type Collection,
  type Coordinates,
  type Revision,
  type Version,
} from "./version.js";

export interface CollectionRow {
  readonly id: number;
  readonly entity: string;
  readonly project: string;
  readonly name: string;
  readonly type: string;
  readonly created_ms: number;
  /** Null: versions live for ever. */
  readonly ttl_ms: number | null;
}

export interface VersionRow {
  readonly id: number;
  readonly collection_id: number;
  readonly number: number;
  readonly digest: string;
  readonly description: string | null;
  readonly metadata: string;
  readonly created_ms: number;
  /** Null: that of the collection; 0: for ever. */
  readonly ttl_ms: number | null;
  /** Null while it lives. */
  readonly deleted_ms: number | null;
  /** 1: it cannot be brought back any more. */
  readonly purged: number;
}

interface RevisionRow {
  readonly number: number;
  readonly manifest_digest: string;
  readonly files: number;
  readonly bytes: number;
  readonly unknown_sizes: number;
  readonly assurances: string;
  readonly sources: string;
  readonly created_ms: number;
}

const COLLECTION = `
  SELECT c.id, e.name AS entity, p.name AS project, c.name, c.type, c.created_ms, c.ttl_ms
  FROM collection c JOIN project p ON p.id = c.project_id JOIN entity e ON e.id = p.entity_id`;

export class Catalog {
  readonly #described: Described;
  readonly #collection: Statement<[string, string, string], CollectionRow>;
  readonly #collections: Statement<[], CollectionRow>;
  readonly #versions: Statement<[number], VersionRow>;
  readonly #deleted: Statement<[number], VersionRow>;
  readonly #newest: Statement<[number], VersionRow>;
  readonly #versionCount: Statement<[number], { count: number }>;
  readonly #versionByNumber: Statement<[number, number], VersionRow>;
  readonly #everyVersionByNumber: Statement<[number, number], VersionRow>;
  readonly #versionByAlias: Statement<[number, string], VersionRow>;
  readonly #versionByDigest: Statement<[number, string], VersionRow>;
  readonly #manifestDigests: Statement<[number], { manifest_digest: string }>;
  readonly #revisions: Statement<[number], RevisionRow>;
  readonly #aliasesOfVersion: Statement<[number], { alias: string }>;
  readonly #aliases: Statement<[number], { alias: string; number: number }>;
  readonly #tags: Statement<[number], { tag: string }>;

  constructor(db: Database, described: Described) {
    this.#described = described;
    this.#collection = db.prepare(`${COLLECTION} WHERE e.name = ? AND p.name = ? AND c.name = ?`);
    this.#collections = db.prepare(`${COLLECTION} ORDER BY e.name, p.name, c.name`);
    this.#versions = db.prepare(
      "SELECT * FROM version WHERE collection_id = ? AND deleted_ms IS NULL ORDER BY number",
    );
    this.#deleted = db.prepare(
      "SELECT * FROM version WHERE collection_id = ? AND deleted_ms IS NOT NULL AND purged = 0 ORDER BY number",
    );
    this.#newest = db.prepare(
      "SELECT * FROM version WHERE collection_id = ? AND deleted_ms IS NULL ORDER BY number DESC LIMIT 1",
    );
    this.#versionCount = db.prepare(
      "SELECT count(*) AS count FROM version WHERE collection_id = ? AND deleted_ms IS NULL",
    );
    this.#versionByNumber = db.prepare(
      "SELECT * FROM version WHERE collection_id = ? AND number = ? AND purged = 0",
    );
    this.#everyVersionByNumber = db.prepare(
      "SELECT * FROM version WHERE collection_id = ? AND number = ?",
    );
    this.#versionByAlias = db.prepare(`
      SELECT v.* FROM alias a JOIN version v ON v.id = a.version_id
      WHERE a.collection_id = ? AND a.alias = ?`);
    this.#versionByDigest = db.prepare(
      "SELECT * FROM version WHERE collection_id = ? AND digest = ? AND deleted_ms IS NULL",
    );
    this.#manifestDigests = db.prepare(
      `SELECT DISTINCT manifest_digest FROM revision r JOIN version v ON v.id = r.version_id
       WHERE v.deleted_ms IS NULL OR v.deleted_ms >= ?`,
    );
    this.#revisions = db.prepare(
      "SELECT * FROM revision WHERE version_id = ? ORDER BY number DESC",
    );
    this.#aliasesOfVersion = db.prepare(
      "SELECT alias FROM alias WHERE version_id = ? ORDER BY alias",
    );
    this.#aliases = db.prepare(`
      SELECT a.alias, v.number FROM alias a JOIN version v ON v.id = a.version_id
      WHERE a.collection_id = ? ORDER BY v.number DESC, a.alias`);
    this.#tags = db.prepare("SELECT tag FROM tag WHERE version_id = ? ORDER BY id");
  }

  findCollection({ entity, project, name }: Coordinates): CollectionRow | undefined {
    return this.#collection.get(entity ?? "", project ?? "", name);
  }

  /** In the order of entity, project and name. */
  collectionRows(): readonly CollectionRow[] {
    return this.#collections.all();
  }

  /** Oldest first. */
  versionRows(collection: CollectionRow): readonly VersionRow[] {
    return this.#versions.all(collection.id);
  }

  /** Those that were deleted and can still be brought back, oldest first. */
  deletedRows(collection: CollectionRow): readonly VersionRow[] {
    return this.#deleted.all(collection.id);
  }

  /** Also one that was deleted, until it is purged. */
  versionByNumber(collection: CollectionRow, number: number): VersionRow | undefined {
    return this.#versionByNumber.get(collection.id, number);
  }

  /** Also one that was purged: then it has nothing but its number and digest. */
  everyVersionByNumber(collection: CollectionRow, number: number): VersionRow | undefined {
    return this.#everyVersionByNumber.get(collection.id, number);
  }

  /** Where nobody has `latest`, the newest version answers to it. */
  versionByAlias(collection: CollectionRow, alias: string): VersionRow | undefined {
    const found = this.#versionByAlias.get(collection.id, alias);
    return found ?? (alias === LATEST ? this.#newest.get(collection.id) : undefined);
  }

  versionByDigest(collection: CollectionRow, digest: string): VersionRow | undefined {
    return this.#versionByDigest.get(collection.id, digest);
  }

  /** Those of deleted versions included, unless they were deleted before a moment. */
  manifestDigests(unlessDeletedBeforeMs: number): ReadonlySet<string> {
    return new Set(
      this.#manifestDigests.all(unlessDeletedBeforeMs).map((row) => row.manifest_digest),
    );
  }

  /** Those of the newest versions first. */
  aliases(collection: CollectionRow): readonly { alias: string; version: string }[] {
    return this.#aliases
      .all(collection.id)
      .map(({ alias, number }) => ({ alias, version: `v${number}` }));
  }

  /** Null for one whose versions were all deleted. */
  collection(row: CollectionRow): Collection | null {
    const latest = this.versionByAlias(row, LATEST);
    if (latest === undefined) return null;
    const coordinates = coordinatesOf(row);
    return {
      ...coordinates,
      base: formatBase(coordinates),
      type: row.type,
      versionCount: this.#versionCount.get(row.id)?.count ?? 0,
      latest: this.version(row, latest),
      aliases: this.aliases(row),
      ttlMs: row.ttl_ms,
      createdMs: row.created_ms,
    };
  }

  version(collection: CollectionRow, row: VersionRow): Version {
    const revisions = this.#revisions.all(row.id).map((revision) => this.#revision(revision));
    const [newest] = revisions;
    const version = `v${row.number}`;
    if (newest === undefined) throw this.#corrupt(`${collection.name}:${version} has no manifest`);
    const { files, bytes, unknownSizes, assurances, manifestDigest, sources } = newest;
    const coordinates = coordinatesOf(collection);
    return {
      ...coordinates,
      ref: formatRef({ ...coordinates, alias: version }),
      version,
      number: row.number,
      type: collection.type,
      digest: row.digest,
      manifestDigest,
      description: row.description,
      metadata: this.#parse(row.metadata) as Metadata,
      tags: this.#tags.all(row.id).map(({ tag }) => tag),
      aliases: this.#aliasesOfVersion.all(row.id).map(({ alias }) => alias),
      files,
      bytes,
      unknownSizes,
      assurances,
      sources,
      createdMs: row.created_ms,
      ttlMs: row.ttl_ms ?? "inherit",
      expiresMs: expiryOf(collection, row),
      deletedMs: row.deleted_ms,
      revisions,
    };
  }

  #revision(row: RevisionRow): Revision {
    const assurances = this.#parse(row.assurances) as Record<Assurance, number>;
    if (ASSURANCES.some((level) => typeof assurances[level] !== "number")) {
      throw this.#corrupt("a revision has no counts");
    }
    return {
      number: row.number,
      manifestDigest: row.manifest_digest,
      files: row.files,
      bytes: row.bytes,
      unknownSizes: row.unknown_sizes,
      assurances,
      sources: this.#parse(row.sources) as readonly string[],
      createdMs: row.created_ms,
    };
  }

  #parse(text: string): unknown {
    try {
      return JSON.parse(text);
    } catch (cause) {
      throw this.#corrupt((cause as Error).message);
    }
  }

  #corrupt(why: string): Fault {
    const { what, path, remedy } = this.#described;
    return new Fault("corrupt", `${what} is damaged (${why}). ${remedy}`, { subject: path });
  }
}

function expiryOf(collection: CollectionRow, row: VersionRow): number | null {
  const ttlMs = row.ttl_ms ?? collection.ttl_ms ?? 0;
  return ttlMs === 0 ? null : row.created_ms + ttlMs;
}

function coordinatesOf({ entity, project, name }: CollectionRow): Coordinates {
  return {
    entity: entity === "" ? null : entity,
    project: project === "" ? null : project,
    name,
  };
}
