// Checks what requests are authorised with: account key, shared access signature, access token, or
// nothing where a container is public.
//
// "Authorize with Shared Key", "Create an account SAS" and "Authorize with Microsoft Entra ID" in the
// REST reference of Azure Storage (learn.microsoft.com/rest/api/storageservices). Written from there,
// and not from the code under test.

import { createHmac } from "node:crypto";
import type { IncomingMessage } from "node:http";

export interface Authority {
  readonly account: string;
  /** Base64. */
  key: string;
  /** Access tokens that are taken. */
  readonly tokens: Set<string>;
  /** The tenant that gives them. */
  tenant: string;
  /** A whole SAS token, without "?"; "" takes none. */
  sas: string;
  /** How far the server's clock is ahead. */
  clockAheadMs: number;
}

export type Verdict =
  | { readonly ok: true; readonly anonymous: boolean }
  | {
      readonly ok: false;
      readonly status: number;
      readonly code: string;
      readonly detail?: string;
      readonly headers?: Readonly<Record<string, string>>;
    };

const LONGEST_SKEW_MS = 900_000;

export function verify(request: IncomingMessage, authority: Authority): Verdict {
  const authorization = request.headers.authorization ?? "";
  if (authorization.startsWith("SharedKey ")) return verifyKey(request, authority);
  if (authorization.startsWith("Bearer ")) return verifyToken(authorization.slice(7), authority);
  const query = new URLSearchParams(request.url?.split(/\?(.*)/s, 2)[1]);
  if (query.has("sig")) return verifySas(query, authority);
  return { ok: true, anonymous: true };
}

function verifyKey(request: IncomingMessage, authority: Authority): Verdict {
  const failed = { ok: false, status: 403, code: "AuthenticationFailed" } as const;
  const date = headerOf(request, "x-ms-date");
  const skewMs = Math.abs(Date.parse(date) - Date.now() - authority.clockAheadMs);
  if (!(skewMs < LONGEST_SKEW_MS)) {
    return { ...failed, detail: `Request date header too old: '${date}'` };
  }
  const text = stringToSign(request, authority.account);
  const hmac = createHmac("sha256", Buffer.from(authority.key, "base64")).update(text);
  const expected = `SharedKey ${authority.account}:${hmac.digest("base64")}`;
  if (request.headers.authorization === expected) return { ok: true, anonymous: false };
  return {
    ...failed,
    detail: `The MAC signature found in the HTTP request '${String(request.headers.authorization)}' is not the same as any computed signature. Server used following string to sign: '${text}'.`,
  };
}

function stringToSign(request: IncomingMessage, account: string): string {
  const [path = "/", search = ""] = (request.url ?? "/").split(/\?(.*)/s, 2);
  const standard = [
    "Content-Encoding",
    "Content-Language",
    "Content-Length",
    "Content-MD5",
    "Content-Type",
    "Date",
    "If-Modified-Since",
    "If-Match",
    "If-None-Match",
    "If-Unmodified-Since",
    "Range",
  ].map((name) => headerOf(request, name));
  const own = Object.keys(request.headers)
    .filter((name) => name.startsWith("x-ms-"))
    .sort()
    .map((name) => `${name}:${headerOf(request, name)}\n`);
  const resource = [...new URLSearchParams(search)]
    .map(([name, value]) => `\n${name.toLowerCase()}:${value}`)
    .sort();
  return `${[request.method, ...standard].join("\n")}\n${own.join("")}/${account}${path}${resource.join("")}`;
}

function verifyToken(token: string, { tokens, tenant }: Authority): Verdict {
  if (tokens.has(token)) return { ok: true, anonymous: false };
  return {
    ok: false,
    status: 401,
    code: "InvalidAuthenticationInfo",
    headers: {
      "www-authenticate": `Bearer authorization_uri=https://login.microsoftonline.com/${tenant}/oauth2/authorize resource_id=https://storage.azure.com`,
    },
  };
}

function verifySas(query: URLSearchParams, { sas }: Authority): Verdict {
  const failed = { ok: false, status: 403, code: "AuthenticationFailed" } as const;
  const expected = new URLSearchParams(sas);
  if ([...expected].some(([name, value]) => query.get(name) !== value)) {
    return { ...failed, detail: `Signature did not match. String to sign used was ${sas}` };
  }
  const end = query.get("se");
  if (end !== null && Date.parse(end) < Date.now()) {
    return {
      ...failed,
      detail: `Signature not valid in the specified time frame: Start [Mon, 01 Jan 2024 00:00:00 GMT] - Expiry [${new Date(end).toUTCString()}] - Current [${new Date().toUTCString()}]`,
    };
  }
  return { ok: true, anonymous: false };
}

function headerOf(request: IncomingMessage, name: string): string {
  const value = request.headers[name.toLowerCase()];
  return typeof value === "string" ? value : "";
}
