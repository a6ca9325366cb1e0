// A faithful double of Google Cloud Storage on loopback, in memory: the JSON API with generations,
// listings, bytes and the SDK's own uploads; whoever gives access tokens; and whatever can go wrong on
// the way. What it asserts of the real one is documented there, below cloud.google.com/storage/docs:
//
//   objects, generations, ETags    json_api/v1/objects, object-versioning, metadata
//   listing, pages, versions       json_api/v1/objects/list, listing-objects
//   partial responses              json_api#partial-response
//   bytes, ranges, generation      json_api/v1/objects/get, streaming-downloads
//   x-goog-* headers               xml-api/reference-headers
//   unpacking of gzip              transcoding (also: ranges are ignored, compressed content types)
//   uploads, compose, patch        uploading-objects, composite-objects (no MD5), json_api/v1/objects/patch
//   preconditions                  request-preconditions
//   errors                         json_api/v1/status-codes; requester-pays
//   tokens                         developers.google.com/identity/protocols/oauth2/service-account,
//                                  cloud.google.com/iam/docs/reference/sts, .../reference/credentials,
//                                  cloud.google.com/compute/docs/access/authenticate-workloads

import type { IncomingMessage, ServerResponse } from "node:http";
import { sendDocument } from "./double/body.js";
import { countOperations, Double } from "./double/double.js";
import type { MatchOf } from "./double/match.js";
import { GcsBucket, type Generation } from "./gcs-double/bucket.js";
import { sendMedia, type GcsAccident } from "./gcs-double/media.js";
import { listJson, objectJson, partial, type Json } from "./gcs-double/resource.js";
import { bearerIn, Tokens, type TokenAnswer } from "./gcs-double/tokens.js";
import { compose, conditionNotMet, patch, Uploads, type Written } from "./gcs-double/writing.js";

export type { GcsBucket, Generation } from "./gcs-double/bucket.js";
export type { GcsAccident } from "./gcs-double/media.js";
export { generated, type Content } from "./double/content.js";

export type Operation =
  | "list"
  | "metadata"
  | "media"
  | "insert"
  | "compose"
  | "patch"
  | "delete"
  | "bucket"
  | "token"
  | "machine"
  | "unknown";

/** One request as it arrived. */
export interface Seen {
  readonly operation: Operation;
  readonly bucket: string;
  readonly key: string;
  readonly generation: string | undefined;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage["headers"];
  /** Tells connections apart. */
  readonly remotePort: number;
  /** The access token that came with it. */
  readonly token: string | undefined;
}

type Known = "operation" | "bucket" | "key" | "generation";
export type Match = MatchOf<Seen, Known>;

export async function startGcsDouble(): Promise<GcsDouble> {
  const double = new GcsDouble();
  await double.listen(0);
  return double;
}

export class GcsDouble extends Double<Seen, Known, GcsAccident> {
  readonly tokens = new Tokens();
  /** True: only who shows a valid token may do anything, but for public buckets. */
  asksForTokens = false;
  readonly #buckets = new Map<string, GcsBucket>();
  readonly #uploads = new Uploads();

  get host(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** What a shell would have to set to reach this double as an emulator, without credentials. */
  get environment(): Record<string, string> {
    return { STORAGE_EMULATOR_HOST: `http://${this.host}` };
  }

  bucket(name: string, versioning = true): GcsBucket {
    const bucket = this.#buckets.get(name) ?? new GcsBucket(name, versioning);
    this.#buckets.set(name, bucket);
    return bucket;
  }

  /** Number of requests of each operation. */
  counts(): Partial<Record<Operation, number>> {
    return countOperations(this.requests);
  }

  protected async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const seen = read(request);
    this.requests.push(seen);
    const body = await bodyOf(request);
    const accident = await this.fateOf(seen);
    if (accident === null) return;
    const context: Context = { request, response, seen, body, accident };
    if (accident.status !== undefined) {
      const { status, reason = "", message = `the double says ${reason}` } = accident;
      refuse(context, { status, reason, message });
    } else if (seen.operation === "token" || seen.operation === "machine") {
      this.#giveToken(context);
    } else {
      await this.#answer(context);
    }
  }

