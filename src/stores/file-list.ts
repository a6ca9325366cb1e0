// Lists a file or a tree of files: links inside the tree followed, what no path can show refused by
// name. Reads directories in large pieces and opens no file.

import { basename, join } from "node:path";
import { Fault } from "../model/fault.js";
import { NO_PIN } from "../model/pin.js";
import type { DirectoryChild, FileStatus } from "../native/lane.js";
import { Asker, goneIsNull, type OpenDirectory } from "./file-asker.js";
import type { Listed, ListOptions, StatOptions } from "./store.js";
import { formatFileUri, parseFileUri } from "./uri.js";

const PROGRESS_EVERY = 1_000;
/** Files that cannot be logged and are named in the error. */
const NAMED = 10;
/** How the way along a link may end where there is nothing, or never. */
const NOWHERE = ["ENOENT", "ENOTDIR", "ELOOP"];

/** Lists what `uri` names; see `Store.list`. */
export async function* listFiles(
  uri: string,
  options: ListOptions,
  timeoutMs: number,
): AsyncGenerator<Listed> {
  refuseVersions(uri, options);
  let found = 0;
  for await (const listed of new Walk(uri, options, timeoutMs).run()) {
    if (listed.emptyDirectory === true) {
      yield listed;
      continue;
    }
    found += 1;
    if (found > options.maxObjects) {
      throw new Fault(
        "usage",
        `More than ${options.maxObjects} files in ${uri}: nothing is logged; raise it with --max-objects`,
        { subject: uri },
      );
    }
    if (found % PROGRESS_EVERY === 0) options.onProgress?.(found);
    yield listed;
  }
  options.onProgress?.(found);
  if (found === 0) {
    throw new Fault("not-found", `No files in ${uri}: nothing to log`, { subject: uri });
  }
}

/** What one uri names; see `Store.stat`. */
export async function statFile(
  uri: string,
  options: StatOptions,
  timeoutMs: number,
): Promise<Listed> {
  options.signal.throwIfAborted();
  refuseVersions(uri, options);
  const asker = new Asker({ timeoutMs, signal: options.signal });
  const { real, status } = await asker.find(parseFileUri(uri), uri);
  if (status.kind !== "file") throw new Fault("usage", `${uri} is not a file`, { subject: uri });
  return single(uri, real, status);
}

function refuseVersions(uri: string, { pinVersion }: StatOptions): void {
  if (!pinVersion) return;
  throw new Fault("usage", `--pin version: files have no versions (${uri})`, { subject: uri });
}

function single(uri: string, real: string, status: FileStatus): Listed {
  const path = parseFileUri(uri);
  return { ...listedFile(basename(path), path, real, status), single: true };
}

/** One directory on the way down. */
interface Level {
  /** "" for the top, else with a "/" at its end. */
  readonly prefix: string;
  readonly directory: OpenDirectory;
  children: readonly DirectoryChild[];
  at: number;
  /** Something in it, or below it, was listed. */
  listed: boolean;
}

class Walk {
  readonly #uri: string;
  readonly #options: ListOptions;
  readonly #asker: Asker;
  /** As the user named it, and the same without symbolic links. */
  readonly #path: string;
  #root = "";
  readonly #bad: Fault[] = [];

  constructor(uri: string, options: ListOptions, timeoutMs: number) {
    this.#uri = uri;
    this.#options = options;
    this.#asker = new Asker({ timeoutMs, signal: options.signal });
    this.#path = parseFileUri(uri);
  }

