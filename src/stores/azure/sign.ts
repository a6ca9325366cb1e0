// Signs requests with an account key (Shared Key), by the SDK's credential. The rules are those of
// "Authorize with Shared Key" in the REST reference of Azure Storage.

import type { StorageSharedKeyCredential } from "@azure/storage-blob";

export interface BlobRequest {
  readonly method: "GET" | "HEAD";
  /** Percent-encoded, with the endpoint's own path. */
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
}

/** The headers that are signed by value, in their order, after the method. */
const SIGNED_HEADERS = [
  "content-encoding",
  "content-language",
  "content-length",
  "content-md5",
  "content-type",
  "date",
  "if-modified-since",
  "if-match",
  "if-none-match",
  "if-unmodified-since",
  "range",
];

/** The Authorization header of `request`. */
export function sharedKey(request: BlobRequest, credential: StorageSharedKeyCredential): string {
  const account = credential.accountName;
  const signature = credential.computeHMACSHA256(stringToSign(request, account));
  return `SharedKey ${account}:${signature}`;
}

function stringToSign({ method, path, query, headers }: BlobRequest, account: string): string {
  const own = Object.keys(headers)
    .filter((name) => name.startsWith("x-ms-"))
    .sort()
    .map((name) => `${name}:${headers[name] ?? ""}`);
  const parameters = Object.keys(query)
    .sort()
    .map((name) => `${name}:${query[name] ?? ""}`);
  return [
    method,
    ...SIGNED_HEADERS.map((name) => headers[name] ?? ""),
    ...own,
    [`/${account}${path}`, ...parameters].join("\n"),
  ].join("\n");
}

/** The query as it is sent. */
export function queryText(query: Readonly<Record<string, string>>): string {
  return Object.entries(query)
    .map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`)
    .join("&");
}
