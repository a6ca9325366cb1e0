// A faithful double of S3 on loopback: signatures, versions, ranges, conditions, checksums, paging,
// and whatever can go wrong on the way. In memory; objects are put through its methods, not by PUT.

import type { IncomingMessage, ServerResponse } from "node:http";
import { sendBody, sendDocument, type Accident } from "./double/body.js";
import { countOperations, Double } from "./double/double.js";
import { announce } from "./double/headers.js";
import type { MatchOf } from "./double/match.js";
import { parseRange } from "./double/range.js";
import type { Version, Versioning } from "./s3-double/bucket.js";
import { Bucket } from "./s3-double/bucket.js";
import { errorXml, listObjects, listVersions, versioningXml } from "./s3-double/listing.js";
import type { PartNumbers } from "./s3-double/parts.js";
import { askedPart, attributesXml } from "./s3-double/parts.js";
import type { Keys } from "./s3-double/signature.js";
import { verify } from "./s3-double/signature.js";

export type { Accident } from "./double/body.js";
export type { Held } from "./double/holds.js";
export { generated, type Content } from "./double/content.js";
export type { Bucket, PutOptions } from "./s3-double/bucket.js";

export type Operation =
  | "ListObjectVersions"
  | "ListObjectsV2"
  | "ListObjects"
  | "GetBucketVersioning"
  | "GetObject"
  | "GetObjectAttributes"
  | "HeadObject"
  | "Unknown";

/** One request as it arrived. */
export interface Seen {
  readonly operation: Operation;
  readonly bucket: string;
  readonly key: string;
  readonly versionId: string | undefined;
  readonly partNumber: number | undefined;
  readonly range: string | undefined;
  readonly headers: IncomingMessage["headers"];
  readonly host: string;
  /** Tells connections apart. */
  readonly remotePort: number;
  /** The access key that it was signed with. */
  readonly accessKeyId: string | undefined;
  /** 0 until answered. */
  status: number;
}

type Known = "operation" | "bucket" | "key" | "versionId" | "partNumber";
export type Match = MatchOf<Seen, Known>;

export interface S3DoubleOptions {
  readonly keys?: Keys;
  readonly region?: string;
  readonly port?: number;
}

export async function startS3Double(options: S3DoubleOptions = {}): Promise<S3Double> {
  const double = new S3Double(options);
  await double.listen(options.port ?? 0);
  return double;
}

const XML = { "content-type": "application/xml" };
const LISTING_QUERY = new Set(["prefix", "marker", "delimiter", "max-keys", "encoding-type"]);

export class S3Double extends Double<Seen, Known> {
  keys: Keys;
  readonly region: string;
  /** How far its clock is ahead of this machine's. */
  clockAheadMs = 0;
  /** Tokens that are answered with ExpiredToken. */
  readonly expiredTokens = new Set<string>();
  /** How a request for a bucket of another region is answered. */
  wrongRegionAnswer: "redirect" | "malformed" = "malformed";
  /** How requests are answered that ask about one part of an object. */
  partNumbers: PartNumbers = "answered";
  readonly #buckets = new Map<string, Bucket>();

  constructor(options: S3DoubleOptions) {
    super();
    this.keys = options.keys ?? { accessKeyId: "AKDOUBLE", secretAccessKey: "double-secret" };
    this.region = options.region ?? "us-east-1";
  }

  get endpoint(): string {
    return this.origin;
  }

  /** What a shell would have to set to reach this double. */
  get environment(): Record<string, string> {
    return {
      AWS_S3_ENDPOINT_URL: this.endpoint,
      AWS_REGION: this.region,
      AWS_ACCESS_KEY_ID: this.keys.accessKeyId,
      AWS_SECRET_ACCESS_KEY: this.keys.secretAccessKey,
      ...(this.keys.sessionToken === undefined
        ? {}
        : { AWS_SESSION_TOKEN: this.keys.sessionToken }),
    };
  }

  bucket(name: string, versioning: Versioning = "enabled", region = this.region): Bucket {
    const bucket = this.#buckets.get(name) ?? new Bucket(name, region, versioning);
    this.#buckets.set(name, bucket);
    return bucket;
  }

  /** Number of requests of each operation. */
  counts(): Partial<Record<Operation, number>> {
    return countOperations(this.requests);
  }

