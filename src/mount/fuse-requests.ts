// libfuse's requests of one mount, answered from the tree and the blobs. Mounts nothing.

import { errnoOf, Fault } from "../model/fault.js";
import type { SessionStats } from "../native/addon.js";
import { CheckedBlobs } from "./checked-blobs.js";
import type { Upcalls } from "./driver.js";
import { type mountFuse, REPLY, type XattrAnswer } from "./fuse-binding.js";
import type { FuseTree } from "./fuse-tree.js";
import type { IndexNode } from "./index-reader.js";

const MAX_OPEN_BLOBS = 512;
const MAX_REPORTED = 100;
const XATTR_PREFIX = "user.refmount.";
const XATTR_NAMES = ["uri", "pin", "digest", "sha256", "assurance", "state", "error"];

export class FuseRequests {
  readonly blobs: CheckedBlobs;
  readonly #tree: FuseTree;
  readonly #upcalls: Upcalls;
  readonly #reported = new Set<string>();
  #requests = 0;
  #reads = 0;
  #readBytes = 0;
  #ended = false;
  #indexDamaged = false;

  constructor(tree: FuseTree, upcalls: Upcalls) {
    this.#tree = tree;
    this.#upcalls = upcalls;
    this.blobs = new CheckedBlobs(upcalls, MAX_OPEN_BLOBS);
  }

  operations(): Parameters<typeof mountFuse>[2] {
    return {
      getattr: (path, done) => {
        this.#answer(done, async () => {
          const node = this.#find(path);
          if (typeof node === "number") {
            done(node);
            return;
          }
          done(
            REPLY.OK,
            this.#tree.stat(node, node.sizeBytes ?? (await this.blobs.sizeOf(node.id))),
          );
        });
      },
      readdir: (path, done) => {
        this.#answer(done, async () => {
          const node = this.#find(path);
          if (typeof node === "number") {
            done(node);
            return;
          }
          const { names, stats } = await this.#tree.list(node);
          done(REPLY.OK, names, stats);
        });
      },
      // The handle is the node: an open has no state of its own.
      open: (path, _flags, done) => {
        this.#answer(done, () => {
          const node = this.#find(path);
          if (typeof node === "number") {
            done(node);
            return;
          }
          done(REPLY.OK, node.id);
        });
      },
      read: (_path, node, target, length, position, done) => {
        this.#answer(done, async () => {
          const count = await this.blobs.read(node, target.subarray(0, length), position);
          this.#reads++;
          this.#readBytes += count;
          done(count);
        });
      },
      statfs: (_path, done) => {
        this.#answer(done, () => done(REPLY.OK, this.#tree.statfs()));
      },
      getxattr: (path, name) => this.#answerXattr(path, (node) => this.#xattr(node, name)),
      listxattr: (path) => this.#answerXattr(path, (node) => this.#xattrNames(node)),
    };
  }

  stats(): SessionStats {
    return {
      requests: this.#requests,
      reads: this.#reads,
      readBytes: this.#readBytes,
      ...this.blobs.stats(),
    };
  }

  /** Whoever still reads (after a lazy unmount) gets EIO from here on. */
  end(): void {
    this.#ended = true;
    this.blobs.close();
  }

  #find(path: string): IndexNode | number {
    if (this.#ended) return REPLY.EIO;
    const found = this.#tree.find(path);
    if (found === "name-too-long") return REPLY.ENAMETOOLONG;
    return found ?? REPLY.ENOENT;
  }

  #answer(done: (reply: number) => void, respond: () => void | Promise<void>): void {
    this.#requests++;
    // An exception that escapes to libfuse would end the process, and with it every mount.
    const fail = (error: unknown): void => {
      this.#report(error);
      done(-errnoOf(error));
    };
    try {
      respond()?.catch(fail);
    } catch (error) {
      fail(error);
    }
  }

  async #answerXattr(
    path: string,
    respond: (node: IndexNode) => Promise<XattrAnswer>,
  ): Promise<XattrAnswer> {
    this.#requests++;
    try {
      const node = this.#find(path);
      return typeof node === "number" ? node : await respond(node);
    } catch (error) {
      this.#report(error);
      return -errnoOf(error);
    }
  }

  async #xattr(node: IndexNode, name: string): Promise<XattrAnswer> {
    if (!name.startsWith(XATTR_PREFIX)) return REPLY.ENODATA;
    if (name === `${XATTR_PREFIX}state`) return Buffer.from(this.#state(node));
    if (node.kind === "directory") return REPLY.ENODATA;
    const value = await this.#upcalls.xattr(node.id, name);
    return value === null ? REPLY.ENODATA : Buffer.from(value);
  }

  /** Only names that have a value: `cp -a` fails on a listed one that it cannot read. */
  async #xattrNames(node: IndexNode): Promise<Buffer> {
    const names: string[] = [];
    for (const name of XATTR_NAMES) {
      const answer = await this.#xattr(node, XATTR_PREFIX + name);
      if (typeof answer !== "number") names.push(`${XATTR_PREFIX}${name}\0`);
    }
    return Buffer.from(names.join(""));
  }

  #state(node: IndexNode): string {
    if (node.kind === "directory") return "directory";
    return this.blobs.has(node.id) ? "cached" : "absent";
  }

  /** Tells what nobody above knows of, once: a damaged index, or a bug. It ends in the daemon's log. */
  #report(error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    if (this.blobs.isFillError(error) || this.#reported.has(message)) return;
    if (this.#reported.size >= MAX_REPORTED) return;
    this.#reported.add(message);
    if (error instanceof Fault && error.kind === "corrupt" && !this.#indexDamaged) {
      this.#indexDamaged = true;
      this.#upcalls.indexDamaged();
    }
    process.emitWarning(error instanceof Error ? error : message);
  }
}