  #giveToken(context: Context): void {
    const { request, response, seen, body } = context;
    const account = /serviceAccounts\/([^/:]+):generateAccessToken$/.exec(seen.key)?.[1];
    const answer: TokenAnswer =
      seen.operation === "machine"
        ? this.tokens.machine(request.headers)
        : account === undefined
          ? this.tokens.exchange(new URLSearchParams(body.toString()))
          : this.tokens.impersonate(account, request.headers, JSON.parse(body.toString()));
    response.statusCode = answer.status;
    if (seen.operation === "machine") response.setHeader("metadata-flavor", "Google");
    sendJson(context, answer.body);
  }

  async #answer(context: Context): Promise<void> {
    const { request, response, seen, accident } = context;
    const bucket = this.#buckets.get(seen.bucket);
    const refusal = this.#refusalOf(seen, bucket);
    if (refusal !== null) {
      refuse(context, refusal);
      return;
    }
    if (seen.operation === "insert" || seen.operation === "compose") {
      this.#write(context, bucket);
      return;
    }
    if (bucket === undefined || seen.operation === "unknown") {
      refuse(context, { status: 501, reason: "notImplemented", message: "not in the double" });
      return;
    }
    if (seen.operation === "list") {
      sendJson(context, partial(listJson(bucket, seen.query), seen.query.get("fields")));
      return;
    }
    if (seen.operation === "bucket") {
      sendJson(context, { kind: "storage#bucket", name: bucket.name });
      return;
    }
    const object = bucket.find(seen.key, accident.answerWithGeneration ?? seen.generation);
    const failed = object === undefined ? noSuchObject(seen) : preconditions(object, seen.query);
    if (object === undefined || failed !== null) {
      refuse(context, failed ?? noSuchObject(seen));
      return;
    }
    switch (seen.operation) {
      case "media":
        return sendMedia(request, response, bucket, object, accident, this);
      case "patch":
        sendWritten(context, bucket, patch(bucket, object, context.body));
        return;
      case "delete":
        bucket.delete(seen.key, seen.generation);
        response.statusCode = 204;
        response.end();
        return;
      default:
        sendJson(context, partial(objectJson(bucket, object), seen.query.get("fields")));
    }
  }

  #write(context: Context, bucket: GcsBucket | undefined): void {
    const { request, seen, body } = context;
    const session = seen.query.get("upload_id");
    if (bucket === undefined) return;
    const written =
      seen.operation === "compose"
        ? compose(bucket, seen.key, body)
        : session === null
          ? this.#uploads.begin(request, body, bucket, seen.query)
          : this.#uploads.goOn(request, body, session);
    sendWritten(context, bucket, written, this.host);
  }

  /** Why nothing may be done, in the order in which Google looks. */
  #refusalOf(seen: Seen, bucket: GcsBucket | undefined): Refusal | null {
    if (this.asksForTokens && bucket?.isPublic !== true && seen.token === undefined) {
      const right = seen.operation === "list" ? "list" : "get";
      const message =
        `Anonymous caller does not have storage.objects.${right} access to the Google Cloud Storage ` +
        `object. Permission 'storage.objects.${right}' denied on resource (or it may not exist).`;
      return { status: 401, reason: "required", message };
    }
    if (this.asksForTokens && seen.token !== undefined && !this.tokens.isValid(seen.token)) {
      return { status: 401, reason: "authError", message: "Invalid Credentials" };
    }
    if (bucket === undefined) {
      const message = "The specified bucket does not exist.";
      return { status: 404, reason: "notFound", message };
    }
    if (bucket.requesterPays && !seen.query.has("userProject")) {
      const message = "Bucket is a requester pays bucket but no user project provided.";
      return { status: 400, reason: "required", message };
    }
    return null;
  }
}

interface Context {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly seen: Seen;
  readonly body: Buffer;
  readonly accident: GcsAccident;
}

