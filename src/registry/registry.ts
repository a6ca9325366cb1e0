// The registry: which artifacts there are, their versions and aliases, and which manifest each
// version has. Reads no bytes of anybody's data.

import { existsSync } from "node:fs";
import { Fault } from "../model/fault.js";
import { checkMetadata, checkTags, type Metadata } from "../model/metadata.js";
import { nearest } from "../model/nearest.js";
import {
  checkAlias,
  checkName,
  checkType,
  formatRef,
  parseRef,
  versionNumber,
  type Ref,
} from "../model/ref.js";
import { Catalog, type CollectionRow, type VersionRow } from "./catalog.js";
import { manifestPath } from "./manifest-file.js";
import type { SealedManifest } from "./manifest-meta.js";
import { migrate } from "./schema.js";
import { Database, DEFAULT_BUSY_TIMEOUT_MS, type Described } from "./sqlite.js";
import { formatBase, type Collection, type Coordinates, type Version } from "./version.js";

const LATEST = "latest";
const VERSION_LIKE = /^v[0-9]+$/;
const MAX_NAMED_ALIASES = 10;
const WAL_RETRY_MS = 20;

export interface RegistryOptions {
  readonly registryPath: string;
  readonly manifestsDir: string;
  /** How long to wait for another process that writes, in milliseconds. */
  readonly busyTimeoutMs?: number;
}

/** What is to be known of a version before its manifest is sealed. */
export interface LogRequest extends Coordinates {
  readonly type: string;
  readonly description?: string | null;
  readonly metadata?: Metadata;
  /** Besides `latest`, which every log gives. */
  readonly aliases?: readonly string[];
  readonly tags?: readonly string[];
  /** What was asked to be logged; shown, never used. Holds no secret. */
  readonly sources?: readonly string[];
}

export interface Logged {
  readonly version: Version;
  /** False when this content was logged before: `version` is that one. */
  readonly created: boolean;
  /** True when a version of this content got another manifest. */
  readonly revised: boolean;
}

export class Registry implements Disposable {
  readonly #manifestsDir: string;
  readonly #db: Database;
  readonly #catalog: Catalog;

  /**
   * Opens the registry, made when missing.
   * @throws Fault `usage` (written by a newer refmount), `busy`, `corrupt`, `denied`, `full`.
   */
  static open(options: RegistryOptions): Registry {
    return new Registry(options);
  }

  private constructor({ registryPath, manifestsDir, busyTimeoutMs }: RegistryOptions) {
    const timeoutMs = busyTimeoutMs ?? DEFAULT_BUSY_TIMEOUT_MS;
    const described: Described = {
      path: registryPath,
      what: `The registry ${registryPath}`,
      remedy: `Restore it from a backup, or move it away (with its -wal and -shm) to begin a new one; the manifests in ${manifestsDir} stay.`,
    };
    const db = new Database({ ...described, mode: "create", busyTimeoutMs: timeoutMs });
    try {
      useWal(db, timeoutMs);
      // A version that was printed must survive a power cut.
      db.pragma("synchronous = FULL");
      db.pragma("foreign_keys = ON");
      migrate(db);
      this.#catalog = new Catalog(db, described);
    } catch (error) {
      db.close();
      throw error;
    }
    this.#db = db;
    this.#manifestsDir = manifestsDir;
  }

