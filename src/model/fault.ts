// Every expected failure is a Fault: one class, a closed list of kinds, two tables (errno and exit
// code). Translation of foreign errors into faults happens at each room's own door, not here.

export type FaultKind =
  "usage" | "not-found" | "denied" | "drifted" | "corrupt" | "unavailable" | "full" | "busy";

/** Linux errno values that a reader of a mount may see. */
export const ERRNO = {
  ENOENT: 2,
  EINTR: 4,
  EIO: 5,
  EACCES: 13,
  EBUSY: 16,
  EINVAL: 22,
  ENOSPC: 28,
  ESTALE: 116,
} as const;

const ERRNO_OF: Readonly<Record<FaultKind, number>> = {
  usage: ERRNO.EINVAL,
  "not-found": ERRNO.ENOENT,
  denied: ERRNO.EACCES,
  drifted: ERRNO.ESTALE,
  corrupt: ERRNO.EIO,
  unavailable: ERRNO.EIO,
  full: ERRNO.ENOSPC,
  busy: ERRNO.EBUSY,
};

const EXIT_CODE_OF: Readonly<Record<FaultKind, number>> = {
  usage: 2,
  "not-found": 3,
  denied: 4,
  drifted: 5,
  corrupt: 6,
  unavailable: 7,
  full: 8,
  busy: 9,
};

export interface FaultOptions {
  /** What the fault is about: an object's uri, a path, a ref. Never holds a secret. */
  readonly subject?: string;
  /** The foreign error behind it, for the log. */
  readonly cause?: unknown;
  /** The least time to wait before a retry, in milliseconds (a server's Retry-After). */
  readonly retryAfterMs?: number;
}

/**
 * An expected failure. The message says what was tried, on what, and what to do next; it reaches
 * people as it is, so it holds no secret.
 */
export class Fault extends Error {
  readonly kind: FaultKind;
  readonly subject: string | undefined;
  readonly retryAfterMs: number | undefined;

  constructor(kind: FaultKind, message: string, options: FaultOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "Fault";
    this.kind = kind;
    this.subject = options.subject;
    this.retryAfterMs = options.retryAfterMs;
  }

  /** The form that crosses the control socket. */
  toJSON(): FaultRecord {
    return {
      kind: this.kind,
      message: this.message,
      ...(this.subject === undefined ? {} : { subject: this.subject }),
    };
  }

  static fromJSON(record: FaultRecord): Fault {
    return new Fault(
      record.kind,
      record.message,
      record.subject === undefined ? {} : { subject: record.subject },
    );
  }
}

export interface FaultRecord {
  readonly kind: FaultKind;
  readonly message: string;
  readonly subject?: string;
}

/** The errno a reader gets for `error`; anything that is not a Fault is a bug and reads as EIO. */
export function errnoOf(error: unknown): number {
  return error instanceof Fault ? ERRNO_OF[error.kind] : ERRNO.EIO;
}

/** The exit code of a command that ends with `error`; 1 means a bug. */
export function exitCodeOf(error: unknown): number {
  return error instanceof Fault ? EXIT_CODE_OF[error.kind] : 1;
}

/** The exit code of a command that found nothing worse than faults of this kind. */
export function exitCodeOfKind(kind: FaultKind): number {
  return EXIT_CODE_OF[kind];
}

/** True for a kind named in the table; used when a record comes from another process. */
export function isFaultKind(kind: string): kind is FaultKind {
  return Object.hasOwn(ERRNO_OF, kind);
}