  async *run(): AsyncGenerator<Listed> {
    this.#options.signal.throwIfAborted();
    const { real, status } = await this.#asker.find(this.#path, this.#uri);
    this.#root = real;
    if (status.kind === "file") {
      yield single(this.#uri, real, status);
    } else if (status.kind === "directory") {
      yield* this.#tree();
    } else {
      throw new Fault("usage", `${this.#uri} is neither a file nor a directory`, {
        subject: this.#uri,
      });
    }
  }

  /** Depth first, one open directory per level, so that memory does not grow with the tree. */
  async *#tree(): AsyncGenerator<Listed> {
    const levels: Level[] = [await this.#enter("")];
    try {
      for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
        this.#options.signal.throwIfAborted();
        const child = await this.#nextChild(level);
        if (child === null) {
          levels.pop();
          level.directory.close();
          const above = levels.at(-1);
          if (above !== undefined && !level.listed && this.#bad.length === 0) {
            yield this.#emptyDirectory(level.prefix.slice(0, -1));
          }
          if (above !== undefined) above.listed = true;
          continue;
        }
        try {
          const listed = await this.#child(level, child);
          if (listed === "directory") {
            const below = await goneIsNull(this.#enter(`${level.prefix}${child.name}/`));
            if (below !== null) levels.push(below);
          } else if (listed !== null) {
            level.listed = true;
            // Once something cannot be logged nothing will be: the rest is read for its names only.
            if (this.#bad.length === 0) yield listed;
          }
        } catch (error) {
          this.#note(error);
          if (this.#bad.length > NAMED) break;
        }
      }
    } finally {
      for (const { directory } of levels) directory.close();
    }
    if (this.#bad.length > 0) throw this.#badFault();
  }

  async #enter(prefix: string): Promise<Level> {
    const key = prefix.slice(0, -1);
    const directory = await this.#asker.openDirectory(join(this.#root, key), this.#uriOf(key));
    return { prefix, directory, children: [], at: 0, listed: false };
  }

  async #nextChild(level: Level): Promise<DirectoryChild | null> {
    if (level.at === level.children.length) {
      level.children = await level.directory.next(this.#asker.patience);
      level.at = 0;
    }
    return level.children[level.at++] ?? null;
  }

  /** Null for what is left out. */
  async #child(level: Level, child: DirectoryChild): Promise<Listed | "directory" | null> {
    const key = level.prefix + child.name;
    const inside = join(this.#root, key);
    const garbled = child.name.includes("\ufffd");
    const seen = child.error !== undefined || garbled ? await this.#look(key, inside) : child;
    if (seen === null) {
      if (!garbled) return null;
      // What is no UTF-8 was read as U+FFFD, and such a name is not found.
      throw this.#refusal(key, "has a name that is not valid UTF-8: rename it");
    }
    switch (seen.kind) {
      case "directory":
        return "directory";
      case "file":
        return listedFile(key, join(this.#path, key), inside, seen);
      case "link":
        return this.#link(key, inside);
      default:
        throw this.#refusal(
          key,
          `is ${seen.kind}, not a file: move it away, or log the folders beside it one by one`,
        );
    }
  }

  /** Null for what went away since its directory was read. */
  #look(key: string, inside: string): Promise<FileStatus | null> {
    return goneIsNull(this.#asker.look(inside, this.#uriOf(key)));
  }

  /** A link to a file of the same tree is that file; any other link would show bytes from elsewhere. */
  async #link(key: string, inside: string): Promise<Listed | null> {
    const found = await goneIsNull(this.#asker.find(inside, this.#uriOf(key)), NOWHERE);
    if (found === null) {
      throw this.#refusal(key, "is a symbolic link that leads nowhere: remove it");
    }
    const { real, status } = found;
    if (real !== this.#root && !real.startsWith(this.#root === "/" ? "/" : `${this.#root}/`)) {
      throw this.#refusal(
        key,
        `is a symbolic link out of the tree, to ${real}: log the folder that holds both, ` +
          "or replace the link by what it leads to",
      );
    }
    if (status.kind === "file") return listedFile(key, join(this.#path, key), real, status);
    if (status.kind !== "directory") {
      throw this.#refusal(key, `is a symbolic link to ${status.kind}, not to a file: remove it`);
    }
    this.#options.onNotice(
      `${this.#uriOf(key)} is a symbolic link to a directory: not followed; ` +
        "its files are logged under their own path",
    );
    return null;
  }

  #emptyDirectory(key: string): Listed {
    return {
      key,
      single: false,
      sizeBytes: 0,
      entryDigest: "",
      uri: this.#uriOf(key),
      pin: NO_PIN,
      claims: [],
      mtimeMs: null,
      emptyDirectory: true,
    };
  }

  #uriOf(key: string): string {
    return formatFileUri(join(this.#path, key));
  }

  #refusal(key: string, why: string): Fault {
    const uri = this.#uriOf(key);
    return new Fault("usage", `${uri} ${why}`, { subject: uri });
  }

  /** Remembers what is wrong with one file; anything else is thrown. */
  #note(error: unknown): void {
    if (!(error instanceof Fault) || !(error.kind === "usage" || error.kind === "denied")) {
      throw error;
    }
    this.#bad.push(error);
  }

  #badFault(): Fault {
    const [first, second] = this.#bad;
    if (first === undefined) throw new Error("nothing is wrong");
    if (second === undefined) return first;
    const count = this.#bad.length > NAMED ? `More than ${NAMED}` : String(this.#bad.length);
    const lines = this.#bad.slice(0, NAMED).map(({ message }) => `  ${message}`);
    const message = `${count} files of ${this.#uri} cannot be logged, so nothing is:\n${lines.join("\n")}`;
    return new Fault(first.kind, message, { subject: this.#uri });
  }
}

function listedFile(
  key: string,
  path: string,
  localPath: string,
  { sizeBytes, mtimeMs }: Pick<FileStatus, "sizeBytes" | "mtimeMs">,
): Listed {
  return {
    key,
    single: false,
    sizeBytes,
    entryDigest: "",
    uri: formatFileUri(path),
    pin: NO_PIN,
    claims: [],
    mtimeMs,
    localPath,
  };
}
