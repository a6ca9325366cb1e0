// The mount table of this process's mount namespace, read from /proc: the way to learn about mounts
// without touching them, since a stale or busy FUSE mount may block whoever does.

import { readFileSync } from "node:fs";

export interface MountedFileSystem {
  readonly mountPoint: string;
  readonly fsType: string;
  readonly source: string;
  /** "major:minor", as in /sys/class/bdi and /sys/fs/fuse/connections. */
  readonly device: string;
}

/** The file system type of our mounts, the same for both drivers. */
export const FS_TYPE = "fuse.refmount";

/** All mounts, in mount order: the last one at a path is the one that is seen there. */
export function readMountInfo(path = "/proc/self/mountinfo"): readonly MountedFileSystem[] {
  return readFileSync(path, "utf8")
    .split("\n")
    .flatMap((line) => {
      const parsed = parseMountInfoLine(line);
      return parsed === null ? [] : [parsed];
    });
}

/** One line: `36 35 98:0 /root /mount/point options optional... - type source superOptions`. */
export function parseMountInfoLine(line: string): MountedFileSystem | null {
  const [left, right] = line.split(" - ", 2);
  if (left === undefined || right === undefined) return null;
  const [, , device, , mountPoint] = left.split(" ");
  const [fsType, source] = right.split(" ");
  if (device === undefined || mountPoint === undefined) return null;
  if (fsType === undefined || source === undefined) return null;
  return { device, mountPoint: unescape(mountPoint), fsType, source: unescape(source) };
}

/** The mount seen at exactly `path`, or undefined. */
export function mountAt(
  path: string,
  mounts: readonly MountedFileSystem[] = readMountInfo(),
): MountedFileSystem | undefined {
  return mounts.findLast((mount) => mount.mountPoint === path);
}

/** True when what is seen at exactly `path` is a mount of ours. */
export function isOwnMount(path: string): boolean {
  return mountAt(path)?.fsType === FS_TYPE;
}

// The kernel writes space, tab, newline and backslash as octal.
function unescape(text: string): string {
  if (!text.includes("\\")) return text;
  const bytes = Buffer.from(text, "utf8");
  const out: number[] = [];
  for (let index = 0; index < bytes.length; index++) {
    const octal = bytes[index] === 0x5c ? bytes.toString("latin1", index + 1, index + 4) : "";
    if (/^[0-7]{3}$/.test(octal)) {
      out.push(parseInt(octal, 8));
      index += 3;
    } else {
      out.push(bytes[index] ?? 0);
    }
  }
  return Buffer.from(out).toString("utf8");
}
