// Translates errno of the file system into faults, for listing and for reading.

import type { FaultKind } from "../model/fault.js";
import { Fault } from "../model/fault.js";
import { SilentFileSystem } from "./file-systems.js";

/** A failure while a tree is being listed: what is missing was never there. */
export function listFault(error: unknown, uri: string): unknown {
  return translate(error, uri, "not-found", "Cannot list");
}

/** A failure while a logged file is being read: what is missing has gone since. */
export function readFault(error: unknown, uri: string): unknown {
  return translate(error, uri, "drifted", "Cannot read");
}

function translate(error: unknown, uri: string, missing: FaultKind, what: string): unknown {
  if (error instanceof Fault) return error;
  const { code } = error as NodeJS.ErrnoException;
  const fault = (kind: FaultKind, why: string): Fault =>
    new Fault(kind, `${what} ${uri}: ${why}`, { subject: uri, cause: error });
  if (error instanceof SilentFileSystem) return fault("unavailable", error.message);
  switch (code) {
    case "ENOENT":
    case "ENOTDIR":
    case "ELOOP":
    case "EISDIR":
    case "ENXIO":
      return fault(missing, missing === "drifted" ? "it is gone" : "there is no such file");
    case "ENAMETOOLONG":
      return fault(
        missing === "drifted" ? missing : "usage",
        "its path is longer than Linux opens",
      );
    case "EACCES":
    case "EPERM":
      return fault(
        "denied",
        "permission denied; check its owner and mode, and those of the directories above it",
      );
    // A network file system that is away, or no descriptors left: may well be over soon.
    case "EIO":
    case "ESTALE":
    case "ETIMEDOUT":
    case "EREMOTEIO":
    case "EHOSTDOWN":
    case "EMFILE":
    case "ENFILE":
    case "EAGAIN":
      return fault("unavailable", `the file system answers ${code}`);
    default:
      return error;
  }
}
