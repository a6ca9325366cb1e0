// Buckets, objects and their versions as S3 keeps them, in memory. Knows no HTTP.

import { createHash, randomBytes } from "node:crypto";
import { comparePaths } from "../../../src/model/path.js";
import { asContent, blocks, md5, type Content } from "../double/content.js";
import { namesFrom } from "../double/names.js";
import type { ByteRange } from "../double/range.js";
import type { ChecksumAlgorithm } from "./checksum.js";
import { checksum } from "./checksum.js";

export interface PutOptions {
  readonly contentType?: string;
  /** Written in parts of this size: a multipart ETag, and checksums composed of the parts' own. */
  readonly partBytes?: number;
  /** Written in parts of these sizes, which make up the content; instead of `partBytes`. */
  readonly partSizes?: readonly number[];
  /** Overrides the ETag that S3 would compute; without quotes. */
  readonly etag?: string;
  readonly checksum?: ChecksumAlgorithm;
  /** FULL_OBJECT unless given, or unless the object has parts and a SHA. */
  readonly checksumType?: "FULL_OBJECT" | "COMPOSITE";
  readonly encryption?: "AES256" | "aws:kms" | "customer";
  readonly storageClass?: "STANDARD" | "GLACIER";
  readonly modified?: Date;
}

export interface Version {
  readonly key: string;
  readonly versionId: string;
  readonly deleteMarker: boolean;
  readonly content: Content;
  readonly etag: string;
  readonly modified: Date;
  readonly options: PutOptions;
  readonly checksum: { readonly algorithm: ChecksumAlgorithm; readonly value: string } | undefined;
  readonly checksumType: "FULL_OBJECT" | "COMPOSITE";
  /** The parts that it was written in; undefined for an object that was written at once. */
  readonly parts: readonly Part[] | undefined;
}

export type Part = ByteRange;

export type Versioning = "never" | "enabled" | "suspended";

export class Bucket {
  readonly name: string;
  readonly region: string;
  versioning: Versioning;
  /** True: also requests that nobody signed are answered. */
  isPublic = false;
  /** True: only requests of those who say that they pay for them are answered. */
  requesterPays = false;
  readonly #versions = new Map<string, Version[]>();
  #sortedKeys: readonly string[] | undefined;

  constructor(name: string, region: string, versioning: Versioning) {
    this.name = name;
    this.region = region;
    this.versioning = versioning;
  }

  put(key: string, content: string | Uint8Array | Content, options: PutOptions = {}): Version {
    const bytes = asContent(content);
    const parts = partsOf(bytes, options);
    const type = options.checksumType ?? defaultType(options, parts);
    return this.#add({
      key,
      versionId: this.#nextId(),
      deleteMarker: false,
      content: bytes,
      etag: options.etag ?? etagOf(bytes, options, parts),
      modified: options.modified ?? new Date(),
      options,
      checksum: options.checksum && {
        algorithm: options.checksum,
        value: checksumOf(bytes, options.checksum, type, parts),
      },
      checksumType: type,
      parts,
    });
  }

  /** As a plain DELETE does: a delete marker in a bucket with versions, else the object goes. */
  delete(key: string): void {
    if (this.versioning === "never") {
      this.#versions.delete(key);
      this.#sortedKeys = undefined;
      return;
    }
    this.#add({
      key,
      versionId: this.#nextId(),
      deleteMarker: true,
      content: asContent(""),
      etag: "",
      modified: new Date(),
      options: {},
      checksum: undefined,
      checksumType: "FULL_OBJECT",
      parts: undefined,
    });
  }

  /** As DELETE ?versionId= does. */
  deleteVersion(key: string, versionId: string): void {
    const left = this.versionsOf(key).filter((version) => version.versionId !== versionId);
    if (left.length === 0) this.#versions.delete(key);
    else this.#versions.set(key, left);
    this.#sortedKeys = undefined;
  }

  /** Newest first. */
  versionsOf(key: string): readonly Version[] {
    return this.#versions.get(key) ?? [];
  }

  find(key: string, versionId: string | undefined): Version | undefined {
    const versions = this.versionsOf(key);
    return versionId === undefined
      ? versions[0]
      : versions.find((version) => version.versionId === versionId);
  }

  /** Keys that begin with `prefix` and come after `after`, in byte order. */
  keysFrom(prefix: string, after: string | undefined): Generator<string> {
    this.#sortedKeys ??= [...this.#versions.keys()].sort(comparePaths);
    return namesFrom(this.#sortedKeys, prefix, after);
  }

  #add(version: Version): Version {
    // Invariant: the id "null" exists once per key; writing it again replaces it.
    const others = this.versionsOf(version.key).filter(
      (other) => version.versionId !== "null" || other.versionId !== "null",
    );
    if (!this.#versions.has(version.key)) this.#sortedKeys = undefined;
    this.#versions.set(version.key, [version, ...others]);
    return version;
  }

  #nextId(): string {
    return this.versioning === "enabled" ? randomBytes(16).toString("base64url") : "null";
  }
}

function etagOf(content: Content, options: PutOptions, parts: readonly Part[] | undefined): string {
  const suffix = parts === undefined ? "" : `-${parts.length}`;
  // S3 gives an ETag that is no MD5 to objects encrypted with KMS or a customer's key.
  if (options.encryption !== undefined && options.encryption !== "AES256") {
    return randomBytes(16).toString("hex") + suffix;
  }
  if (parts === undefined) return md5(content).toString("hex");
  const digests = parts.map(({ start, end }) => md5(content, start, end));
  return createHash("md5").update(Buffer.concat(digests)).digest("hex") + suffix;
}

function defaultType(
  options: PutOptions,
  parts: readonly Part[] | undefined,
): "FULL_OBJECT" | "COMPOSITE" {
  return parts !== undefined && options.checksum?.startsWith("SHA") === true
    ? "COMPOSITE"
    : "FULL_OBJECT";
}

function checksumOf(
  content: Content,
  algorithm: ChecksumAlgorithm,
  type: "FULL_OBJECT" | "COMPOSITE",
  parts: readonly Part[] | undefined,
): string {
  if (type === "FULL_OBJECT" || parts === undefined) {
    return checksum(algorithm, blocks(content, 0, content.sizeBytes)).toString("base64");
  }
  const sums = parts.map(({ start, end }) => checksum(algorithm, blocks(content, start, end)));
  return `${checksum(algorithm, sums).toString("base64")}-${parts.length}`;
}

function partsOf(content: Content, options: PutOptions): readonly Part[] | undefined {
  const { partBytes, partSizes } = options;
  if (partBytes === undefined && partSizes === undefined) return undefined;
  const parts: Part[] = [];
  let start = 0;
  do {
    const end = start + (partSizes?.[parts.length] ?? partBytes ?? content.sizeBytes);
    parts.push({ start, end: Math.min(content.sizeBytes, end) });
    start = Math.min(content.sizeBytes, end);
  } while (start < content.sizeBytes || parts.length < (partSizes?.length ?? 0));
  return parts;
}
