// Buckets, objects and their generations as Google Cloud Storage keeps them, in memory. Knows no HTTP.

import { crc32c } from "../../../src/model/crc32c.js";
import { comparePaths } from "../../../src/model/path.js";
import { asContent, blocks, md5, type Content } from "../double/content.js";
import { namesFrom } from "../double/names.js";

/** What a writer may say of an object, in the names of the JSON API. */
export interface Described {
  readonly contentType?: string | undefined;
  readonly contentEncoding?: string | undefined;
  readonly cacheControl?: string | undefined;
  readonly metadata?: Readonly<Record<string, string | null>> | undefined;
}

export interface PutOptions extends Described {
  readonly created?: Date;
  /** Composed of this many others: then it has no MD5. */
  readonly componentCount?: number;
}

export interface Generation {
  readonly key: string;
  /** Microseconds since 1970, as real ones are; unique and rising. */
  readonly generation: string;
  readonly content: Content;
  readonly md5Hash: string | undefined;
  readonly crc32c: string;
  readonly created: Date;
  readonly componentCount: number | undefined;
  /** Rises with each change of what follows. */
  metageneration: number;
  described: Described;
  updated: Date;
  /** Since when it is noncurrent. */
  deleted: Date | undefined;
}

let lastGeneration = 1_700_000_000_000_000n;

export class GcsBucket {
  readonly name: string;
  versioning: boolean;
  /** Answers nobody who does not say whom to bill. */
  requesterPays = false;
  /** Everybody may list and read it. */
  isPublic = false;
  /** Newest first; the live one, if there is one, is the first. */
  readonly #objects = new Map<string, Generation[]>();
  #sortedKeys: readonly string[] | undefined;

  constructor(name: string, versioning: boolean) {
    this.name = name;
    this.versioning = versioning;
  }

  put(key: string, content: string | Uint8Array | Content, options: PutOptions = {}): Generation {
    const bytes = asContent(content);
    const { created = new Date(), componentCount, ...described } = options;
    const written: Generation = {
      key,
      generation: String(++lastGeneration),
      content: bytes,
      md5Hash: componentCount === undefined ? md5(bytes).toString("base64") : undefined,
      crc32c: crc32cOf(bytes),
      created,
      componentCount,
      metageneration: 1,
      described: { contentType: "application/octet-stream", ...described },
      updated: created,
      deleted: undefined,
    };
    this.delete(key);
    if (!this.#objects.has(key)) this.#sortedKeys = undefined;
    this.#objects.set(key, [written, ...this.generationsOf(key)]);
    return written;
  }

  /** Joins live objects into a new one; null when one of them is missing. */
  compose(key: string, sources: readonly string[], options: PutOptions): Generation | null {
    const found = sources.map((source) => this.find(source, undefined));
    if (!found.every((source) => source !== undefined)) return null;
    const bytes = found.flatMap(({ content }) => [...blocks(content, 0, content.sizeBytes)]);
    const componentCount = found.reduce((sum, { componentCount: of }) => sum + (of ?? 1), 0);
    return this.put(key, Buffer.concat(bytes), { ...options, componentCount });
  }

  /** Changes what is said of an object, not its bytes. */
  patch(object: Generation, changes: Described): void {
    object.described = { ...object.described, ...changes };
    object.metageneration += 1;
    object.updated = new Date();
  }

  /** Without a generation: the live one becomes noncurrent, or goes where no versions are kept. */
  delete(key: string, generation?: string): boolean {
    const object = this.find(key, generation);
    if (object === undefined) return false;
    if (generation === undefined && this.versioning) {
      object.deleted = new Date();
      return true;
    }
    const left = this.generationsOf(key).filter((other) => other !== object);
    this.#objects.set(key, left);
    if (left.length === 0) {
      this.#objects.delete(key);
      this.#sortedKeys = undefined;
    }
    return true;
  }

  /** Newest first. */
  generationsOf(key: string): readonly Generation[] {
    return this.#objects.get(key) ?? [];
  }

  /** The live one, unless a generation is named. */
  find(key: string, generation: string | undefined): Generation | undefined {
    return this.generationsOf(key).find((object) =>
      generation === undefined ? object.deleted === undefined : object.generation === generation,
    );
  }

  /** Objects whose names begin with `prefix` and come after `after`, in byte order of their names. */
  *from(prefix: string, after: string | undefined, versions: boolean): Generator<Generation> {
    this.#sortedKeys ??= [...this.#objects.keys()].sort(comparePaths);
    for (const key of namesFrom(this.#sortedKeys, prefix, after)) {
      const live = this.find(key, undefined);
      if (versions) yield* [...this.generationsOf(key)].reverse();
      else if (live !== undefined) yield live;
    }
  }
}

/** The JSON API's ETag: made of generation and metageneration, so that it changes with either. */
export function etagOf({ generation, metageneration }: Generation): string {
  return Buffer.from([
    0x08,
    ...varint(BigInt(generation)),
    0x10,
    ...varint(BigInt(metageneration)),
  ]).toString("base64");
}

function varint(value: bigint): number[] {
  const bytes: number[] = [];
  let left = value;
  for (; left >= 0x80n; left >>= 7n) bytes.push(Number(left & 0x7fn) | 0x80);
  return [...bytes, Number(left)];
}

/** Not the one under test: that is native. */
function crc32cOf(content: Content): string {
  let sum = 0;
  for (const block of blocks(content, 0, content.sizeBytes)) sum = crc32c(block, sum);
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(sum);
  return bytes.toString("base64");
}