interface Refusal {
  readonly status: number;
  readonly reason: string;
  readonly message: string;
}

const API = "/storage/v1";
const UPLOAD = `/upload${API}`;

function read(request: IncomingMessage): Seen {
  const [path = "/", search = ""] = (request.url ?? "/").split(/\?(.*)/s, 2);
  const query = new URLSearchParams(search);
  const upload = path.startsWith(UPLOAD);
  const inner = path.startsWith(API) || upload ? path.slice(path.indexOf(API) + API.length) : path;
  const [, bucket = "", , rawKey = ""] = /^\/b\/([^/]+)(\/o(?:\/(.*))?)?$/.exec(inner) ?? [];
  const composed = rawKey.endsWith("/compose");
  const key = decodeURIComponent(composed ? rawKey.slice(0, -"/compose".length) : rawKey);
  const known = path.startsWith(API) || upload;
  return {
    operation: known ? operationOf(request, inner, key, query, upload, composed) : tokenOf(path),
    bucket,
    key: known ? key : path,
    generation: query.get("generation") ?? undefined,
    query,
    headers: request.headers,
    remotePort: request.socket.remotePort ?? 0,
    token: bearerIn(request.headers),
  };
}

function operationOf(
  { method }: IncomingMessage,
  inner: string,
  key: string,
  query: URLSearchParams,
  upload: boolean,
  composed: boolean,
): Operation {
  if (upload) return "insert";
  if (composed && method === "POST") return "compose";
  if (key === "") {
    if (method !== "GET") return "unknown";
    return inner.endsWith("/o") ? "list" : "bucket";
  }
  switch (method) {
    case "GET":
      return query.get("alt") === "media" ? "media" : "metadata";
    case "PATCH":
      return "patch";
    case "DELETE":
      return "delete";
    default:
      return "unknown";
  }
}

function tokenOf(path: string): Operation {
  if (path.startsWith("/computeMetadata/")) return "machine";
  return path.endsWith("/token") || path.includes(":generateAccessToken") ? "token" : "unknown";
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

function noSuchObject({ bucket, key }: Seen): Refusal {
  return { status: 404, reason: "notFound", message: `No such object: ${bucket}/${key}` };
}

function preconditions(object: Generation, query: URLSearchParams): Refusal | null {
  const generation = query.get("ifGenerationMatch");
  const metageneration = query.get("ifMetagenerationMatch");
  const met =
    (generation === null || generation === object.generation) &&
    (metageneration === null || metageneration === String(object.metageneration));
  return met ? null : conditionNotMet();
}

function sendWritten(context: Context, bucket: GcsBucket, written: Written, host = ""): void {
  const { response } = context;
  if ("status" in written) {
    refuse(context, written);
  } else if ("object" in written) {
    sendJson(context, objectJson(bucket, written.object));
  } else if ("session" in written) {
    const query = `uploadType=resumable&upload_id=${written.session}`;
    response.setHeader("location", `http://${host}${UPLOAD}/b/${bucket.name}/o?${query}`);
    response.end();
  } else {
    response.statusCode = 308;
    response.setHeader("range", `bytes=0-${written.more - 1}`);
    response.end();
  }
}

function sendJson({ response, accident }: Context, document: Json): void {
  const headers = { "content-type": "application/json; charset=UTF-8", ...accident.headers };
  sendDocument(response, headers, accident.text ?? JSON.stringify(document), accident);
}

function refuse({ response, seen, accident }: Context, refusal: Refusal): void {
  const { status, reason, message } = refusal;
  response.statusCode = status;
  for (const [name, value] of Object.entries(accident.headers ?? {})) {
    response.setHeader(name, value);
  }
  // Bytes are refused in plain text.
  if (seen.operation === "media") {
    response.setHeader("content-type", "text/html; charset=UTF-8");
    response.end(message);
    return;
  }
  response.setHeader("content-type", "application/json; charset=UTF-8");
  const errors = [{ message, domain: "global", reason }];
  response.end(JSON.stringify({ error: { code: status, message, errors } }));
}
