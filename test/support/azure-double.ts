// A double of Azure Blob Storage on loopback for what azurite has not: versions, access tokens, rows of
// hierarchical namespaces, and whatever can go wrong on the way. In memory; blobs are put through its
// methods, not by PUT.
//
// What it asserts is in the REST reference (learn.microsoft.com/rest/api/storageservices): "Get Blob"
// and "Get Blob Properties" (versionid, snapshot, x-ms-version-id, x-ms-blob-content-md5 on ranges),
// "List Blobs", "Blob service error codes", "Authorize requests to Azure Storage".

import type { IncomingMessage, ServerResponse } from "node:http";
import type { Authority } from "./azure-double/authorisation.js";
import { verify } from "./azure-double/authorisation.js";
import type { Blob } from "./azure-double/container.js";
import { Container } from "./azure-double/container.js";
import { errorXml, listBlobs } from "./azure-double/listing.js";
import type { Certificate } from "./certificate.js";
import { sendBody, sendDocument, type Accident } from "./double/body.js";
import { countOperations, Double } from "./double/double.js";
import { announce } from "./double/headers.js";
import type { MatchOf } from "./double/match.js";
import { parseRange } from "./double/range.js";

export type { Container, PutOptions } from "./azure-double/container.js";
export type { Accident } from "./double/body.js";
export { blocks, generated, type Content } from "./double/content.js";

export type Operation = "ListBlobs" | "ListVersions" | "GetBlob" | "GetProperties" | "Unknown";

/** One request as it arrived. */
export interface Seen {
  readonly operation: Operation;
  readonly container: string;
  readonly blob: string;
  readonly versionId: string | undefined;
  readonly snapshot: string | undefined;
  readonly range: string | undefined;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage["headers"];
  /** Tells connections apart. */
  readonly remotePort: number;
  /** 0 until answered. */
  status: number;
}

type Known = "operation" | "container" | "blob" | "versionId";
export type Match = MatchOf<Seen, Known>;

export interface AzureDoubleOptions {
  readonly keepsVersions?: boolean;
  /** Answers over TLS with it. */
  readonly certificate?: Certificate;
}

const XML = { "content-type": "application/xml" };

export async function startAzureDouble(options: AzureDoubleOptions = {}): Promise<AzureDouble> {
  const double = new AzureDouble(options);
  await double.listen(0);
  return double;
}

export class AzureDouble extends Double<Seen, Known> {
  readonly authority: Authority = {
    account: "doubleaccount",
    key: Buffer.from("the key of the double, not of anybody").toString("base64"),
    tokens: new Set(),
    tenant: "11111111-2222-3333-4444-555555555555",
    sas: "",
    clockAheadMs: 0,
  };
  /** Of new containers. */
  keepsVersions: boolean;
  /** False: the account allows no container to be public. */
  allowsPublicAccess = true;
  /** Rows on one page of a listing, at most. */
  mostRows = 5_000;
  readonly #containers = new Map<string, Container>();

  constructor({ keepsVersions = true, certificate }: AzureDoubleOptions) {
    super(certificate);
    this.keepsVersions = keepsVersions;
  }

  get endpoint(): string {
    return `${this.origin}/${this.authority.account}`;
  }

  /** What a shell would have to set to reach this double with its account key. */
  get environment(): Record<string, string> {
    const { account, key } = this.authority;
    return {
      AZURE_STORAGE_CONNECTION_STRING: `AccountName=${account};AccountKey=${key};BlobEndpoint=${this.endpoint}`,
    };
  }

  container(name: string): Container {
    const container = this.#containers.get(name) ?? new Container(name, this.keepsVersions);
    this.#containers.set(name, container);
    return container;
  }

  /** Number of requests of each operation. */
  counts(): Partial<Record<Operation, number>> {
    return countOperations(this.requests);
  }