  protected async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { seen, query } = this.#read(request);
    this.requests.push(seen);
    const accident = await this.fateOf(seen);
    if (accident === null) return;
    response.once("close", () => (seen.status = response.statusCode));
    await this.#answer(request, response, { seen, query, accident });
  }

  #read(request: IncomingMessage): { seen: Seen; query: URLSearchParams } {
    const [path = "/", search = ""] = (request.url ?? "/").split(/\?(.*)/s, 2);
    const host = request.headers.host ?? "";
    const virtual = /^(.+)\.(localhost|s3\.test)(:\d+)?$/.exec(host)?.[1];
    const [bucket = "", ...rest] = path.slice(1).split("/");
    const rawKey = virtual === undefined ? rest.join("/") : path.slice(1);
    const query = new URLSearchParams(search);
    const seen: Seen = {
      operation: operationOf(request, rawKey, query),
      bucket: virtual ?? bucket,
      key: decodeURIComponent(rawKey),
      versionId: query.get("versionId") ?? undefined,
      partNumber: query.has("partNumber") ? Number(query.get("partNumber")) : undefined,
      range: request.headers.range,
      headers: request.headers,
      host,
      remotePort: request.socket.remotePort ?? 0,
      accessKeyId: /Credential=([^/]+)/.exec(request.headers.authorization ?? "")?.[1],
      status: 0,
    };
    return { seen, query };
  }

  async #answer(
    request: IncomingMessage,
    response: ServerResponse,
    context: Context,
  ): Promise<void> {
    const { seen, query, accident } = context;
    const token = request.headers["x-amz-security-token"];
    if (typeof token === "string" && this.expiredTokens.has(token)) {
      refuse(response, request, 400, "ExpiredToken");
      return;
    }
    const bucket = this.#buckets.get(seen.bucket);
    const verdict = verify(
      request,
      this.keys,
      bucket?.isPublic === true,
      Date.now() + this.clockAheadMs,
    );
    if (!verdict.ok) {
      refuse(response, request, verdict.status, verdict.code);
      return;
    }
    if (accident.status !== undefined) {
      refuse(response, request, accident.status, accident.code ?? "", accident.headers);
      return;
    }
    if (bucket === undefined) {
      refuse(response, request, 404, "NoSuchBucket");
      return;
    }
    if (bucket.requesterPays && request.headers["x-amz-request-payer"] !== "requester") {
      refuse(response, request, 403, "AccessDenied", {}, {}, "Bucket is a Requester Pays bucket.");
      return;
    }
    if (verdict.region !== undefined && verdict.region !== bucket.region) {
      const redirect = this.wrongRegionAnswer === "redirect";
      const region = { "x-amz-bucket-region": bucket.region };
      refuse(
        response,
        request,
        redirect ? 301 : 400,
        redirect ? "PermanentRedirect" : "AuthorizationHeaderMalformed",
        redirect ? { ...region, location: "http://127.0.0.1:9/elsewhere" } : region,
        { Region: bucket.region },
      );
      return;
    }
    switch (seen.operation) {
      case "ListObjectVersions": {
        sendDocument(response, XML, listVersions(bucket, query), accident);
        return;
      }
      case "ListObjects":
      case "ListObjectsV2": {
        sendDocument(response, XML, listObjects(bucket, query), accident);
        return;
      }
      case "GetBucketVersioning": {
        sendDocument(response, XML, versioningXml(bucket), accident);
        return;
      }
      case "GetObject":
      case "GetObjectAttributes":
      case "HeadObject":
        return this.#answerObject(request, response, bucket, context);
      case "Unknown": {
        refuse(response, request, 501, "NotImplemented");
        return;
      }
    }
  }

  async #answerObject(
    request: IncomingMessage,
    response: ServerResponse,
    bucket: Bucket,
    { seen, accident }: Context,
  ): Promise<void> {
    const version = bucket.find(seen.key, accident.answerWithVersion ?? seen.versionId);
    const refusal = refusalOf(bucket, seen, version, request);
    if (version === undefined || refusal !== null) {
      const { status = 404, code = "NoSuchKey", headers = {} } = refusal ?? {};
      refuse(response, request, status, code, headers);
      return;
    }
    if (seen.operation === "GetObjectAttributes") {
      sendDocument(response, XML, attributesXml(version, request.headers), accident);
      return;
    }
    const { sizeBytes } = version.content;
    const part = askedPart(version, seen.partNumber, this.partNumbers);
    if (part.kind === "refused") {
      refuse(response, request, part.status, part.code);
      return;
    }
    const ranged = accident.ignoreRange === true ? null : parseRange(seen.range, sizeBytes);
    const asked = part.kind === "part" ? part.range : ranged;
    if (asked === "unsatisfiable") {
      refuse(response, request, 416, "InvalidRange");
      return;
    }
    const headers = {
      ...objectHeaders(bucket, version, request, asked === null),
      ...(part.kind === "part" ? part.headers : {}),
    };
    const range = announce(response, asked, sizeBytes, headers, accident);
    if (seen.operation === "HeadObject") {
      response.end();
      return;
    }
    const source =
      accident.bytesOfVersion === undefined
        ? version
        : (bucket.find(seen.key, accident.bytesOfVersion) ?? version);
    await sendBody(response, source.content, range, accident, this);
  }
}

