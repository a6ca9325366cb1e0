// What `--ref` may say: a uri, or a list of uris, and where its objects go. Looks nothing up.

import { Fault } from "../model/fault.js";
import { shownUri } from "../model/shown-uri.js";
import { isKnownScheme, schemeOf } from "../stores/schemes.js";
import { isArtifactUri, parseArtifactUri } from "./artifact-source.js";
import { placementBase } from "./entry-path.js";

/** One `--ref`. */
export interface LogSource {
  /** What to log; of a list, `@FILE`, where `@-` is standard input. */
  readonly uri: string;
  /** Where its objects go in the version; "" for the top. */
  readonly base: string;
  /** False: pin, hash and claim nothing of these. As the whole log does when missing. */
  readonly checksum?: boolean;
  /** Fail when these are more. */
  readonly maxObjects?: number;
}

/**
 * Parses a `--ref`: `[PATH=]URI` or `[PATH=]@FILE`. What stands before the first "=" is a path unless
 * it holds "://" or begins with "@".
 * @throws Fault `usage` for a path that cannot be, or a URI without a scheme that is known.
 */
export function parseSource(text: string): LogSource {
  const equals = text.indexOf("=");
  const before = text.slice(0, Math.max(0, equals));
  const hasPath = equals >= 0 && !before.includes("://") && !before.startsWith("@");
  return hasPath ? checkSource(text.slice(equals + 1), before) : checkSource(text, null);
}

/**
 * One reference, checked.
 * @param uri a uri or `@FILE`.
 * @param path where its objects go; null: the top.
 * @throws Fault `usage` for a path that cannot be, or a URI without a scheme that is known.
 */
export function checkSource(uri: string, path: string | null): LogSource {
  if (uri === "@")
    throw new Fault("usage", "Name the list after the @, or write @- for standard input");
  if (listFile(uri) === null) checkUri(uri, path);
  return { uri, base: path === null ? "" : placementBase(path) };
}

/** The file of a list; null when the source is none. */
export function listFile(uri: string): string | null {
  return uri.startsWith("@") ? uri.slice(1) : null;
}

/** A source as the registry keeps it, and `show` shows it: without secrets. */
export function describeSource({ uri, base }: LogSource): string {
  const shown = listFile(uri) === null ? shownUri(uri) : uri;
  return base === "" ? shown : `${base}=${shown}`;
}

function checkUri(uri: string, path: string | null): void {
  if (isArtifactUri(uri)) {
    parseArtifactUri(uri);
    return;
  }
  const scheme = schemeOf(uri);
  if (path === null && !isKnownScheme(scheme)) {
    const shown = shownUri(uri);
    throw new Fault(
      "usage",
      `"${shown}": the scheme "${scheme}" is not supported, so the reference can only be tracked; ` +
        `name the path of its entry with --ref PATH=${shown}`,
      { subject: shown },
    );
  }
}
