// Mounts and unmounts devices with this process's own rights, in its own mount namespace.

import { Fault } from "../model/fault.js";
import { isOwnMount } from "../mount/mountinfo.js";
import { addon } from "../native/addon.js";
import type { MountRecord } from "./protocol.js";

/**
 * Mounts a device; its descriptor is the caller's.
 * @throws Fault `denied`
 */
export function attach(record: MountRecord): number {
  try {
    return addon().attach(record.directory, { fsname: record.ref, allowOther: record.allowOther });
  } catch (cause) {
    const { message } = cause as Error;
    throw new Fault("denied", `Cannot mount at ${record.directory}: ${message}`, {
      subject: record.directory,
      cause,
    });
  }
}

/**
 * Unmounts what is at `path`; lazily with `force`.
 * @throws Fault `busy` when it is in use and not forced, `denied`.
 */
export function detach(path: string, force: boolean): void {
  try {
    addon().detach(path, force);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === "EBUSY") {
      throw new Fault(
        "busy",
        `${path} is in use (a process has a file open or its working directory there); ` +
          `end it, or let go with: refmount unmount --force ${path}`,
        { subject: path, cause },
      );
    }
    throw new Fault("denied", `Cannot unmount ${path}: ${message}`, { subject: path, cause });
  }
}

/** Undoes `attach` after a later step failed: that step's failure is what the user is told. */
export function undoAttach(path: string): void {
  try {
    if (isOwnMount(path)) addon().detach(path, true);
  } catch {
    // What stays behind is a dead mount, which the next mount there replaces.
  }
}

/** Unmounts what of ours is at `dir`, lazily when it is in use. */
export function detachBusyLazily(dir: string): void {
  try {
    detachOwn(dir, false);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EBUSY") throw error;
    detachOwn(dir, true);
  }
}

/** Unmounts what of ours is at `dir`; this process may see something else there, or nothing. */
function detachOwn(dir: string, lazy: boolean): void {
  if (!isOwnMount(dir)) throw new Error(`nothing of refmount is mounted at ${dir}`);
  addon().detach(dir, lazy);
}
