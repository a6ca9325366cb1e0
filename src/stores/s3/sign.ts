// Signs requests for objects with Signature Version 4, by the SDK's signer and Node's own hashes.

import { createHash, createHmac } from "node:crypto";
import { SignatureV4 } from "@smithy/signature-v4";
import type { Checksum, HttpRequest, SourceData } from "@smithy/types";
import { Fault } from "../../model/fault.js";
import { encodeKey } from "../uri.js";
import type { Credentials } from "./credentials.js";
import type { Origin } from "./origin.js";

const EMPTY_SHA256 = createHash("sha256").digest("hex");

export interface ObjectRequest {
  readonly method: "GET" | "HEAD";
  readonly bucket: string;
  readonly key: string;
  readonly versionId: string | undefined;
  /** Asks about one of the parts in which the object was written, from 1 on. */
  readonly partNumber?: number;
  /** Signed, besides those that every request has. */
  readonly headers: Readonly<Record<string, string>>;
}

export function makeSigner(region: string, credentials: Credentials): SignatureV4 {
  return new SignatureV4({
    service: "s3",
    region,
    credentials: async () => {
      const { identity, source } = await credentials.get();
      if (identity !== null) return identity;
      throw new Fault("denied", `A request to S3 cannot be signed: ${source}`);
    },
    sha256: Sha256,
    uriEscapePath: false,
    applyChecksum: false,
  });
}

/**
 * The path, with the query, and the headers of a request.
 * @param signer Null: the request is not signed.
 */
export async function sign(
  signer: SignatureV4 | null,
  request: ObjectRequest,
  origin: Origin,
): Promise<{ path: string; headers: Record<string, string> }> {
  const plain = unsigned(request, origin);
  const { path, headers } = signer === null ? plain : await signer.sign(plain);
  return {
    path: path + queryText(request),
    // Added after signing, since a proxy may change it.
    headers: { ...headers, "accept-encoding": "identity" },
  };
}

function unsigned(request: ObjectRequest, origin: Origin): HttpRequest {
  const port = origin.port === undefined ? "" : `:${origin.port}`;
  return {
    method: request.method,
    protocol: origin.protocol,
    hostname: origin.hostname,
    path: `${origin.basePath}/${encodeKey(request.key)}`,
    query: queryOf(request),
    headers: {
      ...request.headers,
      host: `${origin.hostname}${port}`,
      "x-amz-content-sha256": EMPTY_SHA256,
    },
  };
}

function queryOf({ versionId, partNumber }: ObjectRequest): Record<string, string> {
  return {
    ...(partNumber === undefined ? {} : { partNumber: String(partNumber) }),
    ...(versionId === undefined ? {} : { versionId }),
  };
}

function queryText(request: ObjectRequest): string {
  const pairs = Object.entries(queryOf(request)).map(
    ([name, value]) => `${name}=${encodeKey(value).replaceAll("/", "%2F")}`,
  );
  return pairs.length === 0 ? "" : `?${pairs.join("&")}`;
}

/** The hash that the signer asks for, by Node's own crypto. */
class Sha256 implements Checksum {
  readonly #hash;

  constructor(secret?: SourceData) {
    this.#hash =
      secret === undefined ? createHash("sha256") : createHmac("sha256", toBytes(secret));
  }

  update(chunk: Uint8Array): void {
    this.#hash.update(chunk);
  }

  digest(): Promise<Uint8Array> {
    return Promise.resolve(this.#hash.digest());
  }

  reset(): void {
    throw new Error("a signer's hash is used once");
  }
}

function toBytes(source: SourceData): Uint8Array {
  if (typeof source === "string") return Buffer.from(source);
  return ArrayBuffer.isView(source)
    ? new Uint8Array(source.buffer, source.byteOffset, source.byteLength)
    : new Uint8Array(source);
}
