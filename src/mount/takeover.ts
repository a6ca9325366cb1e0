// Whether a mount whose server died can be taken over. Looks at the kernel's own tables, never at the
// mount.

import { readFileSync } from "node:fs";
import { release } from "node:os";
import { join } from "node:path";
import { mountAt, readMountInfo } from "./mountinfo.js";

/** The first kernel that sends requests again that were read and never answered. */
const RESENDS_SINCE = [6, 9] as const;

export interface KernelView {
  /** As `uname -r` tells it. */
  readonly release: string;
  readonly mountInfoPath: string;
  /** The mounted fusectl file system. */
  readonly connectionsDir: string;
}

/**
 * True when a reader may wait for an answer that died with the process which had its request: on an
 * older kernel with any request under way, as far as that can be told.
 */
export function requestsMayBeLost(directory: string, kernel: Partial<KernelView> = {}): boolean {
  if (resends(kernel.release ?? release())) return false;
  const mounted = mountAt(directory, readMountInfo(kernel.mountInfoPath));
  const connection = mounted?.device.split(":")[1];
  if (connection === undefined) return true;
  const connectionsDir = kernel.connectionsDir ?? "/sys/fs/fuse/connections";
  try {
    return readFileSync(join(connectionsDir, connection, "waiting"), "utf8").trim() !== "0";
  } catch {
    return true;
  }
}

function resends(kernelRelease: string): boolean {
  const [major = 0, minor = 0] = kernelRelease.split(".").map((part) => Number.parseInt(part, 10));
  return major > RESENDS_SINCE[0] || (major === RESENDS_SINCE[0] && minor >= RESENDS_SINCE[1]);
}
