// Opens a logged file, or a range of it, for reading. A file system that does not answer is
// `unavailable` in time; what waits for it is left behind and closes the file when it is let go.

import type { Entry } from "../model/entry.js";
import { Fault } from "../model/fault.js";
import type { ByteRange, Fetched } from "../model/fetch.js";
import type { FileStatus, Lane } from "../native/lane.js";
import { readFault } from "./file-fault.js";
import { fileSystems, type FileSystem, type Patience } from "./file-systems.js";
import { retry } from "./retry.js";
import { parseFileUri } from "./uri.js";

/** One read, in bytes: what a slow server has to bring before the deadline, and what a fast one may. */
const READ_BYTES = 262_144;
const FAST_READ_BYTES = 1_048_576;
/** A read that took less, in milliseconds, was one of a fast server. */
const FAST_MS = 100;

export type LoggedFile = Pick<Entry, "uri" | "sizeBytes">;

/**
 * Opens the file of `entry`.
 * @param timeoutMs How long the file system may take for one step.
 * @throws Fault `drifted` when it is gone or of another size, `unavailable`, `denied`.
 */
export async function openEntry(
  entry: LoggedFile,
  range: ByteRange | null,
  signal: AbortSignal,
  timeoutMs: number,
): Promise<Fetched> {
  signal.throwIfAborted();
  const file = await OpenFile.open(entry.uri, { signal, timeoutMs });
  try {
    const { kind, sizeBytes } = file.status;
    if (kind !== "file") throw changed(entry, "it is no longer a regular file");
    if (entry.sizeBytes !== null && sizeBytes !== entry.sizeBytes) {
      throw changed(entry, `it has ${sizeBytes} bytes, logged were ${entry.sizeBytes}`);
    }
    const asked = range ?? { start: 0, end: sizeBytes };
    return {
      body: readRange(file, asked, entry),
      sizeBytes,
      range: asked,
      pinned: false,
      claims: [],
      etagIsHash: false,
      // Whoever clones it opens it by path, in a call that nobody can give up.
      ...(file.fileSystem.isLocal ? { localPath: file.path } : {}),
      async confirm() {
        const { stamp } = await retry(() => file.look(), { timeoutMs, signal });
        if (stamp !== file.status.stamp) throw changed(entry, "it was changed while being read");
      },
      [Symbol.asyncDispose]() {
        file.close();
        return Promise.resolve();
      },
    };
  } catch (error) {
    file.close();
    throw error;
  }
}

async function* readRange(
  file: OpenFile,
  range: ByteRange,
  entry: LoggedFile,
): AsyncGenerator<Uint8Array> {
  let position = range.start;
  let readBytes = READ_BYTES;
  while (position < range.end) {
    const buffer = Buffer.allocUnsafe(Math.min(readBytes, range.end - position));
    const beganMs = performance.now();
    const bytesRead = await file.read(buffer, position);
    readBytes = performance.now() - beganMs < FAST_MS ? FAST_READ_BYTES : READ_BYTES;
    if (bytesRead < buffer.length) throw changed(entry, "it became shorter while being read");
    position += bytesRead;
    yield buffer;
  }
}

/** A file of a source and the calls on it, one at a time. */
class OpenFile {
  readonly path: string;
  readonly fileSystem: FileSystem;
  readonly status: FileStatus;
  readonly #uri: string;
  readonly #fd: number;
  readonly #patience: Patience;
  /** The last read, which may still be under way when it was given up. */
  #reading: Promise<unknown> = Promise.resolve();

  private constructor(
    uri: string,
    fileSystem: FileSystem,
    patience: Patience,
    opened: FileStatus & { readonly fd: number },
  ) {
    this.path = parseFileUri(uri);
    this.fileSystem = fileSystem;
    this.status = opened;
    this.#uri = uri;
    this.#fd = opened.fd;
    this.#patience = patience;
  }

  static async open(uri: string, patience: Patience): Promise<OpenFile> {
    const path = parseFileUri(uri);
    const openAt = async (place: string, fileSystem: FileSystem): Promise<OpenFile> => {
      const opened = await fileSystem.run(
        path,
        patience,
        (lane) => lane.open(place, false),
        ({ fd }) => {
          fileSystem.runLater((lane) => lane.close(fd));
        },
      );
      return new OpenFile(uri, fileSystem, patience, opened);
    };
    try {
      try {
        return await openAt(path, await fileSystems.holding(path, patience));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ELOOP") throw error;
        // A link, which may lead to another file system.
        const real = await fileSystems.resolve(path, patience);
        return await openAt(real, fileSystems.at(real));
      }
    } catch (error) {
      throw readFault(error, uri);
    }
  }

  async read(buffer: Uint8Array, position: number): Promise<number> {
    this.#patience.signal?.throwIfAborted();
    return this.#run((lane) => {
      const reading = lane.read(this.#fd, buffer, position);
      this.#reading = reading;
      return reading;
    });
  }

  /** What is at its path now. */
  look(): Promise<FileStatus> {
    return this.#run((lane) => lane.stat(this.path, true));
  }

  /** Waits for nothing; a read that was given up is let end first, so that it reads no other file. */
  close(): void {
    const close = (): void => {
      this.fileSystem.runLater((lane) => lane.close(this.#fd));
    };
    this.#reading.then(close, close);
  }

  async #run<T>(call: (lane: Lane) => Promise<T>): Promise<T> {
    try {
      return await this.fileSystem.run(this.path, this.#patience, call);
    } catch (error) {
      throw readFault(error, this.#uri);
    }
  }
}

function changed(entry: LoggedFile, how: string): Fault {
  return new Fault(
    "drifted",
    `${entry.uri} is not the file that was logged: ${how}. Restore it, or log a new version`,
    { subject: entry.uri },
  );
}
