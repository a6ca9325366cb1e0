// What we use of the npm package fuse-native (libfuse2), typed, with its traps closed: no shell, no
// timeouts, no reply longer than the kernel's buffer. Knows nothing of artifacts.

import { createRequire } from "node:module";
import { Fault } from "../model/fault.js";

/** Negative errno values, as libfuse wants them. */
export const REPLY = {
  OK: 0,
  EIO: -5,
  EROFS: -30,
  ERANGE: -34,
  ENAMETOOLONG: -36,
  ENOENT: -2,
  ENODATA: -61,
} as const;

export interface FuseStat {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly nlink: number;
  readonly ino: number;
  readonly blksize: number;
  readonly blocks: number;
  /** Milliseconds since 1970; the binding knows no earlier time. */
  readonly atime: number;
  readonly mtime: number;
  readonly ctime: number;
}

/** Every number must be below 2^32. */
export interface FuseStatfs {
  readonly bsize: number;
  readonly frsize: number;
  readonly blocks: number;
  readonly bfree: number;
  readonly bavail: number;
  readonly files: number;
  readonly ffree: number;
  readonly favail: number;
  readonly namemax: number;
}

type Done<Results extends readonly unknown[] = []> = (
  reply: number,
  ...results: Partial<Results>
) => void;

/** Operations by path; each answers once, with 0 (or a byte count) or a negative errno. */
export interface FuseOperations {
  getattr(path: string, done: Done<[FuseStat]>): void;
  readdir(path: string, done: Done<[readonly string[], readonly FuseStat[]]>): void;
  open(path: string, flags: number, done: Done<[number]>): void;
  /** `target` may be written until `done`, not after: it belongs to libfuse. */
  read(
    path: string,
    handle: number,
    target: Buffer,
    length: number,
    position: number,
    done: Done,
  ): void;
  statfs(path: string, done: Done<[FuseStatfs]>): void;
}

/** An extended attribute's value, or a negative errno. */
export type XattrAnswer = Buffer | number;

export interface XattrOperations {
  readonly getxattr: (path: string, name: string) => Promise<XattrAnswer>;
  readonly listxattr: (path: string) => Promise<XattrAnswer>;
}

export interface FuseMountOptions {
  readonly fsname: string;
  readonly subtype: string;
  readonly allowOther: boolean;
}

/** A mounted libfuse session. */
export interface FuseMountpoint {
  /** Lets the process end and its memory go; to be called after the unmount, which it does not do. */
  release(): void;
}

// Its class, as far as we use it. `_op_` members are its adapters between libfuse and `ops`.
type Signal = (reply: number, buffer: ArrayBufferLike) => void;
interface FuseInstance {
  _op_getxattr: (signal: Signal, path: string, name: string, target: Buffer) => void;
  _op_listxattr: (signal: Signal, path: string, target: Buffer) => void;
  mount(done: (error: Error | null | undefined) => void): void;
  unmount(done: (error: Error | null | undefined) => void): void;
}
interface FuseClass {
  new (dir: string, operations: object, options: object): FuseInstance;
  unmount: (dir: string, done: (error: Error | null) => void) => void;
}

/** The binding cuts longer ones off, and would mount elsewhere. */
const MAX_DIR_BYTES = 1023;
const MAX_FSNAME_BYTES = 400;
/** "Eternal": a mount never changes. About 31 years, in seconds. */
const ETERNAL_S = 1_000_000_000;
/** Reads that wait for a fill occupy one each; a thread each as well, so not without a limit. */
const MAX_BACKGROUND = 512;

let loaded: FuseClass | undefined;

/** @throws Fault `usage` when the package or libfuse2 is not there. */
function fuseClass(): FuseClass {
  if (loaded !== undefined) return loaded;
  try {
    const found = createRequire(import.meta.url)("fuse-native") as FuseClass;
    // Its own runs a shell with the path in it. We only need what follows the unmount.
    found.unmount = (_dir, done) => done(null);
    loaded = found;
    return found;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.split("\n", 1)[0] : String(cause);
    throw new Fault(
      "usage",
      `--driver fuse-native needs libfuse 2 and cannot load it (${reason ?? ""}); ` +
        "install the Debian package libfuse2 (libfuse2t64 on newer ones), or leave the option out",
      { cause },
    );
  }
}

