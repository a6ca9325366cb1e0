// The file systems that sources lie on, each with a lane of threads of its own: a dead server then
// stops what is read from it, and nothing else. They are found in the mount table, as text: to ask a
// file system what it is would be to wait for it.
//
// What remains: nobody can end a call that waits for a dead server. Its thread stays (in state D, as
// ps shows it) until the server is back or the file system is unmounted by force. There are never
// more than LANE_THREADS of them on one file system and, once a file has been given up, no more than
// that call on this file. The others wait for their turn, without a thread, until their own deadline.

import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { Budget } from "../model/budget.js";
import { mountAround, parseMountTable, type MountedFileSystem } from "../model/mount-table.js";
import { addon } from "../native/addon.js";
import type { Lane } from "../native/lane.js";

/** Calls that are worth being made at once where every one waits for a network. */
export const REMOTE_AT_ONCE = 16;
/** The threads of a lane: enough for that, and to hash on all cores. */
const LANE_THREADS = Math.max(REMOTE_AT_ONCE, availableParallelism());
/** How long one reading of the mount table holds, and what is known of links. */
const TABLE_MS = 1_000;
const LINKS_MS = 10_000;
const MAX_KNOWN = 10_000;
/** A timer may fire that early by another clock, and whoever has time left would wait all over again. */
const EARLY_MS = 2;
/** As the kernel's. */
const MAX_LINKS = 40;

