// `log`: lists what the sources name, hashes what is to be hashed, seals the manifest and records the
// version. All or nothing: until the last step, which is one transaction, there is no version.

import { createHash } from "node:crypto";
import { availableParallelism } from "node:os";
import { isDeepStrictEqual } from "node:util";
import { hexToBase64 } from "../model/digest.js";
import type { Entry } from "../model/entry.js";
import { Fault } from "../model/fault.js";
import { checkMetadata } from "../model/metadata.js";
import { parseRef } from "../model/ref.js";
import { ManifestWriter } from "../registry/manifest-writer.js";
import { Registry, type LogRequest as RegistryRequest } from "../registry/registry.js";
import type { Version } from "../registry/version.js";
import { withRetry } from "../stores/retry.js";
import { isKnownScheme, openStores, schemeOf } from "../stores/schemes.js";
import type { Listed, Store } from "../stores/store.js";
import { entryPath, placementBase } from "./entry-path.js";
import { hashLocalFile, type Hashed } from "./hash-file.js";
import { hashObject } from "./hash-object.js";
import type { Environment, Home } from "./home.js";
import { inOrder } from "./in-order.js";

/** One `--ref`. */
export interface LogSource {
  readonly uri: string;
  /** Where its objects go in the version; "" for the top. */
  readonly base: string;
}

export interface LogRequest {
  /** `[entity/][project/]name`. */
  readonly name: string;
  readonly type: string;
  readonly sources: readonly LogSource[];
  /** Besides `latest`, which always moves. */
  readonly aliases: readonly string[];
  readonly tags: readonly string[];
  readonly description: string | null;
  /** A JSON object. */
  readonly metadata: unknown;
  /** Over all sources. */
  readonly maxObjects: number;
  /** False: pin, hash and claim nothing. */
  readonly checksum: boolean;
  /** Read the objects of stores, too. */
  readonly hash: boolean;
  /** Fail where an object cannot be pinned by version. */
  readonly pinVersion: boolean;
  /** What becomes of an object whose path is taken or cannot be. */
  readonly onConflict: "fail" | "skip";
}

export interface LogWatch {
  readonly environment: Environment;
  readonly signal: AbortSignal;
  readonly onProgress?: (progress: LogProgress) => void;
  readonly onNotice: (message: string) => void;
}

export interface LogProgress {
  readonly found: number;
  readonly hashedBytes: number;
}

export interface LogReport {
  /** `name:vN`, with entity and project where they were named. */
  readonly ref: string;
  readonly version: string;
  /** The digest that W&B computes of the same manifest. */
  readonly digest: string;
  /** SHA-256 of the manifest: which bytes, exactly. */
  readonly manifestDigest: string;
  readonly files: number;
  readonly bytes: number;
  readonly aliases: readonly string[];
  /** False when the same content was logged before. */
  readonly created: boolean;
  /** True when that version has a new manifest with the same W&B digest. */
  readonly revised: boolean;
}

/** Local files asked to be hashed at once: some batches of small ones for each core. */
const LOCAL_AT_ONCE = 128 * availableParallelism();
/** Objects of stores hashed at once: enough to hide the latency of small ones. */
const REMOTE_AT_ONCE = 32;
const WINDOW_PER_SLOT = 8;
const FETCH_TIMEOUT_MS = 60_000;

/**
 * Parses a `--ref`: `[PATH=]URI`. What stands before the first "=" is a path unless it holds "://".
 * @throws Fault `usage` for a path that cannot be, or a URI without a scheme that is known.
 */
export function parseSource(text: string): LogSource {
  const equals = text.indexOf("=");
  const before = text.slice(0, Math.max(0, equals));
  const hasPath = equals >= 0 && !before.includes("://");
  return hasPath ? checkSource(text.slice(equals + 1), before) : checkSource(text, null);
}

/**
 * One reference, checked.
 * @param path where its objects go; null: the top.
 * @throws Fault `usage` for a path that cannot be, or a URI without a scheme that is known.
 */
