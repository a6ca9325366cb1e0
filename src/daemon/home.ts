// Where everything of one user lives: registry, manifests, cache, sockets, log. Creates the folders
// it names; knows nothing of what is in them.

import { createHash } from "node:crypto";
import { chmodSync, lstatSync, mkdirSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { isAbsolute, join, resolve } from "node:path";
import { Fault } from "../model/fault.js";

export type Environment = Readonly<Record<string, string | undefined>>;

export interface Home {
  /** The folder chosen by `--home` or `REFMOUNT_HOME`, absolute; null for the XDG folders. */
  readonly root: string | null;
  readonly registryPath: string;
  readonly manifestsDir: string;
  readonly cacheDir: string;
  readonly runDir: string;
  /** The daemon's control socket; under 108 bytes whatever the home is. */
  readonly controlSocket: string;
  readonly holderSocket: string;
  readonly logPath: string;
}

/** sun_path holds 108 bytes with its terminating NUL. */
const MAX_SOCKET_PATH_BYTES = 107;
const LONGEST_SOCKET_NAME = "control.sock";

/**
 * The folders of one home, made when missing, each 0700.
 * @param dir `--home`; else `REFMOUNT_HOME`, else the XDG data, cache and runtime folders.
 * @throws Fault `denied` when a folder cannot be made or belongs to somebody else.
 */
export function openHome(dir: string | undefined, environment: Environment): Home {
  const chosen = dir ?? nonEmpty(environment["REFMOUNT_HOME"]);
  const root = chosen === undefined ? undefined : resolve(chosen);
  const dataDir = root ?? join(xdg(environment, "XDG_DATA_HOME", ".local/share"), "refmount");
  const cacheDir =
    root === undefined
      ? join(xdg(environment, "XDG_CACHE_HOME", ".cache"), "refmount")
      : join(root, "cache");
  const runDir = chooseRunDir(root, environment);
  const manifestsDir = join(dataDir, "manifests");
  for (const folder of [dataDir, manifestsDir, cacheDir]) makeFolder(folder);
  makePrivateFolder(runDir);
  return {
    root: root ?? null,
    registryPath: join(dataDir, "registry.sqlite"),
    manifestsDir,
    cacheDir,
    runDir,
    controlSocket: join(runDir, LONGEST_SOCKET_NAME),
    holderSocket: join(runDir, "holder.sock"),
    logPath: join(dataDir, "daemon.log"),
  };
}

function chooseRunDir(root: string | undefined, environment: Environment): string {
  const runtime = absolute(environment["XDG_RUNTIME_DIR"]);
  const fallback = join(tmpdir(), `refmount-${ownUid()}`);
  if (root === undefined) return runtime === undefined ? fallback : join(runtime, "refmount");
  const inside = join(root, "run");
  if (Buffer.byteLength(join(inside, LONGEST_SOCKET_NAME)) <= MAX_SOCKET_PATH_BYTES) return inside;
  // Too deep for a socket: a short folder named by the home, so that every command finds it again.
  const name = createHash("sha256").update(root).digest("hex").slice(0, 16);
  return `${fallback}-${name}`;
}

function xdg(environment: Environment, variable: string, fallback: string): string {
  return absolute(environment[variable]) ?? join(userFolder(environment), fallback);
}

function userFolder(environment: Environment): string {
  const folder = absolute(environment["HOME"]);
  if (folder !== undefined) return folder;
  try {
    return homedir();
  } catch (cause) {
    // A container may run as a user that its /etc/passwd does not know.
    throw new Fault(
      "usage",
      "This user has no home folder; choose where refmount keeps its files with --home or REFMOUNT_HOME",
      { cause },
    );
  }
}

/** The daemon runs elsewhere: a relative path means nothing to it, and the XDG rules ignore them. */
function absolute(path: string | undefined): string | undefined {
  return path !== undefined && isAbsolute(path) ? path : undefined;
}

function ownUid(): number {
  return process.getuid?.() ?? 0;
}

function nonEmpty(value: string | undefined): string | undefined {
  return value === "" ? undefined : value;
}

function makeFolder(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw new Fault(
      "denied",
      `Cannot make the folder ${path}: ${(cause as Error).message}. Choose another with --home or REFMOUNT_HOME`,
      { subject: path, cause },
    );
  }
}

// Sockets in it accept commands, and a folder in /tmp could have been laid there by somebody else.
function makePrivateFolder(path: string): void {
  makeFolder(path);
  const stat = lstatSync(path);
  if (!stat.isDirectory() || stat.uid !== ownUid()) {
    throw new Fault("denied", `${path} is not a folder of yours; remove it or set REFMOUNT_HOME`, {
      subject: path,
    });
  }
  if ((stat.mode & 0o077) !== 0) chmodSync(path, 0o700);
}