  /**
   * Throws what `log` would throw for this request: to be asked before long work.
   * @throws Fault `usage`
   */
  checkLog(request: LogRequest): void {
    checkRequest(request);
    this.#db.guard(() => {
      this.#refuseOtherType(request, this.#catalog.findCollection(request));
    });
  }

  /**
   * Records a sealed manifest under a name, all or nothing: as a new version, as a new revision of
   * the version with the same content, or as what is there already. Its aliases, tags and `latest`
   * go to that version; description and metadata are those of the first log.
   * @throws Fault `usage` for a bad name, alias, tag or metadata, and for another type.
   */
  log(request: LogRequest, manifest: SealedManifest): Logged {
    const checked = checkRequest(request);
    if (!existsSync(manifestPath(this.#manifestsDir, manifest.digest))) {
      throw new Error(`manifest ${manifest.digest} is not sealed in ${this.#manifestsDir}`);
    }
    return this.#db.write(() => {
      const nowMs = Date.now();
      const collection = this.#makeCollection(request, nowMs);
      const existing = this.#catalog.versionByDigest(collection, manifest.wandbDigest);
      const row = existing ?? this.#addVersion(collection, manifest, checked, nowMs);
      const added = this.#addRevision(row, manifest, request.sources ?? [], nowMs);
      this.#label(collection, row, checked);
      return {
        version: this.#catalog.version(collection, row),
        created: existing === undefined,
        revised: existing !== undefined && added,
      };
    });
  }

  /**
   * The version that a ref names.
   * @throws Fault `not-found`, naming what there is instead; `usage` when it is not of `type`.
   */
  resolve(ref: Ref | string, options: { readonly type?: string | undefined } = {}): Version {
    const parsed = typeof ref === "string" ? parseRef(ref) : ref;
    return this.#db.read(() => {
      const collection = this.#mustFind(parsed);
      const number = versionNumber(parsed.alias);
      const row =
        number === null
          ? this.#catalog.versionByAlias(collection, parsed.alias)
          : this.#catalog.versionByNumber(collection, number);
      if (row === undefined) throw this.#noVersion(parsed, collection);
      if (options.type !== undefined && options.type !== collection.type) {
        throw new Fault(
          "usage",
          `"${formatRef(parsed)}" is of type "${collection.type}", not "${options.type}"`,
          { subject: formatRef(parsed) },
        );
      }
      return this.#catalog.version(collection, row);
    });
  }

  /** Every collection, in the order of entity, project and name. */
  collections(): Collection[] {
    return this.#db.read(() =>
      this.#catalog.collectionRows().map((row) => this.#catalog.collection(row)),
    );
  }

  /**
   * The versions of a collection, oldest first.
   * @throws Fault `not-found`
   */
  versions(coordinates: Coordinates): Version[] {
    return this.#db.read(() => {
      const collection = this.#mustFind(coordinates);
      const rows = this.#catalog.versionRows(collection);
      return rows.map((row) => this.#catalog.version(collection, row));
    });
  }

  close(): void {
    this.#db.close();
  }

  [Symbol.dispose](): void {
    this.close();
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
    { description, metadata }: CheckedRequest,
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
    for (const alias of [LATEST, ...aliases]) {
      this.#run(
        `INSERT INTO alias (collection_id, alias, version_id) VALUES (?, ?, ?)
         ON CONFLICT (collection_id, alias) DO UPDATE SET version_id = excluded.version_id`,
        [collection.id, alias, version.id],
      );
    }
    for (const tag of tags) {
      this.#run("INSERT INTO tag (version_id, tag) VALUES (?, ?) ON CONFLICT DO NOTHING", [
        version.id,
        tag,
      ]);
    }
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

  #mustFind(coordinates: Coordinates): CollectionRow {
    const found = this.#catalog.findCollection(coordinates);
    if (found !== undefined) return found;
    const base = formatBase(coordinates);
    const known = this.#catalog.collectionRows().map((row) => ({
      name: row.name,
      base: formatBase({
        entity: row.entity === "" ? null : row.entity,
        project: row.project === "" ? null : row.project,
        name: row.name,
      }),
    }));
    const elsewhere = known
      .filter(({ name }) => name === coordinates.name)
      .map((each) => each.base);
    const similar = nearest(
      base,
      known.map((each) => each.base),
    );
    const meant = [...new Set([...elsewhere, ...similar])].slice(0, MAX_NAMED_ALIASES);
    const hint =
      meant.length > 0
        ? `did you mean ${meant.map((each) => `"${each}"`).join(" or ")}?`
        : known.length > 0
          ? '"refmount ls" shows what there is'
          : "nothing was logged here yet";
    throw new Fault("not-found", `There is no artifact "${base}": ${hint}`, { subject: base });
  }

  #noVersion(ref: Ref, collection: CollectionRow): Fault {
    const base = formatBase(ref);
    const versions = this.#catalog.versionRows(collection).map(({ number }) => `v${number}`);
    const aliases = this.#catalog.aliases(collection).map(({ alias }) => alias);
    const [similar] = nearest(ref.alias, [...aliases, ...versions], 1);
    const there = [
      rangeOf("version", versions),
      rangeOf("alias", aliases.slice(0, MAX_NAMED_ALIASES), aliases.length > MAX_NAMED_ALIASES),
    ];
    const hint = similar === undefined ? "" : `; did you mean "${base}:${similar}"?`;
    return new Fault(
      "not-found",
      `"${base}" has no version or alias "${ref.alias}": it has ${there.join(" and ")}${hint}`,
      { subject: formatRef(ref) },
    );
  }
}

interface CheckedRequest {
  readonly description: string | null;
  readonly metadata: Metadata;
  readonly aliases: readonly string[];
  readonly tags: readonly string[];
}

function checkRequest(request: LogRequest): CheckedRequest {
  // The grammar of refs is also the rule for entity and project.
  parseRef(formatRef({ ...request, alias: LATEST }));
  checkType(request.type, checkName(request.name));
  const aliases = request.aliases ?? [];
  for (const alias of aliases) {
    checkAlias(alias);
    if (VERSION_LIKE.test(alias)) {
      throw new Fault(
        "usage",
        `Alias "${alias}" is not allowed: names like v0 and v1 are the versions themselves, which refmount numbers`,
      );
    }
  }
  return {
    description: request.description ?? null,
    metadata: checkMetadata(request.metadata ?? {}),
    aliases,
    tags: checkTags(request.tags ?? []),
  };
}

/** `versions v0 to v7`, `aliases best, latest`. */
function rangeOf(what: "version" | "alias", names: readonly string[], more = false): string {
  const plural = what === "version" ? "versions" : "aliases";
  const [first = "none", second] = names;
  if (second === undefined) return `${what} ${first}`;
  const last = names.at(-1) ?? first;
  if (what === "version") return `${plural} ${first} to ${last}`;
  return `${plural} ${names.join(", ")}${more ? ", ..." : ""}`;
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
