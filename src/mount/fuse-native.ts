// The portable driver: the same read-only tree through libfuse2 and this process's main thread, where
// the native driver cannot be used. Promises no speed. Never touches its own mountpoint: whoever does
// waits for this very thread.

import { execFile } from "node:child_process";
import { readdirSync, readlinkSync } from "node:fs";
import { promisify } from "node:util";
import { deferred } from "../model/deferred.js";
import { Fault } from "../model/fault.js";
import { addon } from "../native/addon.js";
import type { EndReason, ServedMount, Upcalls } from "./driver.js";
import { mountFuse } from "./fuse-binding.js";
import { FuseRequests } from "./fuse-requests.js";
import { FuseTree } from "./fuse-tree.js";
import { IndexReader } from "./index-reader.js";
import { FS_TYPE, mountAt, readMountInfo } from "./mountinfo.js";

export interface FuseNativeOptions {
  /** Absolute, without symlinks. */
  readonly dir: string;
  /** The compiled inode index. */
  readonly indexPath: string;
  /** The manifest's digest, hex: must be the one in the index. */
  readonly manifestDigest: string;
  readonly fsname: string;
  readonly allowOther: boolean;
  /** Owner of every node. */
  readonly uid: number;
  readonly gid: number;
  readonly upcalls: Upcalls;
}

/** This driver mounts by itself, so it unmounts by itself too. */
export interface FuseNativeMount extends ServedMount {
  /**
   * Unmounts; `ended` settles when it is gone.
   * @throws Fault `busy` when somebody uses it and `lazy` is false, `denied` when not allowed.
   */
  detach(lazy: boolean): Promise<void>;
}

const MAX_READ_BYTES = 131_072;
/** The binding does not tell when libfuse stops, so the mount table is looked at this often. */
const WATCH_INTERVAL_MS = 200;

/** Looks whether a mount of this process is gone; one each. */
const watches = new Set<() => void>();

/**
 * Mounts the index at `dir` through libfuse2 and serves it from this process; the mount cannot outlive
 * it, so `stop` unmounts lazily.
 * @throws Fault `usage` when libfuse2 is missing, `corrupt` for a damaged index, and what mountFuse throws.
 */
export async function serveFuseNative(options: FuseNativeOptions): Promise<FuseNativeMount> {
  const { dir, upcalls } = options;
  const index = new IndexReader(options.indexPath);
  if (index.manifestDigest !== options.manifestDigest) {
    index[Symbol.dispose]();
    throw new Fault("corrupt", `${options.indexPath} is the index of another manifest`, {
      subject: options.indexPath,
    });
  }
  const served = new FuseRequests(new FuseTree(index, options), upcalls);
  // A new mount may get the device and descriptor numbers of one that has just gone.
  for (const look of watches) look();
  const devicesBefore = fuseDescriptors();
  const mountpoint = await mountFuse(
    dir,
    {
      fsname: options.fsname,
      subtype: FS_TYPE.replace("fuse.", ""),
      allowOther: options.allowOther,
    },
    served.operations(),
  ).catch((error: unknown) => {
    index[Symbol.dispose]();
    throw error;
  });
  const [session, ...ambiguous] = fuseDescriptors().filter((fd) => !devicesBefore.includes(fd));
  const device = mountAt(dir)?.device;

  const ended = deferred<{ reason: EndReason; message: string }>();
  let live = true;
  let stopped = false;
  const end = (reason: EndReason, message: string): void => {
    if (!live) return;
    live = false;
    clearInterval(timer);
    watches.delete(look);
    served.end();
    index[Symbol.dispose]();
    mountpoint.release();
    ended.resolve({ reason, message });
  };
  const look = (): void => {
    if (!readMountInfo().some((mount) => mount.device === device)) {
      end(stopped ? "stopped" : "unmounted", "");
    } else if (session !== undefined && ambiguous.length === 0 && !isFuseDescriptor(session)) {
      end("aborted", `the kernel ended the connection of ${dir}`);
    }
  };
  watches.add(look);
  const timer = setInterval(look, WATCH_INTERVAL_MS);

  const negotiated = {
    protocol: "libfuse 2",
    io: "cached",
    maxReadBytes: MAX_READ_BYTES,
    resumed: false,
  } as const;
  return {
    ready: Promise.resolve(negotiated),
    ended: ended.promise,
    forget: (sha256) => served.blobs.forget(sha256),
    stop: () => {
      if (!live) return;
      stopped = true;
      unmount(dir, true).catch((error: unknown) => end("aborted", String(error)));
    },
    detach: (lazy) => (live ? unmount(dir, lazy) : Promise.resolve()),
    stats: () => served.stats(),
  };
}

/** This process's own descriptors of /dev/fuse. */
function fuseDescriptors(): readonly number[] {
  return readdirSync("/proc/self/fd").map(Number).filter(isFuseDescriptor);
}

function isFuseDescriptor(fd: number): boolean {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`) === "/dev/fuse";
  } catch {
    return false;
  }
}

const run = promisify(execFile);

// fusermount may look at the mountpoint, which this thread must then be free to serve: so it is never
// waited for synchronously.
async function unmount(dir: string, lazy: boolean): Promise<void> {
  try {
    if (process.getuid?.() === 0) {
      addon().detach(dir, lazy);
      return;
    }
    const args = lazy ? ["-u", "-z", "--", dir] : ["-u", "--", dir];
    await run("fusermount3", args).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      return run("fusermount", args);
    });
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const isBusy = code === "EBUSY" || /\bbusy\b/i.test(message);
    throw isBusy
      ? new Fault("busy", `${dir} is in use; close what reads it, or unmount with --force`, {
          subject: dir,
          cause,
        })
      : new Fault("denied", `Could not unmount ${dir}: ${message}`, { subject: dir, cause });
  }
}