/**
 * Mounts read-only at `dir` and serves there with `operations` until it is unmounted.
 * @throws Fault `usage`, `not-found`, `busy`, or `denied` when libfuse refuses (it tells why on
 * standard error).
 */
export async function mountFuse(
  dir: string,
  options: FuseMountOptions,
  operations: FuseOperations & XattrOperations,
): Promise<FuseMountpoint> {
  if (Buffer.byteLength(dir) > MAX_DIR_BYTES) {
    throw new Fault(
      "usage",
      `--driver fuse-native cannot mount at a path over ${MAX_DIR_BYTES} bytes`,
    );
  }
  const { getxattr, listxattr, ...plain } = operations;
  // Only tells the binding which operations exist; the adapters below replace them.
  const exists = (): void => undefined;
  const Fuse = fuseClass();
  const fuse = new Fuse(
    dir,
    { ...readOnlyOperations(), ...plain, getxattr: exists, listxattr: exists },
    {
      // Else it answers for us after 15 s, and our late answer writes to freed memory.
      timeout: false,
      fsname: mountOptions(options.fsname),
      subtype: options.subtype,
      allowOther: options.allowOther,
      defaultPermissions: true,
      kernelCache: true,
      entryTimeout: ETERNAL_S,
      attrTimeout: ETERNAL_S,
    },
  );
  // Its own adapters copy a value without looking at the size of the kernel's buffer.
  fuse._op_getxattr = (signal, path, name, target) =>
    void getxattr(path, name).then((answer) => replyXattr(signal, target, answer));
  fuse._op_listxattr = (signal, path, target) =>
    void listxattr(path).then((answer) => replyXattr(signal, target, answer));
  await new Promise<void>((resolve, reject) => {
    fuse.mount((error) => (error == null ? resolve() : reject(mountFault(dir, error))));
  });
  return { release: () => fuse.unmount(() => undefined) };
}

function replyXattr(signal: Signal, target: Buffer, answer: XattrAnswer): void {
  if (typeof answer === "number") {
    signal(answer, target.buffer);
    return;
  }
  if (target.length > 0 && answer.length > target.length) {
    signal(REPLY.ERANGE, target.buffer);
    return;
  }
  answer.copy(target);
  signal(answer.length, target.buffer);
}

/**
 * The binding passes no options but its own, so ours travel behind the name of the file system: a
 * true read-only mount, our inode numbers, negative entries kept as long as positive ones.
 */
function mountOptions(fsname: string): string {
  const name = Buffer.from(fsname.replace(/[\\,\s]/g, "_"))
    .subarray(0, MAX_FSNAME_BYTES)
    .toString();
  return [
    name,
    "ro",
    "use_ino",
    "nonempty",
    `negative_timeout=${ETERNAL_S}`,
    `max_background=${MAX_BACKGROUND}`,
    `congestion_threshold=${MAX_BACKGROUND}`,
  ].join(",");
}

function mountFault(dir: string, cause: Error): Fault {
  const where = { subject: dir, cause };
  switch (cause.message) {
    case "Mountpoint does not exist":
      return new Fault("not-found", `There is no directory ${dir} to mount on`, where);
    case "Mountpoint is not a directory":
      return new Fault("usage", `${dir} is not a directory`, where);
    case "Mountpoint in use":
      return new Fault(
        "busy",
        `${dir} is a mountpoint already; --driver fuse-native cannot mount over another file system`,
        where,
      );
    default:
      return new Fault(
        "denied",
        `libfuse could not mount at ${dir} (${cause.message}); it wrote the reason to the daemon's log. ` +
          "Usual ones: no access to /dev/fuse, or allow_other without user_allow_other in /etc/fuse.conf",
        where,
      );
  }
}

/** The kernel refuses writes on a read-only mount; this holds should someone remount it. */
function readOnlyOperations(): object {
  // The callback is the last argument of each of them.
  const refuse = (...args: readonly unknown[]): void => (args.at(-1) as Done)(REPLY.EROFS);
  const names = [
    ...["truncate", "ftruncate", "utimens", "chown", "chmod", "mknod", "setxattr", "removexattr"],
    ...["write", "create", "unlink", "rename", "link", "symlink", "mkdir", "rmdir"],
  ];
  return Object.fromEntries(names.map((name) => [name, refuse]));
}
