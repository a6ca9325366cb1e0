// Compares a directory with a version by names alone: what is there that the version does not have.

import { existsSync, type Dirent } from "node:fs";
import { opendir } from "node:fs/promises";
import { join } from "node:path";
import { Fault } from "../model/fault.js";
import type { Manifest } from "../registry/manifest.js";
import { isPart } from "./target-tree.js";

/** Something in a directory that a version does not have there. */
export interface Extra {
  /** Relative to the directory, '/'-separated. */
  readonly path: string;
  readonly kind: "file" | "directory";
}

/**
 * What is below `dir` and not in the version, in no order; a directory comes after what is in it. Follows
 * no symbolic link: one is a file that no version has.
 * @throws Fault `not-found` when there is no such directory, `denied` when it cannot be read.
 */
export async function* extrasIn(dir: string, manifest: Manifest): AsyncGenerator<Extra> {
  if (!existsSync(dir)) {
    throw new Fault("not-found", `There is no directory ${dir}`, { subject: dir });
  }
  yield* walk(dir, "", manifest);
}

async function* walk(root: string, prefix: string, manifest: Manifest): AsyncGenerator<Extra> {
  for await (const dirent of entriesOf(join(root, prefix))) {
    const path = prefix + dirent.name;
    // Its download removes what is left of it.
    if (isPart(dirent.name)) continue;
    if (dirent.isDirectory()) {
      yield* walk(root, `${path}/`, manifest);
      if (manifest.find(path)?.kind !== "directory") yield { path, kind: "directory" };
    } else if (!dirent.isFile() || manifest.find(path)?.kind !== "file") {
      yield { path, kind: "file" };
    }
  }
}

async function* entriesOf(dir: string): AsyncGenerator<Dirent> {
  try {
    yield* await opendir(dir);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // Removed since its name was read: then there is nothing in it.
    if (code === "ENOENT") return;
    if (code === "ENOTDIR") {
      throw new Fault("not-found", `${dir} is no directory`, { subject: dir, cause: error });
    }
    if (code === "EACCES" || code === "EPERM") {
      throw new Fault("denied", `Cannot read ${dir}: permission denied`, {
        subject: dir,
        cause: error,
      });
    }
    throw error;
  }
}
