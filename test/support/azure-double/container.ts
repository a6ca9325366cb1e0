// Blobs, their versions and snapshots as Azure keeps them, in memory. Knows no HTTP.
//
// "Blob versioning" (learn.microsoft.com/azure/storage/blobs/versioning-overview): each write makes a
// version, whose id is a time; deleting a blob makes the current version a previous one; a blob that
// was written before versioning was turned on has no id, and gets one when it is overwritten.

import { comparePaths } from "../../../src/model/path.js";
import { asContent, md5, type Content } from "../double/content.js";

export interface PutOptions {
  readonly metadata?: Readonly<Record<string, string>>;
  /** Content-MD5 as base64; that of the bytes unless given, none when null (a list of blocks). */
  readonly md5?: string | null;
  /** Instead of the next one. */
  readonly etag?: string;
  readonly contentEncoding?: string;
  readonly tier?: "Hot" | "Archive";
  /** On an account with a hierarchical namespace. */
  readonly resourceType?: "file" | "directory";
}

export interface Blob {
  readonly name: string;
  /** The time it was written: its version's id, where versions are kept. */
  readonly writtenAt: string;
  /** True when it shows that id. */
  readonly versioned: boolean;
  /** The time that names it, for a snapshot. */
  readonly snapshot: string | undefined;
  readonly content: Content;
  readonly etag: string;
  readonly md5: string | undefined;
  readonly modified: Date;
  readonly options: PutOptions;
}

export class Container {
  readonly name: string;
  /** Who may read without credentials. */
  publicAccess: "none" | "blob" | "container" = "none";
  keepsVersions: boolean;
  readonly #blobs = new Map<
    string,
    { current: Blob | undefined; previous: Blob[]; snapshots: Blob[] }
  >();

  constructor(name: string, keepsVersions: boolean) {
    this.name = name;
    this.keepsVersions = keepsVersions;
  }

  put(name: string, content: string | Uint8Array | Content, options: PutOptions = {}): Blob {
    const bytes = asContent(content);
    const { writtenAt, etag } = nextTime();
    const blob: Blob = {
      name,
      writtenAt,
      versioned: this.keepsVersions,
      snapshot: undefined,
      content: bytes,
      etag: options.etag ?? etag,
      md5: options.md5 === null ? undefined : (options.md5 ?? md5(bytes).toString("base64")),
      modified: new Date(),
      options,
    };
    this.#retire(name);
    this.#of(name).current = blob;
    return blob;
  }

  delete(name: string): void {
    this.#retire(name);
    this.#of(name).current = undefined;
    this.#of(name).snapshots.length = 0;
  }

  deleteVersion(name: string, versionId: string): void {
    const blob = this.#of(name);
    if (blob.current?.writtenAt === versionId) blob.current = undefined;
    blob.previous = blob.previous.filter(({ writtenAt }) => writtenAt !== versionId);
  }

  /** The time that names the snapshot. */
  snapshot(name: string): string {
    const { current, snapshots } = this.#of(name);
    if (current === undefined) throw new Error(`no blob ${name}`);
    const { writtenAt: snapshot } = nextTime();
    snapshots.push({ ...current, snapshot, versioned: false });
    return snapshot;
  }

  find(
    name: string,
    { versionId, snapshot }: { versionId?: string | undefined; snapshot?: string | undefined },
  ): Blob | undefined {
    const { current, previous, snapshots } = this.#of(name);
    if (snapshot !== undefined) return snapshots.find((blob) => blob.snapshot === snapshot);
    if (versionId === undefined) return current;
    return [current, ...previous].find(
      (blob) => blob?.versioned === true && blob.writtenAt === versionId,
    );
  }

  isCurrent(blob: Blob): boolean {
    return this.#blobs.get(blob.name)?.current === blob;
  }

  /** Names in order; of each the snapshots, the previous versions and the current one, old to new. */
  *rows(prefix: string, include: ReadonlySet<string>): Generator<Blob> {
    const names = [...this.#blobs.keys()].filter((name) => name.startsWith(prefix));
    for (const name of names.sort(comparePaths)) {
      const { current, previous, snapshots } = this.#of(name);
      if (include.has("snapshots")) yield* snapshots;
      if (include.has("versions")) yield* previous;
      if (current !== undefined) yield current;
    }
  }

  #of(name: string): { current: Blob | undefined; previous: Blob[]; snapshots: Blob[] } {
    let blob = this.#blobs.get(name);
    if (blob === undefined) {
      blob = { current: undefined, previous: [], snapshots: [] };
      this.#blobs.set(name, blob);
    }
    return blob;
  }

  #retire(name: string): void {
    const { current, previous } = this.#of(name);
    if (current !== undefined && this.keepsVersions) previous.push({ ...current, versioned: true });
  }
}

let ticks = 0;

/** Times of Azure count 100 ns; these rise with every call. */
function nextTime(): { writtenAt: string; etag: string } {
  ticks += 1;
  const fraction = String(ticks).padStart(7, "0");
  return {
    writtenAt: `2026-03-19T06:23:15.${fraction}Z`,
    etag: `0x8DE${(0x7cbce01e2f000 + ticks).toString(16).toUpperCase()}`,
  };
}
