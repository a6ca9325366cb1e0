// Objects and listings as the JSON API's documents, with partial responses (`fields`).

import type { GcsBucket, Generation } from "./bucket.js";
import { etagOf } from "./bucket.js";

export type Json = Readonly<Record<string, unknown>>;

export function objectJson(bucket: GcsBucket, object: Generation): Json {
  const { contentType, contentEncoding, cacheControl, metadata } = object.described;
  return {
    kind: "storage#object",
    id: `${bucket.name}/${object.key}/${object.generation}`,
    name: object.key,
    bucket: bucket.name,
    generation: object.generation,
    metageneration: String(object.metageneration),
    contentType,
    contentEncoding,
    cacheControl,
    metadata,
    storageClass: "STANDARD",
    size: String(object.content.sizeBytes),
    md5Hash: object.md5Hash,
    crc32c: object.crc32c,
    componentCount: object.componentCount,
    etag: etagOf(object),
    timeCreated: object.created.toISOString(),
    updated: object.updated.toISOString(),
    timeDeleted: object.deleted?.toISOString(),
  };
}

/** A page of objects; `pageToken` names the last object of the page before. */
export function listJson(bucket: GcsBucket, query: URLSearchParams): Json {
  const limit = Math.min(1_000, Number(query.get("maxResults") ?? 1_000));
  const token = query.get("pageToken");
  const after = token === null ? undefined : Buffer.from(token, "base64url").toString();
  const items: Json[] = [];
  let last = "";
  const versions = query.get("versions") === "true";
  for (const object of bucket.from(query.get("prefix") ?? "", after, versions)) {
    // A page ends between two names: the token names no generation.
    if (items.length >= limit && object.key !== last) {
      const nextPageToken = Buffer.from(last).toString("base64url");
      return { kind: "storage#objects", nextPageToken, items };
    }
    items.push(objectJson(bucket, object));
    last = object.key;
  }
  return { kind: "storage#objects", ...(items.length === 0 ? {} : { items }) };
}

/** What `fields` leaves of a document: `a,b(c,d)`. Everything when it is not given. */
export function partial(document: Json, fields: string | null): Json {
  if (fields === null) return document;
  return pick(document, maskOf(fields));
}

type Mask = ReadonlyMap<string, string>;

/** Names at the top, each with what stands in its parentheses; "" for everything. */
function maskOf(fields: string): Mask {
  const mask = new Map<string, string>();
  let depth = 0;
  let begin = 0;
  const add = (part: string): void => {
    const [, name = "", inner = ""] = /^([^(]*)(?:\((.*)\))?$/s.exec(part) ?? [];
    mask.set(name, inner);
  };
  for (let index = 0; index < fields.length; index++) {
    if (fields[index] === "(") depth += 1;
    else if (fields[index] === ")") depth -= 1;
    else if (fields[index] === "," && depth === 0) {
      add(fields.slice(begin, index));
      begin = index + 1;
    }
  }
  add(fields.slice(begin));
  return mask;
}

function pick(document: Json, mask: Mask): Json {
  const picked: Record<string, unknown> = {};
  for (const [name, inner] of mask) {
    const value = document[name];
    if (value === undefined) continue;
    picked[name] =
      inner === ""
        ? value
        : Array.isArray(value)
          ? value.map((item) => pick(item as Json, maskOf(inner)))
          : pick(value as Json, maskOf(inner));
  }
  return picked;
}
