// The inode index seen by path, as libfuse's path-based interface asks for it: resolving, attributes
// and listings. Reads no file's bytes.

import { setImmediate as turn } from "node:timers/promises";
import { LRUCache } from "lru-cache";
import { MAX_NAME_BYTES } from "../model/path.js";
import type { FuseStat, FuseStatfs } from "./fuse-binding.js";
import { type IndexNode, type IndexReader, ROOT_NODE } from "./index-reader.js";

const DIRECTORY_MODE = 0o040555;
const FILE_MODE = 0o100444;
/** What readers are told to read at once; libfuse 2 gets at most this in one request. */
const IO_BYTES = 131_072;
const SECTOR_BYTES = 512;
const STATFS_BLOCK_BYTES = 4096;
const MAX_UINT32 = 0xffff_ffff;
/** Directories by path; a tree's inner nodes are few and asked for again with every file below. */
const MAX_KNOWN_DIRECTORIES = 4096;
/** Entries of a listing that are built before other requests get their turn. */
const ENTRIES_PER_TURN = 2048;

export interface Listing {
  readonly names: readonly string[];
  readonly stats: readonly FuseStat[];
}

export class FuseTree {
  readonly #index: IndexReader;
  readonly #owner: { readonly uid: number; readonly gid: number };
  readonly #directories = new LRUCache<string, IndexNode>({ max: MAX_KNOWN_DIRECTORIES });

  constructor(index: IndexReader, owner: { readonly uid: number; readonly gid: number }) {
    this.#index = index;
    this.#owner = owner;
  }

  /**
   * The node at an absolute path, null when there is none, "name-too-long" when there cannot be one.
   * @throws Fault `corrupt` for a damaged index.
   */
  find(path: string): IndexNode | null | "name-too-long" {
    if (path === "/") return this.#index.node(ROOT_NODE);
    const slash = path.lastIndexOf("/");
    const name = Buffer.from(path.slice(slash + 1));
    if (name.length > MAX_NAME_BYTES) return "name-too-long";
    const parent = this.#directory(path.slice(0, slash) || "/");
    return parent === null ? null : this.#index.lookup(parent, name);
  }

  stat(node: IndexNode, sizeBytes: number): FuseStat {
    const isDirectory = node.kind === "directory";
    // The binding knows no time before 1970.
    const time = Math.max(node.mtimeMs, 0);
    return {
      mode: isDirectory ? DIRECTORY_MODE : FILE_MODE,
      uid: this.#owner.uid,
      gid: this.#owner.gid,
      size: sizeBytes,
      nlink: isDirectory ? 2 + node.subdirCount : 1,
      ino: node.id,
      blksize: IO_BYTES,
      blocks: Math.ceil(sizeBytes / SECTOR_BYTES),
      atime: time,
      mtime: time,
      ctime: time,
    };
  }

  /** Everything in `directory` with "." and "..", in name order; lets others run in between. */
  async list(directory: IndexNode): Promise<Listing> {
    const names = [".", ".."];
    const stats = [this.stat(directory, 0), this.stat(this.#index.node(directory.parent), 0)];
    for (const child of this.#index.children(directory)) {
      names.push(child.name.toString("utf8"));
      stats.push(this.stat(child, child.sizeBytes ?? 0));
      if (names.length % ENTRIES_PER_TURN === 0) await turn();
    }
    return { names, stats };
  }

  statfs(): FuseStatfs {
    // The binding's numbers are 32 bits wide: larger trees are told in larger blocks.
    let blockBytes = STATFS_BLOCK_BYTES;
    while (this.#index.totalBytes / blockBytes > MAX_UINT32) blockBytes *= 2;
    return {
      bsize: blockBytes,
      frsize: blockBytes,
      blocks: Math.ceil(this.#index.totalBytes / blockBytes),
      bfree: 0,
      bavail: 0,
      files: Math.min(this.#index.nodeCount, MAX_UINT32),
      ffree: 0,
      favail: 0,
      namemax: MAX_NAME_BYTES,
    };
  }

  #directory(path: string): IndexNode | null {
    const known = this.#directories.get(path);
    if (known !== undefined) return known;
    const found = this.find(path);
    if (found === null || found === "name-too-long" || found.kind !== "directory") return null;
    this.#directories.set(path, found);
    return found;
  }
}
