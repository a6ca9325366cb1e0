// The registry: which artifacts there are, their versions and aliases, and which manifest each
// version has. Reads no bytes of anybody's data.

import { existsSync } from "node:fs";
import { Fault } from "../model/fault.js";
import { checkMetadata, checkTags, type Metadata } from "../model/metadata.js";
import { formatRef, parseRef, versionNumber, type Ref } from "../model/ref.js";
import { Catalog, type VersionRow } from "./catalog.js";
import { checkNewAlias, Labels } from "./labels.js";
import { Lookup, type Found } from "./lookup.js";
import { manifestPath } from "./manifest-file.js";
import type { SealedManifest } from "./manifest-meta.js";
import { Recorder, type Logged, type LogRequest } from "./recorder.js";
import { openRegistryDatabase, type RegistryOptions } from "./registry-database.js";
import { Retention, type TimeToLive } from "./retention.js";
import { traceLineage, type Lineage } from "./lineage.js";
import type { Producer, RunKind } from "./run.js";
import { Runs, type Role } from "./runs.js";
import type { Database } from "./sqlite.js";
import { formatBase, type Collection, type Coordinates, type Version } from "./version.js";

export type { Logged, LogRequest } from "./recorder.js";
export type { RegistryOptions } from "./registry-database.js";

/** Where a version comes from. */
export interface Origin {
  readonly producer: Producer;
  /** Versions whose entries are part of it, each with the revision that was read. */
  readonly used: readonly { readonly ref: string; readonly manifestDigest: string }[];
}

export class Registry implements Disposable {
  readonly #manifestsDir: string;
  readonly #db: Database;
  readonly #catalog: Catalog;
  readonly #lookup: Lookup;
  readonly #labels: Labels;
  readonly #recorder: Recorder;
  readonly #retention: Retention;
  readonly #runs: Runs;

  /**
   * Opens the registry, made when missing.
   * @throws Fault `usage` (written by a newer refmount), `busy`, `corrupt`, `denied`, `full`.
   */
  static open(options: RegistryOptions): Registry {
    return new Registry(options);
  }

