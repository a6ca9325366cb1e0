// `download`: copies the files of a version into a directory, each fetched and verified as for a
// mount. Uses no cache; remembers first sights in the same table.

import { join } from "node:path";
import { Observed } from "../cache/observed.js";
import { receive } from "../cache/receive.js";
import { assuranceOf, satisfies, type Assurance } from "../model/assurance.js";
import { DIGEST_ALGORITHMS } from "../model/digest.js";
import type { Entry } from "../model/entry.js";
import { Fault } from "../model/fault.js";
import type { Fetch } from "../model/fetch.js";
import { addon } from "../native/addon.js";
import { Manifest } from "../registry/manifest.js";
import { Registry } from "../registry/registry.js";
import { withRetry } from "../stores/retry.js";
import { isKnownScheme, openStores, schemeOf } from "../stores/schemes.js";
import { limitsWithin } from "../stores/store.js";
import { whyUnread } from "../stores/tracking.js";
import { expectedDigests } from "./expected-digests.js";
import type { Environment, Home } from "./home.js";
import { inOrder } from "./in-order.js";
import { beginUse } from "./provenance.js";
import { MANY_REFUSED, refuseWeaker } from "./require.js";
import { TargetTree } from "./target-tree.js";

export interface DownloadRequest {
  readonly ref: string;
  /** Refuse an artifact of another type; null: any. */
  readonly type: string | null;
  /** Null: `./artifacts/NAME:vN`. */
  readonly dir: string | null;
  /** Only paths that begin with this text; "": all. */
  readonly pathPrefix: string;
  /** List what the store no longer has, and what is only tracked, instead of failing. */
  readonly allowMissing: boolean;
  /** Refuse files that are assured by less. */
  readonly require: Assurance;
  /** How long a fetch goes on trying without progress, in milliseconds. */
  readonly timeoutMs: number;
}

export interface DownloadWatch {
  readonly environment: Environment;
  readonly signal: AbortSignal;
  readonly onProgress?: (progress: DownloadProgress) => void;
  readonly onNotice: (message: string) => void;
}

export interface DownloadProgress {
  readonly files: number;
  readonly bytes: number;
  readonly doneFiles: number;
  readonly doneBytes: number;
}

export interface DownloadReport {
  readonly ref: string;
  readonly version: string;
  /** Absolute. */
  readonly path: string;
  readonly digest: string;
  /** Files that are there now, and their bytes. */
  readonly files: number;
  readonly bytes: number;
  /** Of these, fetched now. */
  readonly fetched: number;
  readonly fetchedBytes: number;
  /** Of these, there already. */
  readonly kept: number;
  /** Not there: the store no longer has what was logged, or no store can read it. */
  readonly missing: readonly MissingFile[];
}

export interface MissingFile {
  readonly path: string;
  readonly uri: string;
  readonly message: string;
}

/** Files in work at once: enough to hide the latency of small objects. */
const FILES_AT_ONCE = 24;
const FILES_WINDOW = 96;
/** Most lines about single files in one message. */
const MANY = 10;

/**
 * Downloads the files of a version; those that are there already and equal are left alone, so that a
 * broken download can be repeated.
 * @throws Fault `drifted` after everything else, when files are missing and that is not allowed; `usage`
 * when these are files of unsupported schemes only.
 */
export async function downloadRef(
  home: Home,
  request: DownloadRequest,
  watch: DownloadWatch,
): Promise<DownloadReport> {
  const use = beginUse(watch.environment, "download");
  using registry = Registry.open(home);
  const version = registry.resolve(
    request.ref,
    request.type === null ? {} : { type: request.type },
  );
  using manifest = Manifest.open(home.manifestsDir, version.manifestDigest);
  const totals = selectedTotals(manifest, request);
  const weaker = [...weakerThan(request.require, selected(manifest, request.pathPrefix))];
  refuseWeaker(request.ref, request.require, weaker, "download");

  const tree = new TargetTree(
    request.dir ?? join("artifacts", `${version.name}:${version.version}`),
  );
  using observed = Observed.open(join(home.cacheDir, "observed.sqlite"), watch.onNotice);
  const stores = openStores(watch.environment, limitsWithin(request.timeoutMs));
  const tally = new Tally(totals, watch);
  try {
    const download = new Download({
      tree,
      observed,
      fetch: withRetry(stores.fetch, { timeoutMs: request.timeoutMs }),
      request,
      tally,
    });
    const outcomes = inOrder(
      selected(manifest, request.pathPrefix),
      { atOnce: FILES_AT_ONCE, window: FILES_WINDOW, signal: watch.signal },
      (entry, signal) => download.file(entry, signal),
    );
    for await (const missing of outcomes) if (missing !== null) tally.missing.push(missing);
    for (const path of emptyDirectories(manifest, request.pathPrefix)) await tree.makeFolder(path);
  } finally {
    await stores.close();
  }
  const { ref, manifestDigest } = version;
  await use.record(home, { ref, manifestDigest }, watch.onNotice);
  if (tally.missing.length > 0 && !request.allowMissing) throw missingFault(request.ref, tally);
  return {
    ref: version.ref,
    version: version.version,
    path: tree.dir,
    digest: version.digest,
    files: tally.fetched + tally.kept,
    bytes: tally.fetchedBytes + tally.keptBytes,
    fetched: tally.fetched,
    fetchedBytes: tally.fetchedBytes,
    kept: tally.kept,
    missing: tally.missing,
  };
}

interface DownloadParts {
  readonly tree: TargetTree;
  readonly observed: Observed;
  readonly fetch: Fetch;
  readonly request: DownloadRequest;
  readonly tally: Tally;
}

class Download {
  readonly #parts: DownloadParts;

