// `log`: lists what the sources name, hashes what is to be hashed, seals the manifest and records the
// version. All or nothing: until the last step, which is one transaction, there is no version.

import type { Readable } from "node:stream";
import { isDeepStrictEqual } from "node:util";
import { Fault } from "../model/fault.js";
import { checkMetadata } from "../model/metadata.js";
import { parseRef } from "../model/ref.js";
import { ManifestWriter } from "../registry/manifest-writer.js";
import { Registry, type LogRequest as RegistryRequest } from "../registry/registry.js";
import type { TimeToLive } from "../registry/retention.js";
import type { Version } from "../registry/version.js";
import { withRetry } from "../stores/retry.js";
import { openStores } from "../stores/schemes.js";
import { ArtifactSources, isArtifactUri } from "./artifact-source.js";
import { collect } from "./collect.js";
import { Finder } from "./find.js";
import type { Environment, Home } from "./home.js";
import { describeSource, type LogSource } from "./log-source.js";
import { captureProducer, type ProducerClaim } from "./provenance.js";

export { checkSource, parseSource, type LogSource } from "./log-source.js";

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
  /** How long a new version lives. */
  readonly ttl: TimeToLive;
  readonly producer: ProducerClaim;
}

export interface LogWatch {
  readonly environment: Environment;
  readonly signal: AbortSignal;
  readonly onProgress?: (progress: LogProgress) => void;
  readonly onNotice: (message: string) => void;
  /** Opens what a list `@-` is read from; missing where there is no standard input. */
  readonly openStdin?: () => Readable;
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
  /** What was `latest` until then, as `name:vN`; null where nothing was. */
  readonly previous: string | null;
}

const FETCH_TIMEOUT_MS = 60_000;

/**
 * Logs a version.
 * @throws Fault; the abort reason when the signal fires before the version is recorded.
 */
export async function logReferences(
  home: Home,
  request: LogRequest,
  watch: LogWatch,
): Promise<LogReport> {
  const checked = toRegistryRequest(request);
  const producer = await captureProducer(watch.environment, request.producer);
  using registry = Registry.open(home);
  registry.checkLog(checked);
  // It must be there before the long work, not only after it.
  if ("run" in producer) registry.runs.find(producer.run);
  using artifacts = new ArtifactSources(registry, home.manifestsDir);
  const sources = request.sources.map((source) =>
    isArtifactUri(source.uri) ? { ...source, uri: artifacts.pin(source.uri) } : source,
  );
  const recorded = { ...checked, sources: sources.map(describeSource) };
  using writer = ManifestWriter.create(home.manifestsDir);
  await fill(writer, { ...request, sources }, artifacts, watch);
  // From here on nothing waits, so no signal comes between the manifest and its version.
  watch.signal.throwIfAborted();
  const origin = { producer, used: artifacts.pinned };
  const { version, created, revised, previous } = registry.log(recorded, writer.seal(), origin);
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
    previous,
  };
}

/** Adds to `writer` what the sources name. */
async function fill(
  writer: ManifestWriter,
  request: LogRequest,
  artifacts: ArtifactSources,
  watch: LogWatch,
): Promise<void> {
  const { checksum, pinVersion, maxObjects, hash, onConflict } = request;
  const { signal, onNotice } = watch;
  let hashedBytes = 0;
  const tell = (): void => watch.onProgress?.({ found: finder.found, hashedBytes });
  const stores = openStores(watch.environment);
  const finder = new Finder({
    ...{ stores, artifacts, checksum, pinVersion, maxObjects, onNotice },
    onFound: tell,
    openStdin: watch.openStdin,
  });
  try {
    await collect(request.sources, {
      ...{ finder, writer, hash, onConflict, signal, onNotice },
      fetch: withRetry(stores.fetch, { timeoutMs: FETCH_TIMEOUT_MS }),
      timeoutMs: FETCH_TIMEOUT_MS,
      onBytes: (bytes) => {
        hashedBytes += bytes;
        tell();
      },
    });
  } finally {
    await stores.close();
  }
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
    ttl: request.ttl,
  };
}
