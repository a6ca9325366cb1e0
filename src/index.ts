// The library's public API: logs, mounts and downloads as the command line does, from the program's
// own process. Loads registry, stores and native code when they are first needed.

import { resolve } from "node:path";
import type { DownloadProgress, DownloadReport, MissingFile } from "./daemon/download.js";
import type { Environment, Home } from "./daemon/home.js";
import type { LogProgress, LogReport, LogSource } from "./daemon/log.js";
import type { MountReport, MountRequest } from "./daemon/client.js";
import type { Assurance } from "./model/assurance.js";
import type { Entry } from "./model/entry.js";
import { Fault } from "./model/fault.js";
import type { Metadata } from "./model/metadata.js";
import { checkMetadata } from "./model/metadata.js";
import { checkName, checkType, parseRef } from "./model/ref.js";
import type { StatusReport } from "./daemon/protocol.js";
import type { Collection, Version as VersionRecord } from "./registry/version.js";

export type {
  Assurance,
  Collection,
  DownloadProgress,
  DownloadReport,
  Entry,
  LogProgress,
  Metadata,
  MissingFile,
  StatusReport,
};
export type { Claim, DigestAlgorithm, Digests } from "./model/digest.js";
export type { Pin } from "./model/pin.js";
export { Fault, type FaultKind } from "./model/fault.js";

const DEFAULT_MAX_OBJECTS = 10_000;
const DEFAULT_TIMEOUT_MS = 60_000;

export interface OpenOptions {
  /** The folder that holds everything; default: `REFMOUNT_HOME`, else the XDG folders. */
  readonly home?: string;
  /** Where credentials, endpoints and folders are looked up; default: `process.env`. */
  readonly environment?: Environment;
}

export interface ArtifactOptions {
  readonly type: string;
  readonly description?: string;
  /** A JSON object of at most 100 keys. */
  readonly metadata?: Readonly<Record<string, unknown>>;
}

export interface ReferenceOptions {
  /** Where the objects go in the artifact; for a single object, its whole path. Default: the top. */
  readonly name?: string;
  /** False: pin nothing of these objects and read nothing. */
  readonly checksum?: boolean;
  /** Fail when this reference has more objects. */
  readonly maxObjects?: number;
}

export interface LogOptions {
  /** Besides `latest`, which always moves. */
  readonly aliases?: readonly string[];
  readonly tags?: readonly string[];
  /** Fail when there are more objects over all references; default 10,000. */
  readonly maxObjects?: number;
  /** False: pin nothing and read nothing. */
  readonly checksum?: boolean;
  /** Read every object and record its SHA-256. */
  readonly hash?: boolean;
  /** `version`: fail unless every object has a version id. */
  readonly pin?: "version";
  /** `skip`: leave out objects whose path is taken or impossible. */
  readonly onConflict?: "fail" | "skip";
  /** How long a new version lives, in milliseconds; default: as its artifact says. */
  readonly ttlMs?: number;
  /** The id of the run that produced it; default: the one that `REFMOUNT_RUN` names. */
  readonly run?: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: LogProgress) => void;
  readonly onNotice?: (message: string) => void;
}

export interface UseOptions {
  /** Refuse an artifact of another type. */
  readonly type?: string;
}

export interface MountOptions {
  readonly allowOther?: boolean;
  /** Refuse files that are assured by less; default `pin`. */
  readonly require?: Assurance;
  /** Limit of the daemon's cache, in bytes; default 80 % of what is free. */
  readonly cacheBytes?: number;
  /** How long a reader waits for bytes that make no progress, in milliseconds; default 60,000. */
  readonly timeoutMs?: number;
  readonly driver?: MountRequest["driver"];
  readonly io?: MountRequest["io"];
}

export interface DownloadOptions {
  /** Only paths that begin with this text. */
  readonly pathPrefix?: string;
  /** List what the store no longer has, instead of failing. */
  readonly allowMissing?: boolean;
  /** Refuse files that are assured by less; default `pin`. */
  readonly require?: Assurance;
  /** How long a fetch goes on trying without progress, in milliseconds; default 60,000. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: DownloadProgress) => void;
  readonly onNotice?: (message: string) => void;
}

/** What is to be logged: a name, a type, and references. Reads nothing until it is logged. */
export class Artifact {
  /** `[entity/][project/]name` */
  readonly name: string;
  readonly type: string;
  readonly description: string | null;
  readonly metadata: Metadata;
  readonly #sources: LogSource[] = [];
  #logged = false;