  constructor(parts: DownloadParts) {
    this.#parts = parts;
  }

  /** Brings one file into its place; gives what is to be said when the store does not have it. */
  async file(entry: Entry, signal: AbortSignal): Promise<MissingFile | null> {
    const { tally } = this.#parts;
    if (!isKnownScheme(schemeOf(entry.uri))) {
      return { path: entry.path, uri: entry.uri, message: whyUnread(entry.uri) };
    }
    const sizeBytes = await this.#sizeIfEqual(entry);
    if (sizeBytes !== null) {
      tally.keep(sizeBytes);
      return null;
    }
    try {
      tally.fetch(await this.#fetchFile(entry, signal));
      return null;
    } catch (error) {
      if (!(error instanceof Fault) || error.kind !== "drifted") throw error;
      tally.drifted = true;
      return { path: entry.path, uri: entry.uri, message: error.message };
    }
  }

  async #fetchFile(entry: Entry, signal: AbortSignal): Promise<number> {
    const { tree, observed, fetch, request, tally } = this.#parts;
    return tree.place(entry.path, entry.mtimeMs, async (partPath) => {
      const progress = tally.follow();
      try {
        const received = await receive(entry, fetch, partPath, {
          observed,
          timeoutMs: request.timeoutMs,
          signal,
          onProgress: progress.at,
        });
        if (!satisfies(received.assurance, request.require)) {
          throw new Fault(
            "usage",
            `${entry.uri} turned out to be assured by "${received.assurance}" only; ` +
              "log it with --hash, or download with a lower --require",
            { subject: entry.uri },
          );
        }
        return received.sizeBytes;
      } finally {
        progress.end();
      }
    });
  }

  /** The size of the file that is there, when it has the entry's bytes. */
  async #sizeIfEqual(entry: Entry): Promise<number | null> {
    const { tree, observed } = this.#parts;
    const expected = expectedDigests(entry, observed);
    const sizeBytes = await tree.sizeAt(entry.path);
    if (sizeBytes === null || (entry.sizeBytes ?? sizeBytes) !== sizeBytes) return null;
    const algorithm = DIGEST_ALGORITHMS.find((name) => expected[name] !== undefined);
    if (algorithm === undefined) return null;
    const hashes = await addon().hashFile(tree.pathOf(entry.path), { algorithms: [algorithm] });
    return hashes.digests[algorithm] === expected[algorithm] ? sizeBytes : null;
  }
}

function* selected(manifest: Manifest, prefix: string): Iterable<Entry> {
  for (const entry of manifest.entries()) if (entry.path.startsWith(prefix)) yield entry;
}

function* emptyDirectories(manifest: Manifest, prefix: string): Iterable<string> {
  for (const path of manifest.emptyDirectories()) if (path.startsWith(prefix)) yield path;
}

function selectedTotals(
  manifest: Manifest,
  { ref, pathPrefix }: DownloadRequest,
): { files: number; bytes: number } {
  if (pathPrefix === "") return { files: manifest.files, bytes: manifest.bytes };
  let files = 0;
  let bytes = 0;
  for (const entry of selected(manifest, pathPrefix)) {
    files += 1;
    bytes += entry.sizeBytes ?? 0;
  }
  const [directory] = emptyDirectories(manifest, pathPrefix);
  if (files === 0 && directory === undefined) {
    throw new Fault("not-found", `No path in ${ref} begins with "${pathPrefix}"`, {
      subject: pathPrefix,
    });
  }
  return { files, bytes };
}

function* weakerThan(required: Assurance, entries: Iterable<Entry>): IterableIterator<Entry> {
  let count = 0;
  for (const entry of entries) {
    if (satisfies(assuranceOf(entry), required)) continue;
    yield entry;
    if (++count === MANY_REFUSED) return;
  }
}

function missingFault(ref: string, { missing, drifted }: Tally): Fault {
  const lines = missing.slice(0, MANY).map(({ path, message }) => `  ${path}: ${message}`);
  if (missing.length > MANY) lines.push(`  and ${missing.length - MANY} more`);
  return new Fault(
    drifted ? "drifted" : "usage",
    `${missing.length} of the files of ${ref} are missing; the others are there:\n${lines.join("\n")}\n` +
      "With --allow-missing they are left out",
  );
}

/** Counts what was done and tells it. */
class Tally {
  readonly missing: MissingFile[] = [];
  /** True once the store did not have something that was logged. */
  drifted = false;
  fetched = 0;
  fetchedBytes = 0;
  kept = 0;
  keptBytes = 0;
  #inFlightBytes = 0;
  readonly #totals: { readonly files: number; readonly bytes: number };
  readonly #watch: DownloadWatch;

  constructor(totals: { readonly files: number; readonly bytes: number }, watch: DownloadWatch) {
    this.#totals = totals;
    this.#watch = watch;
  }

  keep(bytes: number): void {
    this.kept += 1;
    this.keptBytes += bytes;
    this.#tell();
  }

  fetch(bytes: number): void {
    this.fetched += 1;
    this.fetchedBytes += bytes;
    this.#tell();
  }

  /** Follows the bytes of one transfer until it ends. */
  follow(): { readonly at: (doneBytes: number) => void; end(): void } {
    let countedBytes = 0;
    const at = (doneBytes: number): void => {
      this.#inFlightBytes += doneBytes - countedBytes;
      countedBytes = doneBytes;
      this.#tell();
    };
    return {
      at,
      end: () => {
        this.#inFlightBytes -= countedBytes;
      },
    };
  }

  #tell(): void {
    this.#watch.onProgress?.({
      ...this.#totals,
      doneFiles: this.fetched + this.kept,
      doneBytes: this.fetchedBytes + this.keptBytes + this.#inFlightBytes,
    });
  }
}
