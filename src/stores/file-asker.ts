// Asks the file systems of a source what is there: again while they are unavailable, and with every
// error as a fault that names the uri. Decides nothing about what it sees.

import { Fault } from "../model/fault.js";
import type { DirectoryChild, FileStatus, LaneDirectory } from "../native/lane.js";
import { listFault } from "./file-fault.js";
import { fileSystems, type FileSystem, type Patience } from "./file-systems.js";
import { retry } from "./retry.js";

export class Asker {
  readonly patience: Patience;

  constructor(patience: Patience) {
    this.patience = patience;
  }

  /** What is at `path`, links followed. */
  find(path: string, uri: string): Promise<{ real: string; status: FileStatus }> {
    return this.#ask(uri, async () => {
      const real = await fileSystems.resolve(path, this.patience);
      const fileSystem = fileSystems.at(real);
      const status = await fileSystem.run(real, this.patience, (lane) => lane.stat(real, false));
      return { real, status };
    });
  }

  /** What is at `path`, which may be a link. */
  look(path: string, uri: string): Promise<FileStatus> {
    return this.#ask(uri, () =>
      fileSystems.at(path).run(path, this.patience, (lane) => lane.stat(path, false)),
    );
  }

  openDirectory(path: string, uri: string): Promise<OpenDirectory> {
    return this.#ask(uri, async () => {
      const fileSystem = fileSystems.at(path);
      const directory = await fileSystem.run(
        path,
        this.patience,
        (lane) => lane.openDirectory(path),
        (late) => late.close(),
      );
      return new OpenDirectory(path, uri, fileSystem, directory);
    });
  }

  #ask<T>(uri: string, ask: () => Promise<T>): Promise<T> {
    const asking = (): Promise<T> =>
      ask().catch((error: unknown) => {
        throw listFault(error, uri);
      });
    return retry(asking, this.patience);
  }
}

/** A directory of the tree that is being read. */
export class OpenDirectory {
  readonly #path: string;
  readonly #uri: string;
  readonly #fileSystem: FileSystem;
  readonly #directory: LaneDirectory;

  constructor(path: string, uri: string, fileSystem: FileSystem, directory: LaneDirectory) {
    this.#path = path;
    this.#uri = uri;
    this.#fileSystem = fileSystem;
    this.#directory = directory;
  }

  /** The next children; none at the end. Not asked again: they would be missing, or there twice. */
  async next(patience: Patience): Promise<readonly DirectoryChild[]> {
    try {
      return await this.#fileSystem.run(this.#path, patience, () => this.#directory.next());
    } catch (error) {
      throw listFault(error, this.#uri);
    }
  }

  close(): void {
    this.#fileSystem.runLater(() => this.#directory.close());
  }
}

/** Null for what the file system says is not there. */
export async function goneIsNull<T>(
  asking: Promise<T>,
  codes: readonly string[] = ["ENOENT"],
): Promise<T | null> {
  try {
    return await asking;
  } catch (error) {
    const { code = "" } = ((error as Fault).cause ?? {}) as NodeJS.ErrnoException;
    if (codes.includes(code)) return null;
    throw error;
  }
}
