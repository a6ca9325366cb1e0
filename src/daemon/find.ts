// Finds what the sources of a log name: objects that the stores list, lines of lists, entries of other
// artifacts. Reads none of their bytes.

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { addAbortSignal, type Readable } from "node:stream";
import type { GivenDigest } from "../model/digest-text.js";
import type { Digests } from "../model/digest.js";
import type { Entry } from "../model/entry.js";
import { Fault } from "../model/fault.js";
import { immutableVersion, NO_PIN } from "../model/pin.js";
import { shownUri } from "../model/shown-uri.js";
import { isKnownScheme, schemeOf } from "../stores/schemes.js";
import type { Listed, Store } from "../stores/store.js";
import { isArtifactUri, type ArtifactEntry, type ArtifactSources } from "./artifact-source.js";
import { atLine, readList, type ListLine } from "./file-list.js";
import { withGiven } from "./given-digest.js";
import { inOrder } from "./in-order.js";
import { listFile, type LogSource } from "./log-source.js";

/** An object that is to become an entry. */
export interface Found {
  readonly listed: Listed;
  /** Its name below `base`; without meaning when `single` and `base` is set. */
  readonly key: string;
  readonly base: string;
  /** `base` is its whole path, unless that is "". */
  readonly single: boolean;
  /** What is known of its bytes without reading them. */
  readonly digests: Digests;
  readonly chunks: Uint8Array | null;
  /** What a list says of its bytes: whoever reads them compares. */
  readonly given: GivenDigest | null;
  /** The line of a list that names it, as messages say it. */
  readonly where: string | null;
  /** False: it is not to be read, pinned or claimed. */
  readonly checksum: boolean;
}

export interface FinderOptions {
  readonly stores: Store;
  readonly artifacts: ArtifactSources;
  readonly checksum: boolean;
  readonly pinVersion: boolean;
  /** Over all sources. */
  readonly maxObjects: number;
  readonly onNotice: (message: string) => void;
  /** Called for each object. */
  readonly onFound: () => void;
  /** Where `@-` is read from; missing where there is none. */
  readonly openStdin: (() => Readable) | undefined;
}

/** Lines of a list looked up at once: enough to hide the latency of a HEAD. */
const LINES_AT_ONCE = 32;
const LINES_WINDOW = 256;
const NO_DIGESTS: Digests = {};

export class Finder {
  readonly #options: FinderOptions;
  /** Objects of unsupported schemes, and one of them. */
  readonly #tracked = { count: 0, first: "" };
  #found = 0;
  #stdinTaken = false;

  constructor(options: FinderOptions) {
    this.#options = options;
  }

  /** Objects found so far. */
  get found(): number {
    return this.#found;
  }

  /** What one source names, in its order and in bounded memory. */
  async *find(source: LogSource, signal: AbortSignal): AsyncGenerator<Found> {
    const before = this.#found;
    const maxObjects = Math.min(this.#options.maxObjects, source.maxObjects ?? Infinity);
    for await (const found of this.#search(source, signal)) {
      if (found.listed.emptyDirectory !== true) this.#found += 1;
      if (this.#found > this.#options.maxObjects || this.#found - before > maxObjects) {
        throw new Fault(
          "usage",
          `More than ${maxObjects} objects: nothing is logged; raise it with --max-objects`,
        );
      }
      this.#options.onFound();
      yield found;
    }
  }

  /** Says once what is to be known of all that was found. */
  tell(): void {
    const { count, first } = this.#tracked;
    if (count === 0) return;
    const more = count === 1 ? "" : ` (and ${count - 1} more)`;
    this.#options.onNotice(
      `references with unsupported schemes cannot be checksummed: ${first}${more}; ` +
        "they are listed, and reading them fails",
    );
  }

