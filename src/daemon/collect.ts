// Fills a manifest writer with what the sources of a log name: reads the objects that are to be
// hashed, and leaves out, or refuses in one go, those that cannot be entries.

import { Budget } from "../model/budget.js";
import { hexToBase64 } from "../model/digest.js";
import type { Entry } from "../model/entry.js";
import { Fault } from "../model/fault.js";
import type { Fetch } from "../model/fetch.js";
import { shownUri } from "../model/shown-uri.js";
import type { ManifestWriter } from "../registry/manifest-writer.js";
import { entryPath } from "./entry-path.js";
import { uncheckedDigest, type Finder, type Found } from "./find.js";
import { checkGiven } from "./given-digest.js";
import { hashLocalFile, type Hashed } from "./hash-file.js";
import { hashObject } from "./hash-object.js";
import { inOrder } from "./in-order.js";
import { LeftOut } from "./left-out.js";
import type { LogSource } from "./log-source.js";
import { readAhead } from "./read-ahead.js";

export interface CollectOptions {
  readonly finder: Finder;
  readonly writer: ManifestWriter;
  readonly fetch: Fetch;
  /** Read the objects of stores, too. */
  readonly hash: boolean;
  /** What becomes of an object whose path is taken or cannot be. */
  readonly onConflict: "fail" | "skip";
  /** A transfer without progress for this long is given up, in milliseconds. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  readonly onNotice: (message: string) => void;
  /** Bytes that were read and hashed, not cumulative. */
  readonly onBytes: (bytes: number) => void;
}

/** An object and its entry but for the path; null when it was not read because nothing is logged. */
interface Collected {
  readonly found: Found;
  readonly entry: Omit<Entry, "path"> | null;
}

/** Files asked to be hashed at once: many, so that small ones are read by the batch. */
const READS_AT_ONCE = 512;
const READS_WINDOW = 4_096;
/** Objects of stores among them: enough to hide the latency of small ones. */
const REMOTE_AT_ONCE = 32;
/**
 * More than a page of any store's listing (Azure's have 5,000 rows), so that the next one is asked for
 * while one is written.
 */
const FOUND_AHEAD = 6_000;

/**
 * Adds an entry for every object that `sources` name.
 * @throws Fault `usage` for objects that cannot be entries, all in one; `not-found` when none can;
 * what finding and reading throw.
 */
export async function collect(
  sources: readonly LogSource[],
  options: CollectOptions,
): Promise<void> {
  const { finder, onConflict } = options;
  const collecting = new Collecting(options);
  for (const source of sources) await collecting.add(source);
  const { leftOut } = collecting;
  if (leftOut.count > 0 && onConflict === "fail") throw leftOut.toFault();
  if (leftOut.count > 0) options.onNotice(leftOut.toNotice());
  if (finder.found > 0 && leftOut.count >= finder.found) {
    throw new Fault("not-found", "Every object was left out, so there is nothing to log");
  }
  finder.tell();
}

class Collecting {
  readonly leftOut = new LeftOut();
  readonly #options: CollectOptions;
  readonly #remotePlaces = new Budget(REMOTE_AT_ONCE);

  constructor(options: CollectOptions) {
    this.#options = options;
  }

  async add(source: LogSource): Promise<void> {
    const { finder, signal } = this.#options;
    const found = readAhead((findSignal) => finder.find(source, findSignal), {
      most: FOUND_AHEAD,
      signal,
    });
    const limits = { atOnce: READS_AT_ONCE, window: READS_WINDOW, signal };
    const collected = inOrder(
      found,
      limits,
      (one, readSignal) => this.#read(one, readSignal),
      (one) => this.#withoutReading(one),
    );
    for await (const one of collected) this.#write(one);
  }

  /** What becomes of an object that needs no reading; undefined for one that does. */
  #withoutReading(found: Found): Collected | undefined {
    if (!this.#mustRead(found)) return { found, entry: entryOf(found, null) };
    // Nothing will be logged, so the only question left is which objects are in the way.
    return this.#isDoomed() ? { found, entry: null } : undefined;
  }

  /** A local file is always read; others with --hash, or when nothing else ties them to their bytes. */
  #mustRead({ listed, digests, given, checksum }: Found): boolean {
    const { hash } = this.#options;
    if (!checksum || listed.emptyDirectory === true) return false;
    if (listed.localPath !== undefined) return true;
    if (given !== null) return hash;
    if (Object.keys(digests).length > 0) return false;
    return hash || listed.needsHash === true;
  }

  #isDoomed(): boolean {
    return this.leftOut.count > 0 && this.#options.onConflict === "fail";
  }

  async #read(found: Found, signal: AbortSignal): Promise<Collected> {
    const { localPath } = found.listed;
    try {
      const hashed =
        localPath === undefined
          ? await this.#hashObject(found, signal)
          : await this.#hashFile(found, localPath, signal);
      return { found, entry: entryOf(found, hashed) };
    } catch (error) {
      throw error instanceof Fault ? at(found, error) : error;
    }
  }

  async #hashObject(found: Found, signal: AbortSignal): Promise<Hashed> {
    const { fetch, timeoutMs, onBytes } = this.#options;
    const entry = { path: found.key, ...entryOf(found, null) };
    const release = await this.#remotePlaces.acquire(1, signal);
    try {
      return await hashObject(entry, fetch, { timeoutMs, signal, onBytes });
    } finally {
      release();
    }
  }

  async #hashFile({ listed, given }: Found, path: string, signal: AbortSignal): Promise<Hashed> {
    const file = { path, uri: listed.uri, sizeBytes: listed.sizeBytes ?? 0 };
    const hashed = await hashLocalFile(file, { signal, onBytes: this.#options.onBytes });
    if (given !== null) await checkGiven(file, hashed, given, signal);
    return hashed;
  }

  #write({ found, entry }: Collected): void {
    const { key, base, single } = found;
    try {
      const path = entryPath(key, { base, single });
      if (found.listed.emptyDirectory === true) this.#options.writer.addDirectory(path);
      else if (entry !== null) this.#options.writer.add({ path, ...entry });
    } catch (error) {
      if (!(error instanceof Fault) || error.kind !== "usage") throw error;
      this.leftOut.add(describe(found), error.message);
    }
  }
}

function entryOf(found: Found, hashed: Hashed | null): Omit<Entry, "path"> {
  const { listed, digests, chunks } = found;
  const { uri, pin, claims, mtimeMs } = listed;
  return {
    sizeBytes: hashed?.sizeBytes ?? listed.sizeBytes,
    entryDigest: entryDigestOf(found, hashed),
    uri,
    pin,
    claims,
    mtimeMs,
    digests: hashed === null ? digests : { ...digests, ...hashed.digests },
    chunks: hashed === null ? chunks : hashed.chunks,
  };
}

/** W&B's digest of a local file is the MD5 of its bytes; of any other object, what the store says. */
function entryDigestOf({ listed, checksum }: Found, hashed: Hashed | null): string {
  if (listed.localPath === undefined) return listed.entryDigest;
  return checksum ? hexToBase64(hashed?.digests.md5 ?? "") : uncheckedDigest(listed.uri);
}

function at(found: Found, fault: Fault): Fault {
  if (found.where === null) return fault;
  return new Fault(fault.kind, `${found.where}: ${fault.message}`, {
    ...(fault.subject === undefined ? {} : { subject: fault.subject }),
    cause: fault,
  });
}

/** How messages name an object. */
function describe({ listed, where }: Found): string {
  const uri = shownUri(listed.uri);
  return where === null ? uri : `${where}: ${uri}`;
}
