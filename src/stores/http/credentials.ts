// What a request to an origin carries besides itself: headers from REFMOUNT_HTTP_HEADERS, and the
// user and password that .netrc has for its host. Kept in memory; only sources are ever named.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Fault } from "../../model/fault.js";
import type { Environment } from "../store.js";
import { nonEmpty } from "../store.js";
import type { ConfiguredHeaders } from "./headers.js";
import { headersFor, parseHeaders } from "./headers.js";
import type { NetrcEntry } from "./netrc.js";
import { findEntry, parseNetrc } from "./netrc.js";

export interface Identity {
  readonly headers: Readonly<Record<string, string>>;
  /** Where its credentials come from, for messages; undefined when it has none. */
  readonly source: string | undefined;
}

export interface Credentials {
  /** @throws Fault `usage` or `denied` when what the environment names cannot be read. */
  identityFor(url: URL): Promise<Identity>;
  /** Reads .netrc again after a server refused `stale`; null when there is nothing new to try. */
  renew(url: URL, stale: Identity): Promise<Identity | null>;
}

/** @throws Fault `usage` for REFMOUNT_HTTP_HEADERS that cannot be understood. */
export function openCredentials(environment: Environment): Credentials {
  const configured: ConfiguredHeaders = parseHeaders(environment["REFMOUNT_HTTP_HEADERS"] ?? "");
  let entries: Promise<readonly NetrcEntry[]> | undefined;
  const identities = new Map<string, Identity>();

  const load = (): Promise<readonly NetrcEntry[]> => {
    const loading = readNetrc(environment);
    // Once the file can be read, it is.
    loading.catch(() => (entries = undefined));
    return loading;
  };
  const identityFor = async (url: URL): Promise<Identity> => {
    const known = identities.get(url.origin);
    if (known !== undefined) return known;
    const identity = identify(url, configured, await (entries ??= load()));
    identities.set(url.origin, identity);
    return identity;
  };
  return {
    identityFor,
    async renew(url, stale) {
      // Of many requests that were refused, the first one to come here reads the file.
      if (identities.get(url.origin) === stale) {
        identities.clear();
        entries = undefined;
      }
      const fresh = await identityFor(url);
      return fresh.headers["authorization"] === stale.headers["authorization"] ? null : fresh;
    },
  };
}

function identify(
  url: URL,
  configured: ConfiguredHeaders,
  entries: readonly NetrcEntry[],
): Identity {
  const headers = headersFor(configured, url);
  if (headers["authorization"] !== undefined || headers["cookie"] !== undefined) {
    return { headers, source: "REFMOUNT_HTTP_HEADERS" };
  }
  const entry = findEntry(entries, url.hostname);
  if (entry !== undefined) {
    const basic = Buffer.from(`${entry.login}:${entry.password}`).toString("base64");
    return {
      headers: { ...headers, authorization: `Basic ${basic}` },
      source: entry.machine === null ? "the default entry in .netrc" : "its entry in .netrc",
    };
  }
  // A server may have its own name for a token.
  const source = Object.keys(headers).length > 0 ? "REFMOUNT_HTTP_HEADERS" : undefined;
  return { headers, source };
}

async function readNetrc(environment: Environment): Promise<readonly NetrcEntry[]> {
  const named = nonEmpty(environment["NETRC"]);
  const home = nonEmpty(environment["HOME"]);
  const path = named ?? (home === undefined ? undefined : join(home, ".netrc"));
  if (path === undefined) return [];
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (named === undefined && (code === "ENOENT" || code === "ENOTDIR")) return [];
    throw new Fault("denied", `Cannot read the credentials in ${path} (${code ?? "unknown"})`, {
      subject: path,
      cause,
    });
  }
  return parseNetrc(text, path);
}