export function checkSource(uri: string, path: string | null): LogSource {
  const scheme = schemeOf(uri);
  if (path === null && !isKnownScheme(scheme)) {
    throw new Fault(
      "usage",
      `"${uri}": the scheme "${scheme}" is not supported, so the reference can only be tracked; ` +
        `name the path of its entry with --ref PATH=${uri}`,
      { subject: uri },
    );
  }
  return { uri, base: path === null ? "" : placementBase(path) };
}

/**
 * Logs a version.
 * @throws Fault; the abort reason when the signal fires before the version is recorded.
 */
export async function logReferences(
  home: Home,
  request: LogRequest,
  watch: LogWatch,
): Promise<LogReport> {
  const recorded = toRegistryRequest(request);
  using registry = Registry.open(home);
  registry.checkLog(recorded);
  using writer = ManifestWriter.create(home.manifestsDir);
  const stores = openStores(watch.environment);
  try {
    await new Collecting(request, watch, stores, writer).run();
  } finally {
    await stores.close();
  }
  // From here on nothing waits, so no signal comes between the manifest and its version.
  watch.signal.throwIfAborted();
  const { version, created, revised } = registry.log(recorded, writer.seal());
  if (!created && describesAnew(recorded, version)) {
    watch.onNotice(
      `${version.ref} keeps the description and the metadata with which it was logged first`,
    );
  }
  return {
    ref: version.ref,
    version: version.version,
    digest: version.digest,
    manifestDigest: version.manifestDigest,
    files: version.files,
    bytes: version.bytes,
    aliases: version.aliases,
    created,
    revised,
  };
}

/** True when a log of what was logged before says other things of it. */
function describesAnew(request: RegistryRequest, logged: Version): boolean {
  const { description = null, metadata = {} } = request;
  if (description !== null && description !== logged.description) return true;
  return Object.keys(metadata).length > 0 && !isDeepStrictEqual(metadata, logged.metadata);
}

function toRegistryRequest(request: LogRequest): RegistryRequest {
  if (request.name.includes(":")) {
    throw new Fault(
      "usage",
      `"${request.name}": log takes a name alone; versions are numbered by refmount, and --alias names one`,
    );
  }
  if (request.sources.length === 0) throw new Fault("usage", "Name what to log with --ref URI");
  if (!request.checksum && (request.hash || request.pinVersion)) {
    const other = request.hash ? "--hash" : "--pin version";
    throw new Fault(
      "usage",
      `--no-checksum records nothing to check by, so ${other} contradicts it`,
    );
  }
  const { entity, project, name } = parseRef(request.name);
  return {
    entity,
    project,
    name,
    type: request.type,
    description: request.description,
    metadata: checkMetadata(request.metadata),
    aliases: request.aliases,
    tags: request.tags,
    sources: request.sources.map(({ uri, base }) => (base === "" ? uri : `${base}=${uri}`)),
  };
}

/** An object and what was learnt by reading it. */
interface Collected {
  readonly listed: Listed;
  /** Null when it was not read. */
  readonly hashed: Hashed | null;
  readonly entryDigest: string;
}

/** Fills a writer with what the sources list. */
class Collecting {
  readonly #request: LogRequest;
  readonly #watch: LogWatch;
  readonly #stores: Store;
  readonly #writer: ManifestWriter;
  #found = 0;
  #hashedBytes = 0;
  #skipped = 0;

  constructor(request: LogRequest, watch: LogWatch, stores: Store, writer: ManifestWriter) {
    this.#request = request;
    this.#watch = watch;
    this.#stores = stores;
    this.#writer = writer;
  }

