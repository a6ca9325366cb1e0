// Checks Signature Version 4 as S3 does, written from its description and apart from any SDK.

import { createHash, createHmac } from "node:crypto";
import type { IncomingMessage } from "node:http";

export interface Keys {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

export type Verdict =
  /** No region: the request is not signed. */
  | { readonly ok: true; readonly region: string | undefined }
  | { readonly ok: false; readonly status: number; readonly code: string };

const LONGEST_SKEW_MS = 900_000;

/**
 * Checks the Authorization header of `request` against `keys`.
 * @param isPublic What is asked for is there for everybody.
 * @param nowMs The server's own time.
 */
export function verify(
  request: IncomingMessage,
  keys: Keys,
  isPublic: boolean,
  nowMs: number,
): Verdict {
  if (isPublic && request.headers.authorization === undefined) {
    return { ok: true, region: undefined };
  }
  const match =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/s3\/aws4_request, ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$/.exec(
      request.headers.authorization ?? "",
    );
  if (match === null) return refuse(403, "AccessDenied");
  const [, accessKeyId = "", day = "", region = "", signedHeaders = "", signature = ""] = match;
  if (accessKeyId !== keys.accessKeyId) return refuse(403, "InvalidAccessKeyId");
  if (request.headers["x-amz-security-token"] !== keys.sessionToken)
    return refuse(400, "InvalidToken");
  const date = header(request, "x-amz-date");
  if (!date.startsWith(day)) return refuse(403, "SignatureDoesNotMatch");
  if (Math.abs(nowMs - parseDate(date)) > LONGEST_SKEW_MS)
    return refuse(403, "RequestTimeTooSkewed");
  const names = signedHeaders.split(";");
  const must = [
    "host",
    ...Object.keys(request.headers).filter((name) => name.startsWith("x-amz-")),
  ];
  if (must.some((name) => !names.includes(name))) return refuse(403, "AccessDenied");
  const scope = `${day}/${region}/s3/aws4_request`;
  const canonical = [
    request.method ?? "",
    ...canonicalUrl(request.url ?? "/"),
    ...names.map((name) => `${name}:${header(request, name).trim().replace(/ +/g, " ")}`),
    "",
    signedHeaders,
    header(request, "x-amz-content-sha256"),
  ].join("\n");
  const text = ["AWS4-HMAC-SHA256", date, scope, sha256(canonical)].join("\n");
  const key = [day, region, "s3", "aws4_request"].reduce<Buffer>(
    (secret, part) => hmac(secret, part),
    Buffer.from(`AWS4${keys.secretAccessKey}`),
  );
  return hmac(key, text).toString("hex") === signature
    ? { ok: true, region }
    : refuse(403, "SignatureDoesNotMatch");
}

/** Path and query, decoded and encoded again in the one way that is signed. */
function canonicalUrl(url: string): [string, string] {
  const mark = url.indexOf("?");
  const path = mark < 0 ? url : url.slice(0, mark);
  const pairs = (mark < 0 ? "" : url.slice(mark + 1))
    .split("&")
    .filter((pair) => pair !== "")
    .map((pair) => {
      const equals = pair.indexOf("=");
      const [name, value] =
        equals < 0 ? [pair, ""] : [pair.slice(0, equals), pair.slice(equals + 1)];
      return `${encode(decodeURIComponent(name))}=${encode(decodeURIComponent(value))}`;
    })
    .sort();
  return [
    path
      .split("/")
      .map((part) => encode(decodeURIComponent(part)))
      .join("/"),
    pairs.join("&"),
  ];
}

function encode(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

function header(request: IncomingMessage, name: string): string {
  const value = request.headers[name];
  return Array.isArray(value) ? value.join(",") : (value ?? "");
}

function parseDate(date: string): number {
  return Date.parse(
    date.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, "$1-$2-$3T$4:$5:$6Z"),
  );
}

function refuse(status: number, code: string): Verdict {
  return { ok: false, status, code };
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}
