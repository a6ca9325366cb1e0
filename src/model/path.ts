// Paths inside a manifest, and the order in which they are listed and hashed.

import { Fault } from "./fault.js";

/** The longest name the kernel and ext4 accept, in bytes. */
export const MAX_NAME_BYTES = 255;
/** Linux PATH_MAX less the terminating NUL. */
export const MAX_PATH_BYTES = 4095;

/**
 * Checks a path of a manifest and returns it unchanged.
 * @throws Fault `usage` for an empty, absolute or escaping path, an empty or dot segment, a NUL, a
 * Windows anchor, or a name that no Linux file system can hold.
 */
export function checkPath(path: string): string {
  const why = pathProblem(path);
  if (why !== null) {
    throw new Fault("usage", `Invalid artifact path ${JSON.stringify(path)}: ${why}`, {
      subject: path,
    });
  }
  return path;
}

/** What makes a path worth a closer look: a root, a drive, an empty or dot segment, a NUL. */
const SUSPICIOUS = /^[\\/]|^[A-Za-z]:|\0|(?:^|\/)\.{0,2}(?:\/|$)/;
/** A path of so few characters has no name over the limit, whatever its characters. */
const SHORT_CHARACTERS = MAX_NAME_BYTES / 3;

function pathProblem(path: string): string | null {
  // Nearly every path of a manifest of millions ends here.
  if (path.length <= SHORT_CHARACTERS && !SUSPICIOUS.test(path) && path.isWellFormed()) return null;
  if (path === "") return "it is empty";
  if (path.startsWith("/")) return "it is absolute; paths in an artifact are relative";
  if (path.startsWith("\\") || /^[A-Za-z]:/.test(path)) return "it has a Windows drive or root";
  if (path.includes("\0")) return "it holds a NUL byte";
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) return `it is over ${MAX_PATH_BYTES} bytes`;
  if (!path.isWellFormed()) return "it is not valid Unicode";
  for (const segment of path.split("/")) {
    if (segment === "") return "it has an empty segment";
    if (segment === "." || segment === "..") return `it has a "${segment}" segment`;
    if (Buffer.byteLength(segment) > MAX_NAME_BYTES) {
      return `the name ${JSON.stringify(segment)} is over ${MAX_NAME_BYTES} bytes`;
    }
  }
  return null;
}

/** UTF-8 byte order, which is code-point order; JavaScript's own `<` is UTF-16 order. */
export function comparePaths(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let index = 0; index < length; index++) {
    const x = a.charCodeAt(index);
    const y = b.charCodeAt(index);
    if (x === y) continue;
    // Surrogates (D800-DFFF) stand for code points above FFFF, so they sort after E000-FFFF.
    const xSurrogate = x >= 0xd800 && x <= 0xdfff;
    const ySurrogate = y >= 0xd800 && y <= 0xdfff;
    if (xSurrogate !== ySurrogate) return xSurrogate ? 1 : -1;
    return x - y;
  }
  return a.length - b.length;
}