  async run(): Promise<void> {
    for (const source of this.#request.sources) await this.#source(source);
    if (this.#found === this.#skipped) {
      throw new Fault("not-found", "Every object was left out, so there is nothing to log");
    }
  }

  async #source(source: LogSource): Promise<void> {
    const local = schemeOf(source.uri) === "file";
    const atOnce = local ? LOCAL_AT_ONCE : REMOTE_AT_ONCE;
    const window = local ? atOnce : atOnce * WINDOW_PER_SLOT;
    const limits = { atOnce, window, signal: this.#watch.signal };
    const listed = this.#list(source.uri);
    const work = (one: Listed, signal: AbortSignal): Promise<Collected> => this.#read(one, signal);
    for await (const collected of inOrder(listed, limits, work)) this.#add(source, collected);
  }

  async *#list(uri: string): AsyncGenerator<Listed> {
    const { maxObjects, checksum, pinVersion } = this.#request;
    const { signal, onNotice } = this.#watch;
    const listed = this.#stores.list(uri, { pinVersion, checksum, maxObjects, signal, onNotice });
    for await (const one of listed) {
      if (one.emptyDirectory !== true) this.#found += 1;
      if (this.#found > maxObjects) {
        throw new Fault(
          "usage",
          `More than ${maxObjects} objects: nothing is logged; raise it with --max-objects`,
        );
      }
      this.#tell();
      yield one;
    }
  }

  /** Reads what has to be read of an object: a local file always, others with --hash. */
  async #read(listed: Listed, signal: AbortSignal): Promise<Collected> {
    const { localPath, uri } = listed;
    const { checksum, hash } = this.#request;
    const watch = { signal, onBytes: (bytes: number) => this.#addHashedBytes(bytes) };
    if (listed.emptyDirectory === true) return { listed, hashed: null, entryDigest: "" };
    if (localPath === undefined) {
      if (!hash && (!checksum || listed.needsHash !== true)) {
        return { listed, hashed: null, entryDigest: listed.entryDigest };
      }
      const fetch = withRetry(this.#stores.fetch, { timeoutMs: FETCH_TIMEOUT_MS });
      const hashed = await hashObject(
        toEntry(listed.key, { listed, hashed: null, entryDigest: "" }),
        fetch,
        {
          ...watch,
          timeoutMs: FETCH_TIMEOUT_MS,
        },
      );
      return { listed, hashed, entryDigest: listed.entryDigest };
    }
    if (!checksum) {
      return { listed, hashed: null, entryDigest: createHash("md5").update(uri).digest("base64") };
    }
    const file = { path: localPath, uri, sizeBytes: listed.sizeBytes ?? 0 };
    const hashed = await hashLocalFile(file, watch);
    return { listed, hashed, entryDigest: hexToBase64(hashed.digests.md5 ?? "") };
  }

  #add(source: LogSource, collected: Collected): void {
    const { key, single, uri, emptyDirectory } = collected.listed;
    try {
      const path = entryPath(key, { base: source.base, single });
      if (emptyDirectory === true) this.#writer.addDirectory(path);
      else this.#writer.add(toEntry(path, collected));
    } catch (error) {
      if (!(error instanceof Fault) || error.kind !== "usage") throw error;
      if (this.#request.onConflict === "fail") {
        const message = `${uri}: ${error.message}; or leave it out with --on-conflict skip`;
        throw new Fault("usage", message, { subject: uri, cause: error });
      }
      if (emptyDirectory !== true) this.#skipped += 1;
      this.#watch.onNotice(`left out ${uri}: ${error.message}`);
    }
  }

  #addHashedBytes(bytes: number): void {
    this.#hashedBytes += bytes;
    this.#tell();
  }

  #tell(): void {
    this.#watch.onProgress?.({ found: this.#found, hashedBytes: this.#hashedBytes });
  }
}

function toEntry(path: string, { listed, hashed, entryDigest }: Collected): Entry {
  return {
    path,
    sizeBytes: hashed?.sizeBytes ?? listed.sizeBytes,
    entryDigest,
    uri: listed.uri,
    pin: listed.pin,
    digests: hashed?.digests ?? {},
    claims: listed.claims,
    chunks: hashed?.chunks ?? null,
    mtimeMs: listed.mtimeMs,
  };
}