/** File systems of this machine's own: they answer, and may share extents with the cache. */
const LOCAL_TYPES: ReadonlySet<string> = new Set([
  ...["ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "bcachefs", "f2fs", "jfs", "tmpfs", "ramfs"],
  ...["overlay", "squashfs", "erofs", "iso9660", "udf", "vfat", "exfat", "ntfs3"],
]);

/** How long somebody waits for a file system. */
export interface Patience {
  /** Milliseconds without progress. */
  readonly timeoutMs: number;
  /** Its reason is thrown. */
  readonly signal?: AbortSignal;
}

/** A file system did not answer in time. */
export class SilentFileSystem extends Error {
  constructor({ mountPoint, fsType }: MountedFileSystem, timeoutMs: number) {
    super(
      `the file system at ${mountPoint} (${fsType}) has not answered for ${timeoutMs / 1000} s; ` +
        "its server may be down, or slow",
    );
    this.name = "SilentFileSystem";
  }
}

export class FileSystem {
  readonly mount: MountedFileSystem;
  readonly isLocal: boolean;
  readonly #lane: Lane;
  readonly #places = new Budget(LANE_THREADS);
  /** Calls that were given up and have not ended, by the file they are about. */
  readonly #stuck = new Map<string, Promise<unknown>>();

  constructor(mount: MountedFileSystem) {
    this.mount = mount;
    this.isLocal = LOCAL_TYPES.has(mount.fsType);
    this.#lane = addon().openLane(LANE_THREADS);
  }

  /**
   * Has `call` make one call on the lane, and waits for it within `patience`.
   * @param path The file it is about.
   * @param call May tell progress, which gives it the whole time anew.
   * @param discard Gets the result of a call that ends after it was given up.
   * @throws SilentFileSystem; the reason of the signal; an Error with a `code` from the call.
   */
  async run<T>(
    path: string,
    patience: Patience,
    call: (lane: Lane, progress: () => void) => Promise<T>,
    discard: (late: T) => unknown = () => undefined,
  ): Promise<T> {
    const { timeoutMs } = patience;
    using deadline = new Deadline(patience, () => new SilentFileSystem(this.mount, timeoutMs));
    for (let before = this.#stuck.get(path); before; before = this.#stuck.get(path)) {
      await deadline.orSooner(before);
    }
    const release = this.#places.tryAcquire(1) ?? (await this.#places.acquire(1, deadline.signal));
    if (deadline.isOver) release();
    deadline.throwIfOver();
    const running = (async () => call(this.#lane, deadline.progress))().finally(release);
    try {
      return await deadline.orSooner(running);
    } finally {
      if (deadline.isOver) this.#giveUp(path, running.then(discard));
    }
  }

  /**
   * The same for what nobody waits for, such as closing a file: it ends when it ends.
   */
  runLater(call: (lane: Lane) => Promise<unknown>): void {
    void this.#places
      .acquire(1, new AbortController().signal)
      .then((release) => call(this.#lane).finally(release))
      .catch(() => undefined);
  }

  #giveUp(path: string, running: Promise<unknown>): void {
    const before = this.#stuck.get(path);
    const over = Promise.allSettled([before, running]).then(() => {
      if (this.#stuck.get(path) === over) this.#stuck.delete(path);
    });
    this.#stuck.set(path, over);
  }
}

/** All file systems of this process's mount namespace, as they are met. */
export class FileSystems {
  /** By device: several mounts of one file system hang together. */
  readonly #byDevice = new Map<string, FileSystem>();
  #table: readonly MountedFileSystem[] = [];
  #tableMs = -Infinity;
  /** Paths that are no links. */
  readonly #plain = new Set<string>();
  #plainMs = -Infinity;

  /** The file system that holds the absolute `path`, in which links are not looked for. */
  at(path: string): FileSystem {
    if (performance.now() - this.#tableMs > TABLE_MS) {
      this.#table = readMountTable();
      this.#tableMs = performance.now();
    }
    const mount = mountAround(path, this.#table) ?? ROOTLESS;
    let found = this.#byDevice.get(mount.device);
    // A device number may be given to another file system, once nothing of the first is left.
    if (found?.mount.fsType !== mount.fsType) {
      found = new FileSystem(mount);
      this.#byDevice.set(mount.device, found);
    }
    return found;
  }

  /**
   * `path` without symbolic links, each step made on the lane of the file system that it is on.
   * @throws as `FileSystem.run`; an Error with the code ELOOP for links that lead in a circle.
   */
  async resolve(path: string, patience: Patience): Promise<string> {
    return this.#resolve(path, patience, new Set());
  }

  /**
   * The file system that holds the directory of `path`, links followed. What was learnt about links
   * a few seconds ago may be out of date: then only the lane is the wrong one.
   */
  async holding(path: string, patience: Patience): Promise<FileSystem> {
    const now = performance.now();
    if (now - this.#plainMs > LINKS_MS || this.#plain.size > MAX_KNOWN) {
      this.#plain.clear();
      this.#plainMs = now;
    }
    const directory = path.slice(0, path.lastIndexOf("/"));
    return this.at(await this.#resolve(directory, patience, this.#plain));
  }

  async #resolve(path: string, patience: Patience, plain: Set<string>): Promise<string> {
    const todo = path.split("/").reverse();
    let real = "";
    let links = 0;
    for (let name = todo.pop(); name !== undefined; name = todo.pop()) {
      if (name === "" || name === ".") continue;
      if (name === "..") {
        real = real.slice(0, Math.max(0, real.lastIndexOf("/")));
        continue;
      }
      const next = `${real}/${name}`;
      const target = plain.has(next)
        ? null
        : await this.at(next).run(next, patience, (lane) => lane.readLink(next));
      if (target === null) {
        plain.add(next);
        real = next;
        continue;
      }
      if (++links > MAX_LINKS) {
        throw Object.assign(new Error(`ELOOP: too many links, '${path}'`), { code: "ELOOP" });
      }
      if (target.startsWith("/")) real = "";
      todo.push(...target.split("/").reverse());
    }
    return real === "" ? "/" : real;
  }
}

/** The file systems of this process: its lanes live as long as it does. */
export const fileSystems = new FileSystems();

/** Without /proc all files are on one lane. */
function readMountTable(): readonly MountedFileSystem[] {
  try {
    return parseMountTable(readFileSync("/proc/self/mountinfo", "utf8"));
  } catch {
    return [];
  }
}

/** A process whose root is no mount (chroot) sees none around its files. */
const ROOTLESS: MountedFileSystem = { mountPoint: "/", fsType: "unknown", source: "", device: "" };

/** The end of somebody's patience. One is made for every call, so it makes little itself. */
class Deadline implements Disposable {
  readonly #timer: NodeJS.Timeout;
  readonly #outer: AbortSignal | undefined;
  readonly #never: Promise<never>;
  #reject: (reason: Error) => void = () => undefined;
  #reason: Error | null = null;
  #controller: AbortController | null = null;

  constructor({ timeoutMs, signal }: Patience, silence: () => Error) {
    this.#never = new Promise((_resolve, reject) => {
      this.#reject = reject;
    });
    this.#never.catch(() => undefined);
    this.#timer = setTimeout(() => {
      this.#end(silence());
    }, timeoutMs + EARLY_MS);
    this.#outer = signal;
    if (signal?.aborted === true) this.#forward();
    signal?.addEventListener("abort", this.#forward);
  }

  get isOver(): boolean {
    return this.#reason !== null;
  }

  throwIfOver(): void {
    if (this.#reason !== null) throw this.#reason;
  }

  /** Aborted when it is over. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#reason !== null) this.#controller.abort(this.#reason);
    return this.#controller.signal;
  }

  readonly progress = (): void => {
    this.#timer.refresh();
  };

  orSooner<T>(promise: Promise<T>): Promise<T> {
    return Promise.race([promise, this.#never]);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#outer?.removeEventListener("abort", this.#forward);
  }

  readonly #forward = (): void => {
    this.#end(this.#outer?.reason as Error);
  };

  #end(reason: Error): void {
    if (this.#reason !== null) return;
    this.#reason = reason;
    this.#reject(reason);
    this.#controller?.abort(reason);
  }
}
