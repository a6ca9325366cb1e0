// Blobs, an index and a mountpoint in a temporary folder: what a driver is given, without the rooms
// that make it.

import { createHash } from "node:crypto";
import { linkSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ProvidedBlob } from "../../src/native/addon.js";
import type { ContractTree } from "../contract/tree.js";
import { blockCrcs, buildIndex, type BuiltIndex, type IndexOptions } from "./index-builder.js";

const BLOCK_BYTES = 4096;

export class BlobWorld implements Disposable {
  /** An empty folder to mount on. */
  readonly dir: string;
  readonly folder: string;
  readonly indexPath: string;
  readonly index: BuiltIndex;
  readonly #blobs = new Map<number, ProvidedBlob>();

  private constructor(folder: string, index: BuiltIndex) {
    this.folder = folder;
    this.dir = join(folder, "mount");
    this.indexPath = join(folder, "manifest.idx");
    this.index = index;
    mkdirSync(this.dir);
    mkdirSync(join(folder, "blobs"));
    writeFileSync(this.indexPath, index.bytes);
  }

  /** A world of small files with these contents. */
  static of(
    files: Readonly<Record<string, string | Uint8Array>>,
    options?: IndexOptions,
  ): BlobWorld {
    const contents = Object.entries(files).map(
      ([path, bytes]) => [path, Buffer.from(bytes)] as const,
    );
    const index = buildIndex(
      contents.map(([path, bytes]) => ({ path, sizeBytes: bytes.length })),
      options,
    );
    const world = new BlobWorld(mkdtempSync(join(tmpdir(), "refmount-world-")), index);
    for (const [path, bytes] of contents) world.put(path, bytes);
    return world;
  }

  /** A world of files without blobs. */
  static ofEmpty(paths: readonly string[]): BlobWorld {
    const index = buildIndex(paths.map((path) => ({ path, sizeBytes: 0 })));
    return new BlobWorld(mkdtempSync(join(tmpdir(), "refmount-world-")), index);
  }

  /** The contract's tree, its blobs hard links of the files in `source`. */
  static ofTree(
    source: string,
    tree: ContractTree,
    scratch: string,
    read: (path: string) => Uint8Array,
  ): BlobWorld {
    const world = new BlobWorld(scratch, buildIndex(tree.files));
    for (const file of tree.files) {
      const node = world.id(file.path);
      const path = world.#blobPath(node);
      linkSync(join(source, file.path), path);
      const sparse = file.sha256 === null;
      if (sparse)
        writeFileSync(`${path}.crc`, sparseCrcs(file.sizeBytes, tree.sparse?.pieces ?? []));
      world.#blobs.set(node, {
        path,
        sha256: file.sha256 ?? "0".repeat(64),
        sizeBytes: file.sizeBytes,
        blockCrcs: sparse ? null : blockCrcs(read(join(source, file.path))),
        temporary: false,
      });
    }
    return world;
  }

  /** Node id of a path; 0 when there is none. */
  id(path: string): number {
    return this.index.ids.get(path) ?? 0;
  }

  blob(path: string): ProvidedBlob {
    return this.blobOf(this.id(path));
  }

  blobOf(node: number): ProvidedBlob {
    const blob = this.#blobs.get(node);
    if (blob === undefined) throw new Error(`There is no blob for node ${node}`);
    return blob;
  }

  /** Writes the blob of `path` anew. */
  put(path: string, bytes: Uint8Array, change: Partial<ProvidedBlob> = {}): void {
    const node = this.id(path);
    const blobPath = this.#blobPath(node);
    rmSync(blobPath, { force: true });
    writeFileSync(blobPath, bytes);
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    const blob = { sha256, sizeBytes: bytes.length, blockCrcs: blockCrcs(bytes), temporary: false };
    this.#blobs.set(node, { path: blobPath, ...blob, ...change });
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true });
  }

  #blobPath(node: number): string {
    return join(this.folder, "blobs", String(node));
  }
}

/** Checksums of a file that is zero but for `pieces`, which lie apart from each other. */
function sparseCrcs(
  sizeBytes: number,
  pieces: readonly { offset: number; text: string }[],
): Buffer {
  const zeros = blockCrcs(new Uint8Array(BLOCK_BYTES));
  const crcs = Buffer.alloc(Math.ceil(sizeBytes / BLOCK_BYTES) * 4, zeros);
  const last = Math.floor((sizeBytes - 1) / BLOCK_BYTES);
  const blocks = new Set([last]);
  for (const { offset, text } of pieces) {
    for (let at = offset; at < offset + text.length; at++) blocks.add(Math.floor(at / BLOCK_BYTES));
  }
  for (const block of blocks) {
    const start = block * BLOCK_BYTES;
    const bytes = Buffer.alloc(Math.min(BLOCK_BYTES, sizeBytes - start));
    for (const { offset, text } of pieces) {
      for (let at = 0; at < text.length; at++) {
        const position = offset + at - start;
        if (position >= 0 && position < bytes.length) bytes[position] = text.charCodeAt(at);
      }
    }
    blockCrcs(bytes).copy(crcs, block * 4);
  }
  return crcs;
}