  #search(source: LogSource, signal: AbortSignal): AsyncIterable<Found> | Iterable<Found> {
    const file = listFile(source.uri);
    if (file !== null) return this.#listed(source, file, signal);
    return isArtifactUri(source.uri) ? this.#inArtifact(source) : this.#inStore(source, signal);
  }

  async *#inStore(source: LogSource, signal: AbortSignal): AsyncGenerator<Found> {
    const { stores, pinVersion, maxObjects, onNotice } = this.#options;
    const { uri, base } = source;
    const checksum = this.#checks(source);
    this.#track(uri);
    const listing = { pinVersion, checksum, maxObjects, signal, onNotice };
    for await (const listed of stores.list(uri, listing)) {
      yield {
        listed,
        key: listed.key,
        base,
        single: listed.single,
        digests: NO_DIGESTS,
        chunks: null,
        given: null,
        where: null,
        checksum,
      };
    }
  }

  *#inArtifact(source: LogSource): Generator<Found> {
    const checksum = this.#checks(source);
    for (const found of this.#options.artifacts.list(source.uri)) {
      yield { ...this.#copied(found, checksum), base: source.base };
    }
  }

  async *#listed(source: LogSource, file: string, signal: AbortSignal): AsyncGenerator<Found> {
    const name = file === "-" ? "standard input" : file;
    const before = this.#found;
    const lines = readList(this.#openList(file, signal), name);
    const limits = { atOnce: LINES_AT_ONCE, window: LINES_WINDOW, signal };
    yield* inOrder(lines, limits, async (line, lineSignal) => {
      try {
        return await this.#line(source, line, `${name}:${line.number}`, lineSignal);
      } catch (error) {
        throw error instanceof Fault ? atLine(name, line.number, error) : error;
      }
    });
    if (this.#found === before) {
      throw new Fault("not-found", `The list ${name} names no object: nothing to log`);
    }
  }

  async *#openList(file: string, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const stream = file === "-" ? this.#takeStdin(signal) : createReadStream(file, { signal });
    try {
      yield* stream as AsyncIterable<Uint8Array>;
    } catch (cause) {
      signal.throwIfAborted();
      throw new Fault("usage", `Cannot read the list @${file}: ${(cause as Error).message}`, {
        subject: file,
        cause,
      });
    }
  }

  #takeStdin(signal: AbortSignal): Readable {
    const { openStdin } = this.#options;
    if (openStdin === undefined) {
      throw new Fault("usage", "There is no standard input here: name a file instead of @-");
    }
    if (this.#stdinTaken) throw new Fault("usage", "Only one list can be read from standard input");
    this.#stdinTaken = true;
    return addAbortSignal(signal, openStdin());
  }

  async #line(
    source: LogSource,
    line: ListLine,
    where: string,
    signal: AbortSignal,
  ): Promise<Found> {
    const { uri, path, digest } = line;
    const checksum = this.#checks(source);
    if (!checksum && digest !== null) {
      throw new Fault("usage", "The line gives a digest, and --no-checksum records none");
    }
    const found = isArtifactUri(uri)
      ? this.#copied(this.#options.artifacts.one(uri), checksum)
      : await this.#stat(line, checksum, signal);
    const placed = { ...found, key: path ?? found.key, base: source.base, single: false, where };
    return digest === null ? placed : withGiven(placed, digest);
  }

  async #stat(line: ListLine, checksum: boolean, signal: AbortSignal): Promise<Found> {
    const { stores, pinVersion, onNotice } = this.#options;
    const scheme = schemeOf(line.uri);
    if (!isKnownScheme(scheme) && line.path === null) {
      throw new Fault(
        "usage",
        `The scheme "${scheme}" is not supported, so the reference can only be tracked: ` +
          "give the path of its entry in the third field",
      );
    }
    this.#track(line.uri);
    const listed = await stores.stat(line.uri, { pinVersion, checksum, signal, onNotice });
    return {
      listed,
      key: listed.key,
      base: "",
      single: false,
      digests: NO_DIGESTS,
      chunks: null,
      given: null,
      where: null,
      checksum,
    };
  }

  /** An entry of an artifact as something found: with all that is known of it. */
  #copied({ key, single, entry }: ArtifactEntry, checksum: boolean): Found {
    if (entry === null) return emptyDirectory(key);
    if (this.#options.pinVersion) refuseUnversioned(entry);
    const { sizeBytes, uri, mtimeMs } = entry;
    const known = checksum
      ? entry
      : { entryDigest: uncheckedDigest(uri), pin: NO_PIN, claims: [], digests: {}, chunks: null };
    const { entryDigest, pin, claims, digests, chunks } = known;
    return {
      listed: { key, single, sizeBytes, entryDigest, uri, pin, claims, mtimeMs },
      key,
      base: "",
      single,
      digests,
      chunks,
      given: null,
      where: null,
      checksum,
    };
  }

  #checks(source: LogSource): boolean {
    return this.#options.checksum && source.checksum !== false;
  }

  #track(uri: string): void {
    if (isKnownScheme(schemeOf(uri))) return;
    this.#tracked.count += 1;
    if (this.#tracked.count === 1) this.#tracked.first = shownUri(uri);
  }
}

/** An empty directory of another artifact. */
function emptyDirectory(key: string): Found {
  const nothing = { sizeBytes: null, entryDigest: "", uri: "", pin: NO_PIN, claims: [] };
  return {
    listed: { key, single: false, ...nothing, mtimeMs: null, emptyDirectory: true },
    key,
    base: "",
    single: false,
    digests: NO_DIGESTS,
    chunks: null,
    given: null,
    where: null,
    checksum: false,
  };
}

/** The entry digest of an object that is not checked, as W&B makes it: of its uri alone. */
export function uncheckedDigest(uri: string): string {
  return schemeOf(uri) === "file" ? createHash("md5").update(uri).digest("base64") : uri;
}

function refuseUnversioned({ pin, uri }: Entry): void {
  const version = immutableVersion(pin) ?? pin.generation ?? pin.snapshot;
  if (version !== undefined) return;
  throw new Fault("usage", `--pin version: the entry of ${shownUri(uri)} has no version`, {
    subject: shownUri(uri),
  });
}
