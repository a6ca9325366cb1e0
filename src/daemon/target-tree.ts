// The directory that a download writes into: makes folders, gives files their place in one step, and
// never follows a symbolic link out of it. Checks no bytes.

import { createHash } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import { chmod, lstat, mkdir, readdir, rename, rm, stat, utimes } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { Fault } from "../model/fault.js";

const PART_NAME = /^\.refmount-([0-9a-f]{8})-(\d+)-\d+\.part$/;
/** True for the name of a file that a download is writing, or did not finish. */
export function isPart(name: string): boolean {
  return PART_NAME.test(name);
}

/** A part of another machine's download that nobody wrote to for this long is litter. */
const FOREIGN_PART_MS = 86_400_000;

export class TargetTree {
  /** Absolute. */
  readonly dir: string;
  readonly #folders = new Map<string, Promise<void>>();
  readonly #machine = machineId();
  readonly #fileMode = 0o666 & ~currentUmask();
  #parts = 0;

  constructor(dir: string) {
    this.dir = resolve(dir);
  }

  /** Where the file `path` of the version goes. */
  pathOf(path: string): string {
    return join(this.dir, path);
  }

  /** The size of the regular file that is already at `path`; null when there is none. */
  async sizeAt(path: string): Promise<number | null> {
    try {
      await this.#folder(dirname(path), "look");
      const found = await lstat(this.pathOf(path));
      return found.isFile() ? found.size : null;
    } catch (error) {
      if (error instanceof MissingFolder) return null;
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
      throw this.#translate(error, path);
    }
  }

  /**
   * Has `write` make a new file beside `path`, then gives it that name, replacing a file there.
   * Leaves nothing when that fails.
   */
  async place<T>(
    path: string,
    mtimeMs: number | null,
    write: (partPath: string) => Promise<T>,
  ): Promise<T> {
    await this.#folder(dirname(path), "make").catch((error: unknown) => {
      throw this.#translate(error, path);
    });
    const name = `.refmount-${this.#machine}-${process.pid}-${this.#parts++}.part`;
    const partPath = join(this.dir, dirname(path), name);
    try {
      const result = await write(partPath);
      await chmod(partPath, this.#fileMode);
      if (mtimeMs !== null) await utimes(partPath, mtimeMs / 1000, mtimeMs / 1000);
      await rename(partPath, this.pathOf(path));
      return result;
    } catch (error) {
      await rm(partPath, { force: true });
      throw this.#translate(error, path);
    }
  }

  /** Makes the directory `path` of the version, unless it is there. */
  async makeFolder(path: string): Promise<void> {
    await this.#folder(path, "make").catch((error: unknown) => {
      throw this.#translate(error, path);
    });
  }

  /** Checks, and with `make` creates, a folder and those above it, once. */
  #folder(path: string, mode: "look" | "make"): Promise<void> {
    const key = `${mode}:${path}`;
    let folder = this.#folders.get(key);
    if (folder === undefined) {
      folder = this.#openFolder(path, mode);
      this.#folders.set(key, folder);
      // What failed may work later: a folder that was looked for is made by another file.
      folder.catch(() => this.#folders.delete(key));
    }
    return folder;
  }

  async #openFolder(path: string, mode: "look" | "make"): Promise<void> {
    const absolute = join(this.dir, path);
    if (path === ".") {
      // The directory that the user named may be a link, and its parents may be missing.
      if (mode === "make") await mkdir(absolute, { recursive: true });
    } else {
      await this.#folder(dirname(path), mode);
      if (mode === "make" && (await made(absolute))) return;
    }
    const found = await (path === "." ? stat(absolute) : lstat(absolute)).catch(
      (error: unknown) => {
        if ((error as NodeJS.ErrnoException).code === "ENOENT") throw new MissingFolder(path);
        throw error;
      },
    );
    if (!found.isDirectory()) {
      const what = found.isSymbolicLink() ? "a symbolic link" : "a file";
      throw new Fault(
        "usage",
        `${absolute} is ${what}, and the version has a folder there; move it`,
        {
          subject: absolute,
        },
      );
    }
    if (mode === "make") await this.#removeLitter(absolute);
  }

  async #removeLitter(folder: string): Promise<void> {
    for (const name of await readdir(folder)) {
      const [, machine, pid] = PART_NAME.exec(name) ?? [];
      if (machine === undefined) continue;
      const path = join(folder, name);
      const dead =
        machine === this.#machine ? !isAlive(Number(pid)) : await isOld(path, FOREIGN_PART_MS);
      if (dead) await rm(path, { force: true });
    }
  }

  #translate(error: unknown, path: string): unknown {
    const target = this.pathOf(path);
    const fault = (kind: "full" | "denied" | "usage", message: string): Fault =>
      new Fault(kind, message, { subject: target, cause: error });
    switch ((error as NodeJS.ErrnoException).code) {
      case "ENOSPC":
      case "EDQUOT":
        return fault("full", `No room for ${target}: free some space and download again`);
      case "EACCES":
      case "EPERM":
      case "EROFS":
        return fault("denied", `Cannot write ${target}: ${(error as Error).message}`);
      case "EISDIR":
      case "ENOTDIR":
      case "EEXIST":
      case "ENOTEMPTY":
        return fault("usage", `${target} is in the way: the version has a file there; move it`);
      case "ENAMETOOLONG":
        return fault("usage", `${target} is too long a path here; choose a shorter directory`);
      default:
        return error;
    }
  }
}

class MissingFolder extends Error {}

/** False when something of that name is there already. */
async function made(path: string): Promise<boolean> {
  try {
    await mkdir(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

// Process ids mean something within one boot and one pid namespace only.
function machineId(): string {
  const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8");
  const identity = boot + readlinkSync("/proc/self/ns/pid");
  return createHash("sha256").update(identity).digest("hex").slice(0, 8);
}

// process.umask() has to change it to tell it.
function currentUmask(): number {
  const text = /^Umask:\s*([0-7]+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
  return Number.parseInt(text ?? "022", 8);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

async function isOld(path: string, ageMs: number): Promise<boolean> {
  const found = await lstat(path).catch(() => null);
  return found !== null && Date.now() - found.mtimeMs > ageMs;
}
