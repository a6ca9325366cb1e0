// A double of HTTP servers on loopback that are not like nginx: without ETags, ranges or HEAD, with
// digests, redirects and lies, and whatever can go wrong on the way. In memory, http or https.

import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http";
import type { Certificate } from "./certificate.js";
import { sendBody, type Accident } from "./double/body.js";
import { asContent, md5, type Content } from "./double/content.js";
import { Double } from "./double/double.js";
import type { MatchOf } from "./double/match.js";
import { contentRange, parseRange } from "./double/range.js";

export type { Accident } from "./double/body.js";
export { generated } from "./double/content.js";

export interface ServedOptions {
  /** The header's text; unless given a strong ETag that changes with the bytes. Null: none. */
  readonly etag?: string | null;
  /** Null: no Last-Modified. */
  readonly modified?: Date | null;
  /** More headers, of GET and HEAD. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Headers of an answer with the whole object alone. */
  readonly wholeHeaders?: Readonly<Record<string, string>>;
  /** False: Range is ignored. */
  readonly ranges?: boolean;
  /** The status by which HEAD is answered; 200 unless given. */
  readonly headStatus?: number;
  /** What HEAD says of the length; the truth unless given, nothing when null. */
  readonly headLength?: number | null;
  /** The body comes in chunks, and no header tells how long it is. */
  readonly chunked?: boolean;
  /** True: If-Match is ignored. */
  readonly ignoresConditions?: boolean;
}

/** One request as it arrived. */
export interface Seen {
  readonly method: string;
  /** With the query, percent-encoded; a whole URL when it came as to a proxy. */
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  /** Tells connections apart. */
  readonly remotePort: number;
}

type Known = "method" | "path";
export type Match = MatchOf<Seen, Known>;

interface Served {
  readonly content: Content;
  readonly options: ServedOptions;
  readonly etag: string | undefined;
}

export async function startHttpDouble(certificate?: Certificate): Promise<HttpDouble> {
  const double = new HttpDouble(certificate);
  await double.listen(0);
  return double;
}

export class HttpDouble extends Double<Seen, Known> {
  readonly #objects = new Map<string, Served>();
  readonly #redirects = new Map<string, { location: string; status: number }>();
  readonly #guards: { readonly under: string; readonly headers: Record<string, string> }[] = [];

  /** Serves `content` at `path`, percent-encoded and with its query. Returns the ETag header. */
  put(
    path: string,
    content: string | Uint8Array | Content,
    options: ServedOptions = {},
  ): string | undefined {
    const served = asContent(content);
    const etag =
      options.etag === undefined ? `"${md5(served).toString("hex")}"` : (options.etag ?? undefined);
    this.#objects.set(path, { content: served, options, etag });
    return etag;
  }

  remove(path: string): void {
    this.#objects.delete(path);
  }

  redirect(path: string, location: string, status = 302): void {
    this.#redirects.set(path, { location, status });
  }

  /** Answers paths that begin with `under` with 401 unless each of these headers is as given. */
  guard(under: string, headers: Record<string, string>): void {
    this.#guards.unshift({ under, headers });
  }

  protected async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = "", url = "", headers } = request;
    const seen = { method, path: url, headers, remotePort: request.socket.remotePort ?? 0 };
    this.requests.push(seen);
    const accident = await this.fateOf(seen);
    if (accident === null) return;
    const redirect = this.#redirects.get(url);
    const guard = this.#guards.find(({ under }) => url.startsWith(under));
    const guarded = Object.entries(guard?.headers ?? {});
    if (accident.status !== undefined) {
      refuse(response, accident.status, accident.headers);
    } else if (guarded.some(([name, value]) => headers[name] !== value)) {
      refuse(response, 401, { "www-authenticate": 'Basic realm="double"' });
    } else if (redirect !== undefined) {
      refuse(response, redirect.status, { location: redirect.location });
    } else {
      await this.#answer(seen, response, accident);
    }
  }

  async #answer(seen: Seen, response: ServerResponse, accident: Accident): Promise<void> {
    const served = this.#objects.get(seen.path);
    if (served === undefined) {
      refuse(response, 404);
      return;
    }
    const { content, options, etag } = served;
    const head = seen.method === "HEAD";
    if (head && options.headStatus !== undefined) {
      refuse(response, options.headStatus);
      return;
    }
    const condition = options.ignoresConditions === true ? undefined : seen.headers["if-match"];
    if (condition !== undefined && (condition !== etag || etag.startsWith("W/"))) {
      refuse(response, 412);
      return;
    }
    const ranges = options.ranges !== false && accident.ignoreRange !== true && !head;
    const asked = ranges ? parseRange(seen.headers.range, content.sizeBytes) : null;
    if (asked === "unsatisfiable") {
      refuse(response, 416, { "content-range": `bytes */${content.sizeBytes}` }, etag);
      return;
    }
    const range = asked ?? { start: 0, end: content.sizeBytes };
    const lengthBytes = head ? options.headLength : undefined;
    const told = lengthBytes === undefined ? range.end - range.start : lengthBytes;
    const modified = options.modified === undefined ? MODIFIED : options.modified;
    response.statusCode = asked === null ? 200 : 206;
    setHeaders(response, {
      etag: etag ?? "",
      "last-modified": modified === null ? "" : modified.toUTCString(),
      "content-length": told === null || options.chunked === true ? "" : String(told),
      ...contentRange(asked, content.sizeBytes),
      ...options.headers,
      ...(asked === null && !head ? options.wholeHeaders : {}),
      ...(accident.longByBytes === undefined ? {} : { "content-length": "" }),
      ...accident.headers,
    });
    if (head) response.end();
    else await sendBody(response, content, range, accident, this);
  }
}

const MODIFIED = new Date("2026-03-01T12:00:00Z");

function refuse(
  response: ServerResponse,
  status: number,
  headers: Readonly<Record<string, string>> = {},
  etag?: string,
): void {
  response.statusCode = status;
  setHeaders(response, { "content-type": "text/html", etag: etag ?? "", ...headers });
  // The body comes after the headers were read: it has to be read before the connection can be kept.
  response.write("<html>");
  setTimeout(() => response.end(`${status}</html>`), 2);
}

function setHeaders(response: ServerResponse, headers: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(headers)) {
    if (value !== "") response.setHeader(name, value);
    else response.removeHeader(name);
  }
}
