// `refmount://[entity/][project/]name[:alias][/path]`: entries of another artifact, as a source of a
// log. Resolved when logged: what is recorded are the entries themselves, so a chain of artifacts ends
// at the objects of the first one. Reads the registry and manifests only, never a store.

import type { Entry } from "../model/entry.js";
import { Fault } from "../model/fault.js";
import { formatRef, parseRef, splitRefPath, type Ref } from "../model/ref.js";
import { Manifest } from "../registry/manifest.js";
import type { Registry } from "../registry/registry.js";

const SCHEME = "refmount://";
/** Manifests held open: a list may name entries of many artifacts by turns. */
const MOST_OPEN = 8;

/** An entry of another artifact, to be placed anew. */
export interface ArtifactEntry {
  /** Its path relative to the source; its base name when the source is this one entry. */
  readonly key: string;
  readonly single: boolean;
  /** Null for an empty directory. */
  readonly entry: Entry | null;
}

interface Target {
  readonly ref: Ref;
  /** "" for everything. */
  readonly path: string;
}

export function isArtifactUri(uri: string): boolean {
  return uri.slice(0, SCHEME.length).toLowerCase() === SCHEME;
}

/**
 * Takes a uri apart. A path begins at the first "/" after the ":" of the alias, and is written as
 * `ls` shows it, without escapes.
 * @throws Fault `usage`
 */
export function parseArtifactUri(uri: string): Target {
  const { ref, path } = splitRefPath(uri.slice(SCHEME.length).replace(/\/+$/, ""));
  try {
    return { ref: parseRef(ref), path: path.replace(/^\/+/, "") };
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    const form = `${SCHEME}[entity/][project/]name[:alias][/path]`;
    throw new Fault("usage", `${error.message}; to log entries of an artifact write ${form}`);
  }
}

/** The artifacts that the sources of one log name. */
export class ArtifactSources implements Disposable {
  readonly #registry: Registry;
  readonly #manifestsDir: string;
  /** By the digest of the manifest, the least recently used first. */
  readonly #open = new Map<string, Manifest>();
  readonly #pinned = new Map<string, string>();

  constructor(registry: Registry, manifestsDir: string) {
    this.#registry = registry;
    this.#manifestsDir = manifestsDir;
  }

  /** The versions that were pinned, each with the revision that it had then. */
  get pinned(): readonly { readonly ref: string; readonly manifestDigest: string }[] {
    return [...this.#pinned].map(([ref, manifestDigest]) => ({ ref, manifestDigest }));
  }

  /**
   * `uri` with the version that its alias names now.
   * @throws Fault `not-found`, `usage`.
   */
  pin(uri: string): string {
    const { ref, path } = parseArtifactUri(uri);
    const { version, ref: name, manifestDigest } = this.#registry.resolve(ref);
    this.#pinned.set(name, manifestDigest);
    return `${SCHEME}${formatRef({ ...ref, alias: version })}${path === "" ? "" : `/${path}`}`;
  }

  /**
   * The entry at the path of `uri`, or all below it, in path order.
   * @throws Fault `not-found`, `usage`, `corrupt`.
   */
  *list(uri: string): IterableIterator<ArtifactEntry> {
    const { manifest, path, subject } = this.#find(uri);
    const node = manifest.find(path);
    if (node === null) throw nothingAt(path, subject);
    if (node.kind === "file") {
      yield single(manifest.entry(node.id));
      return;
    }
    const start = path === "" ? 0 : path.length + 1;
    for (const entry of manifest.entries(path)) {
      yield { key: entry.path.slice(start), single: false, entry };
    }
    for (const directory of manifest.emptyDirectories()) {
      if (path !== "" && !directory.startsWith(`${path}/`)) continue;
      yield { key: directory.slice(start), single: false, entry: null };
    }
  }

  /**
   * The one entry that `uri` names.
   * @throws Fault as `list`, and `usage` for a directory.
   */
  one(uri: string): ArtifactEntry & { readonly entry: Entry } {
    const { manifest, path, subject } = this.#find(uri);
    const node = manifest.find(path);
    if (node === null) throw nothingAt(path, subject);
    if (node.kind === "directory") {
      throw new Fault(
        "usage",
        `"${path}" is a directory of ${subject}: a line of a list names a file`,
      );
    }
    return single(manifest.entry(node.id));
  }

  [Symbol.dispose](): void {
    for (const manifest of this.#open.values()) manifest.close();
    this.#open.clear();
  }

  #find(uri: string): { manifest: Manifest; path: string; subject: string } {
    const { ref, path } = parseArtifactUri(uri);
    const version = this.#registry.resolve(ref);
    const manifest = this.#manifest(version.manifestDigest);
    return { manifest, path, subject: version.ref };
  }

  #manifest(digest: string): Manifest {
    const found = this.#open.get(digest);
    this.#open.delete(digest);
    const manifest = found ?? Manifest.open(this.#manifestsDir, digest);
    this.#open.set(digest, manifest);
    for (const [oldest, unused] of this.#open) {
      if (this.#open.size <= MOST_OPEN) break;
      this.#open.delete(oldest);
      unused.close();
    }
    return manifest;
  }
}

function single(entry: Entry): ArtifactEntry & { readonly entry: Entry } {
  return { key: entry.path.slice(entry.path.lastIndexOf("/") + 1), single: true, entry };
}

function nothingAt(path: string, subject: string): Fault {
  return new Fault(
    "not-found",
    `There is no "${path}" in ${subject}: "refmount ls ${subject}" shows what there is`,
    {
      subject,
    },
  );
}
