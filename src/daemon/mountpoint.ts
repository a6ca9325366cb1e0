// Is this directory fit to be mounted on? Looks at the mount table first, since touching a stale
// mount may fail or block.

import { execFile } from "node:child_process";
import { lstat, readdir, realpath, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { Fault } from "../model/fault.js";
import { FS_TYPE, isOwnMount, mountAt, readMountInfo } from "../mount/mountinfo.js";
import { addon } from "../native/addon.js";

/** A live mount answers at once; one that takes longer is not known to be dead, so it is left alone. */
const STALE_PROBE_MS = 2000;
const STAT_SCRIPT =
  "try { require('fs').statSync(process.argv[1]); } catch (error) { process.stdout.write(error.code); }";

/**
 * The absolute path of `dir` without symlinks on the way to it. The last part is not touched: it may
 * be a mount that does not answer.
 */
export async function mountpointPath(dir: string): Promise<string> {
  const absolute = resolve(dir);
  if (mountAt(absolute) !== undefined) return absolute;
  const parent = await realpath(dirname(absolute)).catch((cause: unknown) => {
    throw new Fault("not-found", `There is no directory ${dirname(absolute)} to mount in`, {
      subject: absolute,
      cause,
    });
  });
  const path = join(parent, basename(absolute));
  if (mountAt(path) !== undefined || parent === path) return path;
  const found = await lstat(path).catch(() => null);
  return found?.isSymbolicLink() === true ? await realpath(path).catch(() => path) : path;
}

/**
 * Checks that a new mount may be put at `path` and removes a dead mount of ours from it.
 * @returns notes for the user.
 * @throws Fault `busy` for a place where something is mounted, `not-found` for a missing one, `usage`
 * for what is no directory or lies inside another of our mounts.
 */
export async function prepareMountpoint(path: string): Promise<string[]> {
  const notes: string[] = [];
  if (isOwnMount(path) && (await isStale(path))) {
    addon().detach(path, true);
    notes.push(`removed a dead mount that a killed daemon had left at ${path}`);
  }
  refuseMounted(path);
  const around = readMountInfo().find(
    (mount) => mount.fsType === FS_TYPE && path.startsWith(`${mount.mountPoint}/`),
  );
  if (around !== undefined) {
    throw new Fault(
      "usage",
      `${path} lies inside the mount ${around.mountPoint}, which is read-only; choose another place`,
      { subject: path },
    );
  }
  notes.push(...(await checkDirectory(path)));
  return notes;
}

/** @throws Fault `busy` when something is mounted at exactly `path`. */
export function refuseMounted(path: string): void {
  const mounted = mountAt(path);
  if (mounted === undefined) return;
  const message =
    mounted.fsType === FS_TYPE
      ? `${mounted.source} is already mounted at ${path}; unmount it first: refmount unmount ${path}`
      : `${path} is a mountpoint already (${mounted.fsType})`;
  throw new Fault("busy", message, { subject: path });
}

async function checkDirectory(path: string): Promise<string[]> {
  const found = await stat(path).catch((cause: unknown) => {
    if ((cause as NodeJS.ErrnoException).code === "EACCES") {
      throw new Fault("denied", `No permission to look at ${path}`, { subject: path, cause });
    }
    throw new Fault("not-found", `There is no directory ${path}; make it first: mkdir -p ${path}`, {
      subject: path,
      cause,
    });
  });
  if (!found.isDirectory()) {
    throw new Fault("usage", `${path} is not a directory`, { subject: path });
  }
  const names = await readdir(path).catch(() => []);
  return names.length === 0
    ? []
    : [`${path} is not empty: what is in it is hidden while the artifact is mounted there`];
}

/**
 * True when the mount at `path` has lost its server ("Transport endpoint is not connected"). Looked at
 * by a process that can be killed: a thread of this one that waits for a mount would keep it alive.
 */
function isStale(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      ["--eval", STAT_SCRIPT, path],
      { timeout: STALE_PROBE_MS, killSignal: "SIGKILL" },
      (_error, stdout) => {
        resolve(stdout === "ENOTCONN" || stdout === "ECONNABORTED");
      },
    );
  });
}