interface Context {
  readonly seen: Seen;
  readonly query: URLSearchParams;
  readonly accident: Accident;
}

interface ObjectRefusal {
  readonly status: number;
  readonly code: string;
  readonly headers?: Record<string, string>;
}

/** Why the object may not be read, in the order in which S3 looks. */
function refusalOf(
  bucket: Bucket,
  seen: Seen,
  version: Version | undefined,
  request: IncomingMessage,
): ObjectRefusal | null {
  if (version === undefined) {
    const known = bucket.versionsOf(seen.key).length > 0;
    return {
      status: 404,
      code: seen.versionId !== undefined && known ? "NoSuchVersion" : "NoSuchKey",
    };
  }
  if (version.deleteMarker) {
    const headers = { "x-amz-delete-marker": "true", "x-amz-version-id": version.versionId };
    return seen.versionId === undefined
      ? { status: 404, code: "NoSuchKey", headers }
      : { status: 405, code: "MethodNotAllowed", headers };
  }
  const ifMatch = request.headers["if-match"];
  if (ifMatch !== undefined && ifMatch.replaceAll('"', "") !== version.etag) {
    return { status: 412, code: "PreconditionFailed" };
  }
  if (version.options.storageClass === "GLACIER" && seen.operation === "GetObject") {
    return { status: 403, code: "InvalidObjectState" };
  }
  return null;
}

function objectHeaders(
  bucket: Bucket,
  version: Version,
  request: IncomingMessage,
  whole: boolean,
): Record<string, string> {
  const { encryption, contentType } = version.options;
  const sum = version.checksum;
  return {
    "accept-ranges": "bytes",
    "content-type": contentType ?? "binary/octet-stream",
    "last-modified": version.modified.toUTCString(),
    etag: `"${version.etag}"`,
    ...(bucket.versioning === "never" ? {} : { "x-amz-version-id": version.versionId }),
    ...(encryption === "customer"
      ? { "x-amz-server-side-encryption-customer-algorithm": "AES256" }
      : encryption === undefined
        ? {}
        : { "x-amz-server-side-encryption": encryption }),
    // Only an answer with the whole object tells the whole object's checksum.
    ...(sum === undefined || !whole || request.headers["x-amz-checksum-mode"] !== "ENABLED"
      ? {}
      : {
          [`x-amz-checksum-${sum.algorithm.toLowerCase()}`]: sum.value,
          "x-amz-checksum-type": version.checksumType,
        }),
  };
}

function operationOf(request: IncomingMessage, key: string, query: URLSearchParams): Operation {
  if (request.method === "HEAD" && key !== "") return "HeadObject";
  if (request.method !== "GET") return "Unknown";
  if (key !== "") return query.has("attributes") ? "GetObjectAttributes" : "GetObject";
  if (query.has("versions")) return "ListObjectVersions";
  if (query.has("versioning")) return "GetBucketVersioning";
  if (query.get("list-type") === "2") return "ListObjectsV2";
  // Anything else in the query asks for a part of the bucket's own settings.
  return [...query.keys()].every((name) => LISTING_QUERY.has(name)) ? "ListObjects" : "Unknown";
}

function refuse(
  response: ServerResponse,
  request: IncomingMessage,
  status: number,
  code: string,
  headers: Readonly<Record<string, string>> = {},
  extra: Record<string, string> = {},
  message = `the double says ${code}`,
): void {
  response.statusCode = status;
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  response.setHeader("content-type", "application/xml");
  response.end(request.method === "HEAD" ? undefined : errorXml(code, message, extra));
}
