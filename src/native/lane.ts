// A lane: blocking calls on the files of one file system, on threads of its own. A dead server keeps
// a lane's threads, possibly for ever, and no others; the process does not wait for them at its end.
// Types only; native/addon_lanes.cc does the work.

/** "file", "directory" and "link" are what they say; the others are named as in a sentence. */
export type FileKind =
  | "file"
  | "directory"
  | "link"
  | "a named pipe"
  | "a socket"
  | "a device"
  | "a special file";

export interface FileStatus {
  readonly kind: FileKind;
  readonly sizeBytes: number;
  /** Milliseconds since 1970, rounded down. */
  readonly mtimeMs: number;
  /** Equal as long as it is the same file and nobody wrote to it. */
  readonly stamp: string;
}

/** A child of a directory as lstat(2) saw it; of a directory only its kind is told. */
export type DirectoryChild =
  | ({ readonly name: string; readonly error?: undefined } & Omit<FileStatus, "stamp">)
  | { readonly name: string; readonly error: NodeJS.ErrnoException };

export interface LaneDirectory {
  /** Some more children; none at the end. One call at a time. */
  next(): Promise<readonly DirectoryChild[]>;
  /** Has to be called. */
  close(): Promise<void>;
}

/** What hashing one file of several gave. */
export interface HashedFile {
  readonly sizeBytes: number;
  /** Lower-case hex. */
  readonly digests: { readonly sha256: string; readonly md5: string };
  /** SHA-256 of every CHUNK_BYTES; null for a file of one chunk. */
  readonly chunks: Uint8Array | null;
  /** It was written to, or replaced, while it was read. */
  readonly changed: boolean;
}

export interface Hashing {
  /** For each path in order: its hashes, or the error with a `code` that reading it met. */
  readonly done: Promise<readonly (HashedFile | NodeJS.ErrnoException)[]>;
  /** Ends it as soon as the file system lets it: `done` then holds ECANCELED. */
  cancel(): void;
}

/**
 * Every call takes one thread and rejects with an Error with a `code`. A promise that is pending keeps
 * neither the process nor its end: whoever waits needs a timer.
 */
export interface Lane {
  /** stat(2), or lstat(2) unless `follow`. */
  stat(path: string, follow: boolean): Promise<FileStatus>;
  /** The text of a symbolic link; null for anything else that exists. */
  readLink(path: string): Promise<string | null>;
  /** Opens for reading, without waiting at a named pipe. ELOOP for a symbolic link unless `follow`. */
  open(path: string, follow: boolean): Promise<FileStatus & { readonly fd: number }>;
  /** Fills `buffer` from `offset` on; gives less than its length at the end of the file only. */
  read(fd: number, buffer: Uint8Array, offset: number): Promise<number>;
  close(fd: number): Promise<void>;
  /** ELOOP or ENOTDIR for a symbolic link. */
  openDirectory(path: string): Promise<LaneDirectory>;
  /**
   * Hashes files, eight of them side by side: faster than one by one. `onBytes` is told what was
   * hashed, not cumulative, now and then.
   */
  hashFiles(paths: readonly string[], onBytes: (bytes: number) => void): Hashing;
}
