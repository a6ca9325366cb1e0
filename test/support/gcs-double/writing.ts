// How objects come into the double: the uploads of Google's own SDK, in one request or in a session,
// composing, changed metadata, deleting.

import { randomUUID } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { Described, GcsBucket, Generation } from "./bucket.js";

/** An answer: an object's document, a session's address, or an error. */
export type Written =
  | { readonly object: Generation }
  | { readonly session: string }
  | { readonly more: number }
  | WriteRefusal;

interface WriteRefusal {
  readonly status: number;
  readonly reason: string;
  readonly message: string;
}

interface Named extends Described {
  readonly name?: string;
}

interface Session {
  readonly bucket: GcsBucket;
  readonly named: Named;
  readonly chunks: Buffer[];
}

export class Uploads {
  readonly #sessions = new Map<string, Session>();

  /** POST to the upload address: everything at once, or the begin of a session. */
  begin(
    request: IncomingMessage,
    body: Buffer,
    bucket: GcsBucket,
    query: URLSearchParams,
  ): Written {
    if (query.get("uploadType") === "resumable") {
      const named = nameOf(body.length === 0 ? {} : parse(body), query);
      const session = randomUUID();
      this.#sessions.set(session, { bucket, named, chunks: [] });
      return { session };
    }
    const boundary = /boundary="?([^";]+)"?/.exec(request.headers["content-type"] ?? "")?.[1];
    if (boundary === undefined) return invalid("only multipart and resumable uploads");
    const [metadata, media] = partsOf(body, boundary);
    if (metadata === undefined || media === undefined) return invalid("two parts are needed");
    return put(bucket, nameOf(parse(metadata), query), media, query);
  }

  /** PUT to a session: with everything, or with a piece of it. */
  goOn(request: IncomingMessage, body: Buffer, session: string): Written {
    const found = this.#sessions.get(session);
    if (found === undefined) return { status: 404, reason: "notFound", message: "no such session" };
    found.chunks.push(body);
    const all = Buffer.concat(found.chunks);
    const total = /\/(\d+)$/.exec(request.headers["content-range"] ?? "")?.[1];
    if (total !== undefined && all.length < Number(total)) return { more: all.length };
    this.#sessions.delete(session);
    return put(found.bucket, found.named, all, new URLSearchParams());
  }
}

export function compose(bucket: GcsBucket, key: string, body: Buffer): Written {
  const { sourceObjects = [], destination = {} } = parse(body) as {
    readonly sourceObjects?: readonly { readonly name: string }[];
    readonly destination?: Described;
  };
  const { contentType, contentEncoding, cacheControl, metadata } = destination;
  const described = { contentType, contentEncoding, cacheControl, metadata };
  const sources = sourceObjects.map(({ name }) => name);
  const object = bucket.compose(key, sources, described);
  return object === null
    ? {
        status: 404,
        reason: "notFound",
        message: `No such object: ${bucket.name}/${sources.join()}`,
      }
    : { object };
}

export function patch(bucket: GcsBucket, object: Generation, body: Buffer): Written {
  bucket.patch(object, parse(body));
  return { object };
}

function put(bucket: GcsBucket, named: Named, media: Buffer, query: URLSearchParams): Written {
  const { name, contentType, contentEncoding, cacheControl, metadata } = named;
  if (name === undefined) return invalid("the object has no name");
  const live = bucket.find(name, undefined);
  const wanted = query.get("ifGenerationMatch");
  if (wanted !== null && wanted !== (live?.generation ?? "0")) return conditionNotMet();
  return {
    object: bucket.put(name, media, { contentType, contentEncoding, cacheControl, metadata }),
  };
}

export function conditionNotMet(): WriteRefusal {
  return {
    status: 412,
    reason: "conditionNotMet",
    message: "At least one of the pre-conditions you specified did not hold.",
  };
}

function invalid(message: string): Written {
  return { status: 400, reason: "invalid", message };
}

function nameOf(metadata: Named, query: URLSearchParams): Named {
  const name = query.get("name") ?? metadata.name;
  return name === undefined ? metadata : { ...metadata, name };
}

function parse(body: Buffer): Named {
  return JSON.parse(body.toString("utf8")) as Named;
}

/** The bodies of a multipart/related message. */
function partsOf(body: Buffer, boundary: string): Buffer[] {
  const parts: Buffer[] = [];
  const mark = Buffer.from(`--${boundary}`);
  let at = body.indexOf(mark);
  for (;;) {
    const next = body.indexOf(mark, at + mark.length);
    if (at < 0 || next < 0) return parts;
    const begin = body.indexOf("\r\n\r\n", at) + 4;
    parts.push(body.subarray(begin, next - 2));
    at = next;
  }
}
