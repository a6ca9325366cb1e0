// The mount table of this process's mount namespace, and which mounts in it are ours.

import { readFileSync } from "node:fs";
import { parseMountTable, type MountedFileSystem } from "../model/mount-table.js";

/** The file system type of our mounts, the same for both drivers. */
export const FS_TYPE = "fuse.refmount";

/** All mounts, in mount order: the last one at a path is the one that is seen there. */
export function readMountInfo(path = "/proc/self/mountinfo"): readonly MountedFileSystem[] {
  return parseMountTable(readFileSync(path, "utf8"));
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
