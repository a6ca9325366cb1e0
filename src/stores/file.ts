// The file store: local disks and NFS. Lists a file or a tree and opens files for copying; it hashes
// nothing, and pins nothing: that a file is still the one that was logged shows in its hash alone.

import type { BigIntStats, Dirent } from "node:fs";
import { constants } from "node:fs";
import { lstat, open, opendir, realpath, stat } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { basename, join } from "node:path";
import type { Entry } from "../model/entry.js";
import { Fault } from "../model/fault.js";
import type { ByteRange, Fetched } from "../model/fetch.js";
import { NO_PIN } from "../model/pin.js";
import { listFault, readFault } from "./file-fault.js";
import type { Listed, ListOptions, StatOptions, Store } from "./store.js";
import { formatFileUri, parseFileUri } from "./uri.js";

const READ_BYTES = 1_048_576;
const PROGRESS_EVERY = 1_000;

/** Opens the store for `file:` uris. */
export function openFileStore(): Store {
  return {
    list: listFiles,
    stat: statFile,
    fetch: openEntry,
    close: () => Promise.resolve(),
  };
}

async function* listFiles(uri: string, options: ListOptions): AsyncIterable<Listed> {
  refuseVersions(uri, options);
  const path = parseFileUri(uri);
  let found = 0;
  for await (const listed of walk(path, uri, options)) {
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

function refuseVersions(uri: string, { pinVersion }: StatOptions): void {
  if (!pinVersion) return;
  throw new Fault("usage", `--pin version: files have no versions (${uri})`, { subject: uri });
}

async function statFile(uri: string, options: StatOptions): Promise<Listed> {
  options.signal.throwIfAborted();
  refuseVersions(uri, options);
  const path = parseFileUri(uri);
  const real = await attempt(() => realpath(path), uri);
  const stats = await attempt(() => stat(real, { bigint: true }), uri);
  if (!stats.isFile()) throw new Fault("usage", `${uri} is not a file`, { subject: uri });
  return { ...listedFile(basename(path), path, real, stats), single: true };
}

async function* walk(path: string, uri: string, options: ListOptions): AsyncGenerator<Listed> {
  const root = await attempt(() => realpath(path), uri);
  const stats = await attempt(() => stat(root, { bigint: true }), uri);
  if (stats.isFile()) {
    yield { ...listedFile(basename(path), path, root, stats), single: true };
  } else if (stats.isDirectory()) {
    yield* walkDirectory({ path, root, options }, "");
  } else {
    throw new Fault("usage", `${uri} is neither a file nor a directory`, { subject: uri });
  }
}

interface Tree {
  /** As the user named it. */
  readonly path: string;
  /** The same without symbolic links. */
  readonly root: string;
  readonly options: ListOptions;
}

/** Depth first, one open directory per level, so that memory does not grow with the tree. */
async function* walkDirectory(tree: Tree, prefix: string): AsyncGenerator<Listed> {
  const directory = join(tree.root, prefix);
  const dirents = await attempt(() => opendir(directory), formatFileUri(directory));
  for await (const dirent of dirents) {
    tree.options.signal.throwIfAborted();
    const key = prefix + dirent.name;
    if (dirent.isDirectory()) {
      yield* walkDirectory(tree, `${key}/`);
      continue;
    }
    const listed = await listDirent(tree, key, dirent);
    if (listed !== null) yield listed;
  }
}

async function listDirent(tree: Tree, key: string, dirent: Dirent): Promise<Listed | null> {
  const path = join(tree.path, key);
  const inside = join(tree.root, key);
  const uri = formatFileUri(path);
  const stats = await statOrGone(inside, uri, dirent.name);
  if (stats === null) return null;
  if (stats.isFile()) return listedFile(key, path, inside, stats);
  if (stats.isSymbolicLink()) return await listLink(tree, key, inside);
  throw new Fault(
    "usage",
    `${uri} is ${specialKind(stats)}, not a file: move it away, or log the folders beside it one by one`,
    { subject: uri },
  );
}

/** A link to a file of the same tree is that file; any other link would show bytes from elsewhere. */
async function listLink(tree: Tree, key: string, inside: string): Promise<Listed | null> {
  const uri = formatFileUri(join(tree.path, key));
  let target: string;
  try {
    target = await realpath(inside);
  } catch (cause) {
    throw new Fault("usage", `${uri} is a symbolic link that leads nowhere: remove it`, {
      subject: uri,
      cause,
    });
  }
  if (target !== tree.root && !target.startsWith(tree.root === "/" ? "/" : `${tree.root}/`)) {
    throw new Fault(
      "usage",
      `${uri} is a symbolic link out of the tree, to ${target}: log the folder that holds both, ` +
        "or replace the link by what it leads to",
      { subject: uri },
    );
  }
  const stats = await attempt(() => stat(target, { bigint: true }), uri);
  if (stats.isFile()) return listedFile(key, join(tree.path, key), target, stats);
  if (!stats.isDirectory()) {
    throw new Fault("usage", `${uri} is a symbolic link to ${specialKind(stats)}, not to a file`, {
      subject: uri,
    });
  }
  tree.options.onNotice(
    `${uri} is a symbolic link to a directory: not followed; its files are logged under their own path`,
  );
  return null;
}

function listedFile(key: string, path: string, localPath: string, stats: BigIntStats): Listed {
  return {
    key,
    single: false,
    sizeBytes: Number(stats.size),
    entryDigest: "",
    uri: formatFileUri(path),
    pin: NO_PIN,
    claims: [],
    mtimeMs: Number(stats.mtimeMs),
    localPath,
  };
}

/** Null for a file that went away since its directory was read. */
async function statOrGone(path: string, uri: string, name: string): Promise<BigIntStats | null> {
  try {
    return await lstat(path, { bigint: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw listFault(error, uri);
    // Node reads bytes that are no UTF-8 as U+FFFD, and such a name is then not found.
    if (name.includes("\ufffd")) {
      throw new Fault("usage", `${uri}: the file's name is not valid UTF-8: rename it`, {
        subject: uri,
        cause: error,
      });
    }
    return null;
  }
}

function specialKind(stats: BigIntStats): string {
  if (stats.isFIFO()) return "a named pipe";
  if (stats.isSocket()) return "a socket";
  if (stats.isBlockDevice() || stats.isCharacterDevice()) return "a device";
  return "a special file";
}

async function openEntry(
  entry: Entry,
  range: ByteRange | null,
  signal: AbortSignal,
): Promise<Fetched> {
  signal.throwIfAborted();
  const path = parseFileUri(entry.uri);
  let handle: FileHandle;
  try {
    // O_NONBLOCK: a named pipe put in the file's place must not block this process.
    handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    throw readFault(error, entry.uri);
  }
  try {
    return await openedEntry(entry, path, handle, range, signal);
  } catch (error) {
    await handle.close();
    throw error instanceof Fault ? error : readFault(error, entry.uri);
  }
}

async function openedEntry(
  entry: Entry,
  path: string,
  handle: FileHandle,
  range: ByteRange | null,
  signal: AbortSignal,
): Promise<Fetched> {
  const before = await handle.stat({ bigint: true });
  if (!before.isFile()) throw changed(entry, "it is no longer a regular file");
  const sizeBytes = Number(before.size);
  if (entry.sizeBytes !== null && sizeBytes !== entry.sizeBytes) {
    throw changed(entry, `it has ${sizeBytes} bytes, logged were ${entry.sizeBytes}`);
  }
  const asked = range ?? { start: 0, end: sizeBytes };
  return {
    body: readRange(handle, asked, entry, signal),
    sizeBytes,
    range: asked,
    pinned: false,
    claims: [],
    etagIsHash: false,
    localPath: path,
    async confirm() {
      let now: BigIntStats;
      try {
        now = await stat(path, { bigint: true });
      } catch (error) {
        throw readFault(error, entry.uri);
      }
      if (!sameFile(before, now)) throw changed(entry, "it was changed while being read");
    },
    async [Symbol.asyncDispose]() {
      await handle.close();
    },
  };
}

async function* readRange(
  handle: FileHandle,
  range: ByteRange,
  entry: Entry,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  let position = range.start;
  while (position < range.end) {
    signal.throwIfAborted();
    const buffer = Buffer.allocUnsafe(Math.min(READ_BYTES, range.end - position));
    let bytesRead: number;
    try {
      ({ bytesRead } = await handle.read(buffer, 0, buffer.length, position));
    } catch (error) {
      throw readFault(error, entry.uri);
    }
    if (bytesRead === 0) throw changed(entry, "it became shorter while being read");
    position += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

/** True when the file was not written to in between; the change time tells also of a write that put the modification time back. */
export function sameFile(a: BigIntStats, b: BigIntStats): boolean {
  return (
    a.dev === b.dev &&
    a.ino === b.ino &&
    a.size === b.size &&
    a.mtimeNs === b.mtimeNs &&
    a.ctimeNs === b.ctimeNs
  );
}

function changed(entry: Entry, how: string): Fault {
  return new Fault(
    "drifted",
    `${entry.uri} is not the file that was logged: ${how}. Restore it, or log a new version`,
    { subject: entry.uri },
  );
}

async function attempt<T>(operation: () => Promise<T>, uri: string): Promise<T> {
  try {
    return await operation();
  } catch (error) {
    throw listFault(error, uri);
  }
}
