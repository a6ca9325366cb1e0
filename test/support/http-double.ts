// A double of HTTP servers on loopback that are not like nginx: without ETags, ranges or HEAD, with
// digests, redirects and lies, and whatever can go wrong on the way. In memory, http or https.

import { createHash } from "node:crypto";
import type {
  IncomingHttpHeaders,
  IncomingMessage,
  RequestListener,
  ServerResponse,
} from "node:http";
import { createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { Certificate } from "./certificate.js";
import type { Accident } from "./s3-double/body.js";
import { sendBody } from "./s3-double/body.js";
import type { Content } from "./s3-double/bucket.js";
import { asContent, blocks } from "./s3-double/bucket.js";

export type { Accident } from "./s3-double/body.js";
export { generated } from "./s3-double/bucket.js";

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

export type Match = Partial<Pick<Seen, "method" | "path">>;

/** A request held back until it is released. */
export interface Held {
  /** Settles when a matching request has arrived. */
  readonly arrived: Promise<void>;
  release(): void;
}

interface Served {
  readonly content: Content;
  readonly options: ServedOptions;
  readonly etag: string | undefined;
}

interface Rule {
  readonly match: Match;
  readonly accident: Accident;
  times: number;
}

export async function startHttpDouble(certificate?: Certificate): Promise<HttpDouble> {
  const double = new HttpDouble(certificate);
  await double.listen(0);
  return double;
}

export class HttpDouble implements AsyncDisposable {
  /** Requests in the order of their arrival. */
  readonly requests: Seen[] = [];
  readonly #objects = new Map<string, Served>();
  readonly #redirects = new Map<string, { location: string; status: number }>();
  readonly #guards: { readonly under: string; readonly headers: Record<string, string> }[] = [];
  readonly #rules: Rule[] = [];
  readonly #held: { match: Match; arrive: () => void; released: Promise<void> }[] = [];
  readonly #server: ReturnType<typeof createServer>;
  readonly #scheme: "http" | "https";
  #port = 0;

  constructor(certificate?: Certificate) {
    const serve: RequestListener = (request, response) => void this.#serve(request, response);
    this.#scheme = certificate === undefined ? "http" : "https";
    this.#server =
      certificate === undefined ? createServer(serve) : createTlsServer(certificate, serve);
    this.#server.keepAliveTimeout = 60_000;
  }

  async listen(port: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(port, "127.0.0.1", resolve);
    });
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  get port(): number {
    return this.#port;
  }

  /** Without a slash at the end. */
  get origin(): string {
    return `${this.#scheme}://127.0.0.1:${this.#port}`;
  }

  /** Serves `content` at `path`, percent-encoded and with its query. Returns the ETag header. */
  put(
    path: string,
    content: string | Uint8Array | Content,
    options: ServedOptions = {},
  ): string | undefined {
    const served = asContent(content);
    const etag = options.etag === undefined ? `"${md5(served)}"` : (options.etag ?? undefined);
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

  /** The next `times` matching requests meet `accident`. */
  upset(match: Match, accident: Accident, times = 1): void {
    this.#rules.push({ match, accident, times });
  }

  /** From now on nothing goes wrong any more. */
  calm(): void {
    this.#rules.length = 0;
  }

  /** Holds matching requests back, before anything of the answer is sent, until released. */
  hold(match: Match): Held {
    let arrive = (): void => undefined;
    let release = (): void => undefined;
    const arrived = new Promise<void>((resolve) => (arrive = resolve));
    const released = new Promise<void>((resolve) => (release = resolve));
    const entry = { match, arrive, released };
    this.#held.push(entry);
    return {
      arrived,
      release: () => {
        this.#held.splice(this.#held.indexOf(entry), 1);
        release();
      },
    };
  }

  /** Refuses connections, and ends those there are. */
  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  /** Listens again where it did. */
  resume(): Promise<void> {
    return this.listen(this.#port);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.on("error", () => undefined);
    const { method = "", url = "", headers } = request;
    const seen = { method, path: url, headers, remotePort: request.socket.remotePort ?? 0 };
    this.requests.push(seen);
    const rule = this.#rules.find(({ match, times }) => times > 0 && matches(match, seen));
    if (rule !== undefined) rule.times -= 1;
    for (const held of this.#held.filter(({ match }) => matches(match, seen))) {
      held.arrive();
      await held.released;
    }
    const accident = rule?.accident ?? {};
    if (accident.silent === true) return;
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
      ...(asked === null
        ? {}
        : { "content-range": `bytes ${range.start}-${range.end - 1}/${content.sizeBytes}` }),
      ...options.headers,
      ...(asked === null && !head ? options.wholeHeaders : {}),
      ...(accident.longByBytes === undefined ? {} : { "content-length": "" }),
      ...accident.headers,
    });
    if (head) response.end();
    else await sendBody(response, content, range, accident, { bytesPerSecond: 0 });
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

function parseRange(
  text: string | undefined,
  sizeBytes: number,
): { start: number; end: number } | null | "unsatisfiable" {
  const match = /^bytes=(\d+)-(\d+)$/.exec(text ?? "");
  if (match === null) return null;
  const start = Number(match[1]);
  const end = Math.min(sizeBytes, Number(match[2]) + 1);
  return start >= sizeBytes || end <= start ? "unsatisfiable" : { start, end };
}

function matches(match: Match, seen: Seen): boolean {
  return (Object.keys(match) as (keyof Match)[]).every((name) => match[name] === seen[name]);
}

function md5(content: Content): string {
  const hash = createHash("md5");
  for (const block of blocks(content, 0, content.sizeBytes)) hash.update(block);
  return hash.digest("hex");
}