  /** @throws Fault `usage` for a bad name, a reserved type, or metadata that is no JSON object. */
  constructor(name: string, options: ArtifactOptions) {
    const ref = parseRef(name);
    if (name.includes(":")) throw new Fault("usage", `"${name}" names a version, not an artifact`);
    this.name = name;
    this.type = checkType(options.type, checkName(ref.name));
    this.description = options.description ?? null;
    this.metadata = checkMetadata(options.metadata ?? {});
  }

  /**
   * Adds an object, or everything below a prefix or in a folder; `refmount://NAME:ALIAS[/PATH]` adds
   * entries of another artifact, `@FILE` what a list names, one object a line.
   * @throws Fault `usage` for a uri without a scheme that is known, a bad name, or once it is logged.
   */
  async addReference(uri: string, options: ReferenceOptions = {}): Promise<void> {
    const { checkSource } = await import("./daemon/log.js");
    if (this.#logged) {
      throw new Fault("usage", `Artifact "${this.name}" was logged and cannot be changed any more`);
    }
    const { name = null, checksum, maxObjects } = options;
    this.#sources.push({
      ...checkSource(uri, name),
      ...(checksum === undefined ? {} : { checksum }),
      ...(maxObjects === undefined ? {} : { maxObjects }),
    });
  }

  /** The references in the order they were added. */
  get sources(): readonly LogSource[] {
    return this.#sources;
  }

  /** Ends the time in which references can be added: called when a log of it begins. */
  finalize(): void {
    this.#logged = true;
  }
}

/** The artifacts of one home. */
export class Refmount {
  readonly #home: Home;
  readonly #environment: Environment;

  private constructor(home: Home, environment: Environment) {
    this.#home = home;
    this.#environment = environment;
  }

  /** @throws Fault `denied` when a folder of the home cannot be made. */
  static async open(options: OpenOptions = {}): Promise<Refmount> {
    const { openHome } = await import("./daemon/home.js");
    const environment = options.environment ?? process.env;
    return new Refmount(openHome(options.home, environment), environment);
  }