  private constructor(options: RegistryOptions) {
    const { db, described } = openRegistryDatabase(options);
    try {
      this.#catalog = new Catalog(db, described);
      this.#lookup = new Lookup(this.#catalog);
      this.#labels = new Labels(db);
      this.#retention = new Retention(db);
      this.#runs = new Runs(db);
      this.#recorder = new Recorder(db, this.#catalog, this.#labels, this.#retention);
      expire(db, this.#retention);
    } catch (error) {
      db.close();
      throw error;
    }
    this.#db = db;
    this.#manifestsDir = options.manifestsDir;
  }

  /**
   * Throws what `log` would throw for this request: to be asked before long work.
   * @throws Fault `usage`
   */
  checkLog(request: LogRequest): void {
    this.#db.guard(() => this.#recorder.check(request));
  }

  /**
   * Records a sealed manifest under a name, all or nothing: as a new version, as a new revision of
   * the version with the same content, or as what is there already. Its aliases, tags and `latest`
   * go to that version; description and metadata are those of the first log.
   * @throws Fault `usage` for a bad name, alias, tag or metadata, and for another type.
   */
  log(request: LogRequest, manifest: SealedManifest, origin: Origin | null = null): Logged {
    if (!existsSync(manifestPath(this.#manifestsDir, manifest.digest))) {
      throw new Error(`manifest ${manifest.digest} is not sealed in ${this.#manifestsDir}`);
    }
    return this.#db.write(() => {
      const logged = this.#recorder.record(request, manifest);
      if (origin !== null) this.#recordOrigin(logged.version.ref, manifest.digest, origin);
      return logged;
    });
  }

  /**
   * The version that a ref names.
   * @throws Fault `not-found`, naming what there is instead; `usage` when it is not of `type`.
   */
  resolve(ref: Ref | string, options: { readonly type?: string | undefined } = {}): Version {
    return this.#db.read(() => {
      const found = this.#lookup.version(ref);
      const { type } = found.collection;
      if (options.type !== undefined && options.type !== type) {
        const text = typeof ref === "string" ? ref : formatRef(ref);
        throw new Fault("usage", `"${text}" is of type "${type}", not "${options.type}"`, {
          subject: text,
        });
      }
      return this.#version(found);
    });
  }

  /** Every collection, in the order of entity, project and name. */
  collections(): Collection[] {
    return this.#db.read(() =>
      this.#catalog.collectionRows().flatMap((row) => this.#catalog.collection(row) ?? []),
    );
  }

  /**
   * The versions of a collection, oldest first.
   * @throws Fault `not-found`
   */
  versions(coordinates: Coordinates): Version[] {
    return this.#db.read(() => {
      const collection = this.#lookup.collection(coordinates);
      const rows = this.#catalog.versionRows(collection);
      return rows.map((row) => this.#catalog.version(collection, row));
    });
  }

  /**
   * The versions of a collection that were deleted and can still be brought back, oldest first.
   * @throws Fault `not-found`
   */
  deletedVersions(coordinates: Coordinates): Version[] {
    return this.#db.read(() => {
      const collection = this.#lookup.collection(coordinates);
      const rows = this.#catalog.deletedRows(collection);
      return rows.map((row) => this.#catalog.version(collection, row));
    });
  }

  /**
   * Gives a version aliases; one that another version has moves.
   * @throws Fault `not-found`; `usage` for a bad alias, and nothing is changed then.
   */
  addAliases(ref: Ref | string, aliases: readonly string[]): Version {
    aliases.forEach(checkNewAlias);
    return this.#change(ref, ({ collection, row }) => {
      for (const alias of aliases) this.#labels.setAlias(collection, row, alias);
    });
  }

  /**
   * Takes aliases from whichever versions have them.
   * @throws Fault `not-found` when one is not there, and nothing is changed then.
   */
  removeAliases(coordinates: Coordinates, aliases: readonly string[]): void {
    this.#db.write(() => {
      const collection = this.#lookup.collection(coordinates);
      for (const alias of aliases) {
        if (this.#labels.removeAlias(collection, alias)) continue;
        const base = formatBase(coordinates);
        throw new Fault("not-found", `No version of "${base}" has the alias "${alias}"`, {
          subject: `${base}:${alias}`,
        });
      }
    });
  }

  /** @throws Fault `not-found`; `usage` for a bad tag. */
  addTags(ref: Ref | string, tags: readonly string[]): Version {
    const checked = checkTags(tags);
    return this.#change(ref, ({ row }) => {
      for (const tag of checked) this.#labels.addTag(row, tag);
    });
  }

  /** @throws Fault `not-found` for the version or one of the tags, and nothing is changed then. */
  removeTags(ref: Ref | string, tags: readonly string[]): Version {
    return this.#change(ref, ({ collection, row }) => {
      for (const tag of tags) {
        if (this.#labels.removeTag(row, tag)) continue;
        const name = `${collection.name}:v${row.number}`;
        throw new Fault("not-found", `${name} does not have the tag "${tag}"`, { subject: name });
      }
    });
  }

  /** Says what a version is; null: takes the description away. @throws Fault `not-found` */
  describe(ref: Ref | string, description: string | null): Version {
    return this.#change(ref, ({ row }) => this.#labels.describe(row, description));
  }

  /**
   * Replaces a version's metadata by what `change` makes of it, seen by nobody else in between.
   * @throws Fault `not-found`; `usage` for metadata that break the rules.
   */
  changeMetadata(ref: Ref | string, change: (current: Metadata) => Metadata): Version {
    return this.#change(ref, (found) => {
      const { metadata } = this.#version(found);
      this.#labels.setMetadata(found.row, checkMetadata(change(metadata)));
    });
  }

  /**
   * Deletes a version; `undelete` brings it back until it is purged. Its number is not given again.
   * @param force also when it has aliases, which it then loses.
   * @throws Fault `not-found`; `busy` for one that has aliases, unless forced.
   */
  delete(ref: Ref | string, force: boolean): Version {
    return this.#change(ref, (found) => {
      const { ref: name, aliases } = this.#version(found);
      if (aliases.length > 0 && !force) {
        throw new Fault(
          "busy",
          `${name} is protected by ${aliases.length === 1 ? "the alias" : "the aliases"} ${aliases.join(", ")}: ` +
            "give them to another version, or delete it with --force",
          { subject: name },
        );
      }
      this.#labels.removeAliasesOf(found.row);
      this.#retention.delete(found.row, Date.now());
    });
  }

  /**
   * Brings back a deleted version, named by its number; one whose time was over then lives for ever.
   * @throws Fault `not-found`; `usage` when it is not deleted, or its content was logged again since.
   */
  undelete(ref: Ref | string): Version {
    const parsed = typeof ref === "string" ? parseRef(ref) : ref;
    const number = versionNumber(parsed.alias);
    if (number === null) {
      throw new Fault(
        "usage",
        `"${formatRef(parsed)}": name the version by its number, such as v3`,
      );
    }
    return this.#db.write(() => {
      const collection = this.#lookup.collection(parsed);
      const row = this.#catalog.versionByNumber(collection, number);
      // It says what there is instead.
      if (row === undefined) return this.#version(this.#lookup.version(parsed));
      if (row.deleted_ms === null) {
        throw new Fault("usage", `${formatRef(parsed)} is not deleted`, {
          subject: formatRef(parsed),
        });
      }
      this.#retention.undelete(row, this.#catalog.versionByDigest(collection, row.digest));
      const { expiresMs } = this.#catalog.version(collection, row);
      if (expiresMs !== null && expiresMs <= Date.now())
        this.#retention.setVersionTtl(row, "never");
      return this.#version(this.#lookup.version(parsed));
    });
  }

  /** How long a version lives from when it was logged. @throws Fault `not-found` */
  setVersionTtl(ref: Ref | string, ttl: TimeToLive): Version {
    return this.#change(ref, ({ row }) => this.#retention.setVersionTtl(row, ttl));
  }

  /** How long the versions of an artifact live that say nothing else. @throws Fault `not-found` */
  setTtl(coordinates: Coordinates, ttl: Exclude<TimeToLive, "inherit">): void {
    this.#db.write(() => {
      this.#retention.setCollectionTtl(this.#lookup.collection(coordinates), ttl);
    });
  }

  /** Runs, and what they have to do with versions. */
  get runs(): Pick<Runs, "start" | "finish" | "find" | "list"> {
    return this.#runs;
  }

  /**
   * Records that a run used or produced a version.
   * @param manifestDigest the revision that it was.
   * @throws Fault `not-found` for the run or the version.
   */
  recordRun(runId: string, role: Role, ref: string, manifestDigest: string, how: RunKind): void {
    this.#db.write(() => {
      const { row } = this.#lookup.version(ref);
      this.#runs.join(runId, role, { versionId: row.id, manifestDigest, how });
    });
  }

  /**
   * What a version was made from, and what was made from it. Deleted versions are part of it.
   * @throws Fault `not-found`
   */
  lineage(
    ref: Ref | string,
    directions: { readonly up: boolean; readonly down: boolean },
  ): Lineage {
    return this.#db.read(() => {
      const { ref: root, type, digest } = this.#version(this.#lookup.version(ref));
      const runsOf = (role: Role) => (of: string) => {
        const row = this.#rowOf(of);
        return row === undefined ? [] : this.#runs.ofVersion(row.id, role);
      };
      return traceLineage({ ref: root, type, digest, deleted: false }, directions, {
        producers: runsOf("produced"),
        users: runsOf("used"),
      });
    });
  }

  /**
   * Forgets for good the versions that were deleted before `beforeMs`.
   * @returns how many they were.
   */
  purge(beforeMs: number): number {
    return this.#db.write(() => this.#retention.purge(beforeMs));
  }

  /** How many versions `purge` would forget. */
  purgeable(beforeMs: number): number {
    return this.#db.guard(() => this.#retention.purgeable(beforeMs));
  }

  /**
   * The digests of all manifests that versions have, deleted ones included.
   * @param unlessDeletedBeforeMs leaves out those that only `purge` with this moment would forget.
   */
  manifestDigests(unlessDeletedBeforeMs = 0): ReadonlySet<string> {
    return this.#db.read(() => this.#catalog.manifestDigests(unlessDeletedBeforeMs));
  }

  close(): void {
    this.#db.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Changes the version that `ref` names, and gives it as it is then. */
  #change(ref: Ref | string, work: (found: Found) => void): Version {
    return this.#db.write(() => {
      const found = this.#lookup.version(ref);
      work(found);
      const row = this.#catalog.versionByNumber(found.collection, found.row.number);
      return this.#version({ ...found, row: row ?? found.row });
    });
  }

  #recordOrigin(ref: string, manifestDigest: string, { producer, used }: Origin): void {
    const run = "run" in producer ? producer.run : this.#runs.start(producer.start);
    for (const other of used) {
      // It may have been deleted since it was read: it was used all the same.
      const row = this.#rowOf(other.ref);
      if (row === undefined) continue;
      const { manifestDigest: read } = other;
      this.#runs.join(run, "used", { versionId: row.id, manifestDigest: read, how: "log" });
    }
    this.recordRun(run, "produced", ref, manifestDigest, "log");
    if (!("run" in producer)) this.#runs.finish(run, null);
  }

  /** The row of a version named by its number, deleted or purged as it may be. */
  #rowOf(ref: string): VersionRow | undefined {
    const parsed = parseRef(ref);
    const collection = this.#catalog.findCollection(parsed);
    const number = versionNumber(parsed.alias);
    if (collection === undefined || number === null) return undefined;
    return this.#catalog.everyVersionByNumber(collection, number);
  }

  #version({ collection, row }: Found): Version {
    return this.#catalog.version(collection, row);
  }
}

/** Deletes what has outlived its time. Whoever may not write, or has to wait, leaves it to the next. */
function expire(db: Database, retention: Retention): void {
  const nowMs = Date.now();
  if (!db.guard(() => retention.isDue(nowMs))) return;
  try {
    db.write(() => retention.expire(nowMs));
  } catch (error) {
    if (!(error instanceof Fault) || !["busy", "denied", "full"].includes(error.kind)) throw error;
  }
}