  protected async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const seen = read(request, this.authority.account);
    this.requests.push(seen);
    const accident = await this.fateOf(seen);
    if (accident === null) return;
    response.once("close", () => (seen.status = response.statusCode));
    await this.#answer(request, response, seen, accident);
  }

  async #answer(
    request: IncomingMessage,
    response: ServerResponse,
    seen: Seen,
    accident: Accident,
  ): Promise<void> {
    const { clockAheadMs } = this.authority;
    if (clockAheadMs !== 0) {
      response.setHeader("date", new Date(Date.now() + clockAheadMs).toUTCString());
    }
    const verdict = verify(request, this.authority);
    if (!verdict.ok) {
      const { status, code, headers, detail } = verdict;
      const extra = detail === undefined ? {} : { AuthenticationErrorDetail: detail };
      refuse(
        response,
        request,
        { status, code, ...(headers === undefined ? {} : { headers }) },
        extra,
      );
      return;
    }
    if (accident.status !== undefined) {
      const { status, code = "", headers = {} } = accident;
      refuse(response, request, { status, code, headers });
      return;
    }
    const container = this.#containers.get(seen.container);
    const refusal = this.#refusalOf(container, seen, request, verdict.anonymous);
    if (container === undefined || refusal !== null) {
      refuse(response, request, refusal ?? { status: 404, code: "ContainerNotFound" });
      return;
    }
    if (seen.operation === "ListBlobs" || seen.operation === "ListVersions") {
      sendDocument(response, XML, listBlobs(container, seen.query, this), accident);
      return;
    }
    await this.#answerBlob(request, response, container, seen, accident);
  }

  #refusalOf(
    container: Container | undefined,
    { operation }: Seen,
    request: IncomingMessage,
    anonymous: boolean,
  ): Refusal | null {
    if (operation === "Unknown") return { status: 400, code: "UnsupportedHttpVerb" };
    if (!/^\d{4}-\d\d-\d\d$/.test(String(request.headers["x-ms-version"]))) {
      return { status: 400, code: "MissingRequiredHeader" };
    }
    if (!anonymous) return null;
    if (!this.allowsPublicAccess) return { status: 409, code: "PublicAccessNotPermitted" };
    const access = container?.publicAccess ?? "none";
    const lists = operation === "ListBlobs" || operation === "ListVersions";
    // Nobody is told whether a private container exists.
    return access === "container" || (access === "blob" && !lists)
      ? null
      : { status: 404, code: "ResourceNotFound" };
  }

  async #answerBlob(
    request: IncomingMessage,
    response: ServerResponse,
    container: Container,
    seen: Seen,
    accident: Accident,
  ): Promise<void> {
    const blob = container.find(seen.blob, {
      versionId: accident.answerWithVersion ?? seen.versionId,
      snapshot: seen.snapshot,
    });
    const refusal = blobRefusal(blob, seen, request);
    if (blob === undefined || refusal !== null) {
      refuse(response, request, refusal ?? { status: 404, code: "BlobNotFound" });
      return;
    }
    const { sizeBytes } = blob.content;
    const asked = accident.ignoreRange === true ? null : parseRange(seen.range, sizeBytes);
    if (asked === "unsatisfiable") {
      refuse(response, request, { status: 416, code: "InvalidRange" });
      return;
    }
    const headers = blobHeaders(container, blob, asked === null);
    const range = announce(response, asked, sizeBytes, headers, accident);
    if (seen.operation === "GetProperties") {
      response.end();
      return;
    }
    const source =
      accident.bytesOfVersion === undefined
        ? blob
        : (container.find(seen.blob, { versionId: accident.bytesOfVersion }) ?? blob);
    await sendBody(response, source.content, range, accident, this);
  }
}

interface Refusal {
  readonly status: number;
  readonly code: string;
  readonly headers?: Readonly<Record<string, string>>;
}

function read(request: IncomingMessage, account: string): Seen {
  const [path = "/", search = ""] = (request.url ?? "/").split(/\?(.*)/s, 2);
  const [container = "", ...blob] = path.replace(`/${account}/`, "").split("/");
  const query = new URLSearchParams(search);
  const name = decodeURIComponent(blob.join("/"));
  return {
    operation: operationOf(request, name, query),
    container,
    blob: name,
    versionId: query.get("versionid") ?? undefined,
    snapshot: query.get("snapshot") ?? undefined,
    range: request.headers.range,
    query,
    headers: request.headers,
    remotePort: request.socket.remotePort ?? 0,
    status: 0,
  };
}

function operationOf(request: IncomingMessage, blob: string, query: URLSearchParams): Operation {
  if (blob !== "") {
    if (request.method === "HEAD") return "GetProperties";
    return request.method === "GET" ? "GetBlob" : "Unknown";
  }
  const lists = query.get("restype") === "container" && query.get("comp") === "list";
  if (request.method !== "GET" || !lists) return "Unknown";
  return query.get("include")?.split(",").includes("versions") === true
    ? "ListVersions"
    : "ListBlobs";
}

/** Why the blob may not be read, in the order in which Azure looks. */
function blobRefusal(blob: Blob | undefined, seen: Seen, request: IncomingMessage): Refusal | null {
  if (blob === undefined) return { status: 404, code: "BlobNotFound" };
  const ifMatch = request.headers["if-match"];
  if (ifMatch !== undefined && ifMatch.replaceAll('"', "") !== blob.etag) {
    return { status: 412, code: "ConditionNotMet" };
  }
  if (blob.options.tier === "Archive" && seen.operation === "GetBlob") {
    return { status: 409, code: "BlobArchived" };
  }
  return null;
}

function blobHeaders(container: Container, blob: Blob, whole: boolean): Record<string, string> {
  const { options, md5, versioned, writtenAt } = blob;
  return {
    "accept-ranges": "bytes",
    "content-type": "application/octet-stream",
    "last-modified": blob.modified.toUTCString(),
    etag: `"${blob.etag}"`,
    "x-ms-blob-type": "BlockBlob",
    ...(versioned ? { "x-ms-version-id": writtenAt } : {}),
    ...(versioned && container.isCurrent(blob) ? { "x-ms-is-current-version": "true" } : {}),
    ...(options.contentEncoding === undefined
      ? {}
      : { "content-encoding": options.contentEncoding }),
    // Only an answer with the whole blob tells its MD5 in the standard header.
    ...(md5 === undefined ? {} : { [whole ? "content-md5" : "x-ms-blob-content-md5"]: md5 }),
    ...Object.fromEntries(
      Object.entries(options.metadata ?? {}).map(([name, value]) => [`x-ms-meta-${name}`, value]),
    ),
  };
}

function refuse(
  response: ServerResponse,
  request: IncomingMessage,
  { status, code, headers = {} }: Refusal,
  extra: Readonly<Record<string, string>> = {},
): void {
  response.statusCode = status;
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  response.setHeader("content-type", "application/xml");
  if (code !== "") response.setHeader("x-ms-error-code", code);
  response.end(request.method === "HEAD" ? undefined : errorXml(code, extra));
}
