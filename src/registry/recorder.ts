// Records logged manifests: collections as they are first named, versions, revisions, and what is said
// of them at that moment. Every call is one step within the caller's transaction.

import { Fault } from "../model/fault.js";
import { checkMetadata, checkTags, type Metadata } from "../model/metadata.js";
import { checkName, checkType, formatRef, parseRef } from "../model/ref.js";
import type { Catalog, CollectionRow, VersionRow } from "./catalog.js";
import { checkNewAlias, LATEST, type Labels } from "./labels.js";
import type { SealedManifest } from "./manifest-meta.js";
import type { Retention, TimeToLive } from "./retention.js";
import type { Database } from "./sqlite.js";
import { formatBase, type Coordinates, type Version } from "./version.js";

/** What is to be known of a version before its manifest is sealed. */
export interface LogRequest extends Coordinates {
  readonly type: string;
  readonly description?: string | null;
  readonly metadata?: Metadata;
  /** Besides `latest`, which every log gives. */
  readonly aliases?: readonly string[];
  readonly tags?: readonly string[];
  /** How long a new version lives; "inherit" unless given. */
  readonly ttl?: TimeToLive;
  /** What was asked to be logged; shown, never used. Holds no secret. */
  readonly sources?: readonly string[];
}

export interface Logged {
  readonly version: Version;
  /** False when this content was logged before: `version` is that one. */
  readonly created: boolean;
  /** True when a version of this content got another manifest. */
  readonly revised: boolean;
  /** What was `latest` until then, as `name:vN`; null where nothing was. */
  readonly previous: string | null;
}

export class Recorder {
  readonly #db: Database;
  readonly #catalog: Catalog;
  readonly #labels: Labels;
  readonly #retention: Retention;

  constructor(db: Database, catalog: Catalog, labels: Labels, retention: Retention) {
    this.#db = db;
    this.#catalog = catalog;
    this.#labels = labels;
    this.#retention = retention;
  }

  /**
   * Throws what `record` would throw for this request.
   * @throws Fault `usage`
   */
  check(request: LogRequest): void {
    checkRequest(request);
    this.#refuseOtherType(request, this.#catalog.findCollection(request));
  }

  /** @throws Fault `usage` for a bad name, alias, tag or metadata, and for another type. */
  record(request: LogRequest, manifest: SealedManifest): Logged {
    const checked = checkRequest(request);
    const nowMs = Date.now();
    const collection = this.#makeCollection(request, nowMs);
    const latest = this.#catalog.versionByAlias(collection, LATEST);
    const existing = this.#catalog.versionByDigest(collection, manifest.wandbDigest);
    const row = existing ?? this.#addVersion(collection, manifest, checked, nowMs);
    const added = this.#addRevision(row, manifest, request.sources ?? [], nowMs);
    this.#label(collection, row, checked);
    return {
      version: this.#catalog.version(collection, row),
      created: existing === undefined,
      revised: existing !== undefined && added,
      previous: latest === undefined ? null : this.#catalog.version(collection, latest).ref,
    };
  }

  #makeCollection(request: LogRequest, nowMs: number): CollectionRow {
    const found = this.#catalog.findCollection(request);
    this.#refuseOtherType(request, found);
    if (found !== undefined) return found;
    const entity = request.entity ?? "";
    const project = request.project ?? "";
    this.#run("INSERT INTO entity (name, created_ms) VALUES (?, ?) ON CONFLICT DO NOTHING", [
      entity,
      nowMs,
    ]);
    this.#run(
      `INSERT INTO project (entity_id, name, created_ms)
       SELECT id, ?, ? FROM entity WHERE name = ? ON CONFLICT DO NOTHING`,
      [project, nowMs, entity],
    );
    this.#run(
      `INSERT INTO collection (project_id, name, type, created_ms)
       SELECT p.id, ?, ?, ? FROM project p JOIN entity e ON e.id = p.entity_id
       WHERE e.name = ? AND p.name = ?`,
      [request.name, request.type, nowMs, entity, project],
    );
    const made = this.#catalog.findCollection(request);
    if (made === undefined) throw new Error(`lost the new collection ${request.name}`);
    return made;
  }

  #addVersion(
    collection: CollectionRow,
    manifest: SealedManifest,
    { description, metadata, ttl }: CheckedRequest,
    nowMs: number,
  ): VersionRow {
    this.#run(
      `INSERT INTO version (collection_id, number, digest, description, metadata, created_ms)
       SELECT id, next_number, ?, ?, ?, ? FROM collection WHERE id = ?`,
      [manifest.wandbDigest, description, JSON.stringify(metadata), nowMs, collection.id],
    );
    this.#run("UPDATE collection SET next_number = next_number + 1 WHERE id = ?", [collection.id]);
    const made = this.#catalog.versionByDigest(collection, manifest.wandbDigest);
    if (made === undefined) throw new Error(`lost the new version of ${collection.name}`);
    this.#retention.setVersionTtl(made, ttl);
    return made;
  }

  /** False when the version has this manifest already. */
  #addRevision(
    version: VersionRow,
    manifest: SealedManifest,
    sources: readonly string[],
    nowMs: number,
  ): boolean {
    const changes = this.#run(
      `INSERT INTO revision (version_id, number, manifest_digest, files, bytes, unknown_sizes,
         assurances, sources, created_ms)
       SELECT ?, coalesce(max(number), 0) + 1, ?, ?, ?, ?, ?, ?, ?
       FROM revision WHERE version_id = ?
       ON CONFLICT (version_id, manifest_digest) DO NOTHING`,
      [
        version.id,
        manifest.digest,
        manifest.files,
        manifest.bytes,
        manifest.unknownSizes,
        JSON.stringify(manifest.assurances),
        JSON.stringify(sources),
        nowMs,
        version.id,
      ],
    );
    return changes === 1;
  }

  #label(collection: CollectionRow, version: VersionRow, { aliases, tags }: CheckedRequest): void {
    for (const alias of [LATEST, ...aliases]) this.#labels.setAlias(collection, version, alias);
    for (const tag of tags) this.#labels.addTag(version, tag);
  }

  #run(sql: string, values: readonly (string | number | null)[]): number {
    return this.#db.prepare<(string | number | null)[]>(sql).run(...values).changes;
  }

  #refuseOtherType(request: LogRequest, found: CollectionRow | undefined): void {
    if (found === undefined || found.type === request.type) return;
    const base = formatBase(request);
    throw new Fault(
      "usage",
      `Artifact "${base}" already exists with type '${found.type}'; cannot log it with type '${request.type}'. Use that type, or another name`,
      { subject: base },
    );
  }
}

interface CheckedRequest {
  readonly description: string | null;
  readonly metadata: Metadata;
  readonly aliases: readonly string[];
  readonly tags: readonly string[];
  readonly ttl: TimeToLive;
}

function checkRequest(request: LogRequest): CheckedRequest {
  // The grammar of refs is also the rule for entity and project.
  parseRef(formatRef({ ...request, alias: LATEST }));
  checkType(request.type, checkName(request.name));
  const aliases = request.aliases ?? [];
  for (const alias of aliases) checkNewAlias(alias);
  return {
    description: request.description ?? null,
    metadata: checkMetadata(request.metadata ?? {}),
    aliases,
    tags: checkTags(request.tags ?? []),
    ttl: request.ttl ?? "inherit",
  };
}