  /**
   * Logs an artifact: all or nothing. The same content again gives the same version.
   * @throws Fault; the abort reason when the signal fires first.
   */
  async log(artifact: Artifact, options: LogOptions = {}): Promise<LoggedVersion> {
    const { logReferences } = await import("./daemon/log.js");
    artifact.finalize();
    const report = await logReferences(
      this.#home,
      {
        name: artifact.name,
        type: artifact.type,
        sources: artifact.sources,
        aliases: options.aliases ?? [],
        tags: options.tags ?? [],
        description: artifact.description,
        metadata: artifact.metadata,
        maxObjects: options.maxObjects ?? DEFAULT_MAX_OBJECTS,
        checksum: options.checksum ?? true,
        hash: options.hash ?? false,
        pinVersion: options.pin === "version",
        onConflict: options.onConflict ?? "fail",
        ttl: options.ttlMs ?? "inherit",
        producer: { run: options.run ?? null, command: null },
      },
      {
        environment: this.#environment,
        signal: options.signal ?? new AbortController().signal,
        onNotice: options.onNotice ?? (() => undefined),
        ...(options.onProgress === undefined ? {} : { onProgress: options.onProgress }),
      },
    );
    const version = await this.#find(report.ref, {});
    return new LoggedVersion(this.#home, this.#environment, version, report);
  }

  /**
   * The version that a ref names.
   * @throws Fault `not-found`; `usage` when it is of another type.
   */
  async use(ref: string, options: UseOptions = {}): Promise<Version> {
    return new Version(this.#home, this.#environment, await this.#find(ref, options));
  }

  /** Every collection, by name. */
  async collections(): Promise<readonly Collection[]> {
    const { listCollections } = await import("./daemon/browse.js");
    return listCollections(this.#home);
  }

  /**
   * The versions of a collection, oldest first.
   * @throws Fault `not-found`
   */
  async versions(name: string): Promise<readonly Version[]> {
    const { listVersions } = await import("./daemon/browse.js");
    const records = listVersions(this.#home, name);
    return records.map((record) => new Version(this.#home, this.#environment, record));
  }

  /** What the daemon does; null while none runs. */
  async status(): Promise<StatusReport | null> {
    const { readStatus } = await import("./daemon/client.js");
    return readStatus(this.#home);
  }

  async #find(ref: string, { type }: UseOptions): Promise<VersionRecord> {
    const { findVersion } = await import("./daemon/browse.js");
    return findVersion(this.#home, ref, type);
  }
}

/** One version, pinned: an alias that moves later does not move it. */
export class Version {
  /** All that is known of it. */
  readonly record: VersionRecord;
  readonly #home: Home;
  readonly #environment: Environment;

  /** @internal made by `Refmount` */
  constructor(home: Home, environment: Environment, record: VersionRecord) {
    this.#home = home;
    this.#environment = environment;
    this.record = record;
  }

  /** `[entity/][project/]name:vN` */
  get ref(): string {
    return this.record.ref;
  }

  /** `vN` */
  get version(): string {
    return this.record.version;
  }

  /** The digest that W&B computes of the same manifest. */
  get digest(): string {
    return this.record.digest;
  }

  get files(): number {
    return this.record.files;
  }

  get bytes(): number {
    return this.record.bytes;
  }

  get aliases(): readonly string[] {
    return this.record.aliases;
  }

  /** Every entry in path order. To be read to its end or left. */
  async *entries(): AsyncIterableIterator<Entry> {
    const { listEntries } = await import("./daemon/browse.js");
    yield* listEntries(this.#home, this.record);
  }

  /** Mounts it at an existing directory; settles when that is readable. */
  async mount(dir: string, options: MountOptions = {}): Promise<Mount> {
    const { mountRef, unmountDir } = await import("./daemon/client.js");
    const report = await mountRef(
      this.#home,
      {
        ref: this.ref,
        dir,
        allowOther: options.allowOther ?? false,
        require: options.require ?? "pin",
        cacheBytes: options.cacheBytes ?? null,
        timeoutMs: options.timeoutMs ?? DEFAULT_TIMEOUT_MS,
        driver: options.driver ?? "native",
        io: options.io ?? "auto",
        foreground: false,
      },
      this.#environment,
    );
    return new Mount(report, (force) => unmountDir(this.#home, report.path, { force }));
  }

  /**
   * Copies its files, verified; equal files that are there already are kept.
   * @param dir default: `./artifacts/NAME:vN`
   * @throws Fault `drifted` when files are missing and that is not allowed.
   */
  async download(
    dir: string | null = null,
    options: DownloadOptions = {},
  ): Promise<DownloadReport> {
    const { downloadRef } = await import("./daemon/download.js");
    return downloadRef(
      this.#home,
      {
        ref: this.ref,
        type: null,
        dir: dir === null ? null : resolve(dir),
        pathPrefix: options.pathPrefix ?? "",
        allowMissing: options.allowMissing ?? false,
        require: options.require ?? "pin",
        timeoutMs: options.timeoutMs ?? DEFAULT_TIMEOUT_MS,
      },
      {
        environment: this.#environment,
        signal: options.signal ?? new AbortController().signal,
        onNotice: options.onNotice ?? (() => undefined),
        ...(options.onProgress === undefined ? {} : { onProgress: options.onProgress }),
      },
    );
  }
}

/** What `log` gives: the version, and what became of it. */
export class LoggedVersion extends Version {
  /** False when the same content was logged before. */
  readonly created: boolean;
  /** True when that version got another manifest with the same W&B digest. */
  readonly revised: boolean;

  /** @internal made by `Refmount` */
  constructor(home: Home, environment: Environment, record: VersionRecord, report: LogReport) {
    super(home, environment, record);
    this.created = report.created;
    this.revised = report.revised;
  }
}

/** A mounted version; `await using` unmounts it. */
export class Mount implements AsyncDisposable {
  readonly ref: string;
  /** Absolute. */
  readonly path: string;
  /** What the user should know of it. */
  readonly notes: readonly string[];
  readonly #unmount: (force: boolean) => Promise<void>;

  /** @internal made by `Version` */
  constructor(report: MountReport, unmount: (force: boolean) => Promise<void>) {
    this.ref = report.ref;
    this.path = report.path;
    this.notes = report.notes;
    this.#unmount = unmount;
  }

  /**
   * Unmounts it; settles when it is gone.
   * @throws Fault `busy` when it is in use and not forced; `not-found` when it is gone already.
   */
  unmount(options: { readonly force?: boolean } = {}): Promise<void> {
    return this.#unmount(options.force ?? false);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.unmount();
    } catch (error) {
      // Unmounted by somebody else: that is what was wanted.
      if (!(error instanceof Fault) || error.kind !== "not-found") throw error;
    }
  }
}
