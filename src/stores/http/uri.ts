// How an http: or https: uri names one object. Pure text: nothing is looked up.
//
// A uri is kept in manifests for good, so it is written as Weights & Biases' client sends it (scheme
// and host in lower case, "/" for no path, without "." segments, escapes only where they are needed)
// and holds no secret: no user and password, no signed query. Any other query is part of the name of
// the object. A fragment is refused, since no server ever sees one: "#" in a name is written %23.

import { Fault } from "../../model/fault.js";
import { secretIn } from "./secret-query.js";

export interface HttpName {
  /** As a manifest keeps it and as messages show it. */
  readonly uri: string;
  readonly url: URL;
  /** The last segment of the path, percent-decoded; "" when the path ends in "/". */
  readonly fileName: string;
}

// eslint-disable-next-line no-control-regex -- control characters are what it looks for.
const UNSAFE = /[\u0000-\u0020"<>\\^`{|}\u007f]|%(?![0-9A-Fa-f]{2})/g;

/** @throws Fault `usage` for a uri that names no host, or holds a fragment, a user or a secret. */
export function parseHttpUri(uri: string): HttpName {
  const [, scheme = "", authority = "", rest = ""] =
    /^(https?):\/\/([^/?#\\]*)(.*)$/is.exec(uri) ?? [];
  if (authority.includes("@")) {
    throw refused(uri, "it holds a user or a password", CREDENTIALS);
  }
  if (rest.includes("#")) {
    throw refused(
      uri,
      "what follows a # names no object on a server",
      "leave it out, or write %23 for a # in a name",
    );
  }
  const text = `${scheme}://${authority}${rest.replace(UNSAFE, escapeByte)}`.replace(
    /%([0-9A-Fa-f]{2})/g,
    plainest,
  );
  if (authority === "" || !/^[/?]|^$/.test(rest) || !URL.canParse(text)) {
    throw refused(uri, "it names no host", "write https://host/path/to/object");
  }
  const url = new URL(text);
  const secret = secretIn(url.searchParams);
  if (secret !== undefined) {
    throw refused(uri, `its query holds a credential (${secret})`, SIGNED);
  }
  return { uri: spell(url, authority), url, fileName: fileNameOf(url) };
}

const CREDENTIALS =
  "put them into .netrc or REFMOUNT_HTTP_HEADERS, since a reference is kept for good";
const SIGNED =
  "a reference is kept for good, and a signed link is not good for long. Reference the object by the " +
  "uri of its store (s3://, gs://, az://), or put the token into REFMOUNT_HTTP_HEADERS";

/** The URL again; a port that is the scheme's own stays, as it was written. */
function spell(url: URL, authority: string): string {
  const port = /:(\d+)$/.exec(authority)?.[1];
  const host = port === undefined ? url.host : `${url.hostname}:${Number(port)}`;
  return `${url.protocol}//${host}${url.pathname}${url.search}`;
}

function fileNameOf({ pathname }: URL): string {
  const segment = pathname.slice(pathname.lastIndexOf("/") + 1);
  try {
    const decoded = decodeURIComponent(segment);
    return decoded.slice(decoded.lastIndexOf("/") + 1);
  } catch {
    // Escapes of another encoding than UTF-8: the name is as good as any.
    return segment;
  }
}

function refused(uri: string, why: string, instead: string): Fault {
  const shown = uri.replace(/[?#].*$/s, "").replace(/^([^/]*:\/\/)[^/]*@/, "$1");
  return new Fault("usage", `"${shown}" cannot be referenced: ${why}; ${instead}`, {
    subject: shown,
  });
}

function escapeByte(character: string): string {
  return `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`;
}

/** Letters, digits and `-._~` mean the same with and without an escape. */
function plainest(escape: string, hex: string): string {
  const character = String.fromCharCode(Number.parseInt(hex, 16));
  return /[A-Za-z0-9._~-]/.test(character) ? character : escape.toUpperCase();
}
