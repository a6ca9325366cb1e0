// Translates errors of the local disk into faults: this room's door. Everything else stays the bug
// that it is.

import { Fault } from "../model/fault.js";

/** The `code` of a system error, or undefined. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string"
    ? error.code
    : undefined;
}

/**
 * Returns what to throw for `error`, which stopped the writing of `path`: a Fault `full`, `denied` or
 * `usage`, or the error itself.
 */
export function localFault(error: unknown, path: string): unknown {
  switch (codeOf(error)) {
    case "ENOSPC":
    case "EDQUOT":
      return new Fault("full", `No room on the disk to write ${path}: free some space there`, {
        subject: path,
        cause: error,
      });
    case "EACCES":
    case "EPERM":
    case "EROFS":
      return new Fault("denied", `Cannot write ${path}: make its folder writable for this user`, {
        subject: path,
        cause: error,
      });
    case "ENOTDIR":
      return new Fault("usage", `Cannot write ${path}: a part of that path is not a folder`, {
        subject: path,
        cause: error,
      });
    default:
      return error;
  }
}
