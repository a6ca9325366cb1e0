// How a uri spells an object's name, per scheme. Pure text: nothing is looked up.
//
// An object's uri (s3:, gs:) is written plainly, as W&B and the clouds' tools do, and only what would
// be ambiguous is percent-encoded: "?" and "#" (they begin a query or a fragment), control characters,
// and a "%" that would otherwise read as one of these escapes. So `s3://b/a%20b c` means exactly that
// key.

import { isIP } from "node:net";
import { Fault } from "../model/fault.js";

export interface S3Name {
  readonly bucket: string;
  /** Raw; "" names the whole bucket. */
  readonly key: string;
  /** From `?versionId=`; undefined when the uri names no version. */
  readonly versionId: string | undefined;
}

const ESCAPE_LIKE = /%(?=25|3[Ff]|23|[01][0-9A-Fa-f]|7[Ff])/g;
const ESCAPED = /%(25|3[Ff]|23|[01][0-9A-Fa-f]|7[Ff])/g;
// eslint-disable-next-line no-control-regex -- control characters are what it looks for.
const AMBIGUOUS = /[?#\u0000-\u001f\u007f]/g;

/** A key as an object store's uri spells it: see the top of this file. */
export function spellKey(key: string): string {
  return key.replace(ESCAPE_LIKE, "%25").replace(AMBIGUOUS, escapeByte);
}

/** The key that `spellKey`, or somebody by hand, spelled so. */
export function readKey(spelled: string): string {
  return spelled.replace(ESCAPED, unescapeByte);
}

/**
 * Takes an S3 uri apart. A raw "#" is part of the key; a raw "?" only begins `?versionId=ID`.
 * @throws Fault `usage` for another query, a missing or impossible bucket, an ARN.
 */
export function parseS3Uri(uri: string): S3Name {
  const match = /^s3:\/\/([^/?]*)(?:\/([^?]*))?(?:\?(.*))?$/is.exec(uri);
  const [, bucket = "", rawKey = "", query] = match ?? [];
  if (match === null || bucket === "") {
    throw new Fault("usage", `"${withoutQuery(uri)}" names no bucket: write s3://bucket/key`);
  }
  if (bucket.includes("@")) {
    // Hadoop's old form has keys there: they are not repeated.
    throw new Fault(
      "usage",
      "An S3 URI holds no keys: write s3://bucket/key, and set AWS_ACCESS_KEY_ID or AWS_PROFILE",
    );
  }
  if (bucket.startsWith("arn:")) {
    throw new Fault(
      "usage",
      `"${withoutQuery(uri)}": ARNs are not supported; use the access point's alias as the bucket`,
    );
  }
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$/.test(bucket)) {
    throw new Fault("usage", `"${bucket}" cannot be the name of an S3 bucket`);
  }
  if (bucket.endsWith("--x-s3")) {
    throw new Fault("usage", `"${bucket}": S3 Express directory buckets are not supported`);
  }
  return {
    bucket,
    key: readKey(rawKey),
    versionId: versionOf(uri, query),
  };
}

/** The uri of exactly `key`, without a query. */
export function formatS3Uri(bucket: string, key: string): string {
  return `s3://${bucket}/${spellKey(key)}`;
}

/**
 * The absolute path that a `file:` uri names, percent-decoded and without "." and "//".
 * @throws Fault `usage` for a host, a NUL, or a broken escape.
 */
export function parseFileUri(uri: string): string {
  const match = /^file:\/\/([^/]*)(\/.*)$/is.exec(uri);
  const [, host = "", rawPath = ""] = match ?? [];
  if (match === null || (host !== "" && host.toLowerCase() !== "localhost")) {
    throw new Fault("usage", `"${uri}" names no local path: write file:///absolute/path`, {
      subject: uri,
    });
  }
  let path: string;
  try {
    path = decodeURIComponent(rawPath);
  } catch (cause) {
    throw new Fault("usage", `"${uri}" has a broken %-escape: write a "%" in a name as %25`, {
      subject: uri,
      cause,
    });
  }
  if (path.includes("\0")) {
    throw new Fault("usage", `"${uri}" holds a NUL byte, which no path can`, { subject: uri });
  }
  const segments = path.split("/").filter((segment) => segment !== "" && segment !== ".");
  if (segments.includes("..")) {
    throw new Fault("usage", `"${uri}" holds "..": write the path without it`, { subject: uri });
  }
  return `/${segments.join("/")}`;
}

/** The `file:` uri of an absolute path, everything but plain ASCII percent-encoded. */
export function formatFileUri(path: string): string {
  return `file://${encodeURI(path).replace(/[?#]/g, escapeByte)}`;
}

/** `key` as the path of an HTTP request: RFC 3986 unreserved characters and "/" stay. */
export function encodeKey(key: string): string {
  return encodeURIComponent(key)
    .replace(/[!'()*]/g, escapeByte)
    .replace(/%2F/g, "/");
}

/** True for hosts that no bucket name can be put in front of. */
export function isBareHost(host: string): boolean {
  return host === "localhost" || isIP(host.replace(/^\[|\]$/g, "")) !== 0;
}

function versionOf(uri: string, query: string | undefined): string | undefined {
  if (query === undefined) return undefined;
  const version = /^versionId=([^&#]+)$/.exec(query)?.[1];
  // Another query may be a signed link's: it is not repeated in the message.
  if (version === undefined) {
    throw new Fault(
      "usage",
      `"${withoutQuery(uri)}?...": only ?versionId=ID may follow a key; write a "?" in a key as %3F`,
    );
  }
  try {
    return decodeURIComponent(version);
  } catch (cause) {
    throw new Fault("usage", `"${withoutQuery(uri)}": the versionId has a broken %-escape`, {
      cause,
    });
  }
}

function withoutQuery(uri: string): string {
  return uri.replace(/\?.*$/s, "");
}

function escapeByte(character: string): string {
  return `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`;
}

function unescapeByte(_match: string, hex: string): string {
  return String.fromCharCode(Number.parseInt(hex, 16));
}
