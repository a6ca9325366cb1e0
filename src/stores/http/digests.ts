// The checksums that an HTTP answer tells of the bytes as they are sent: Repr-Digest, Content-Digest
// (RFC 9530), Digest (RFC 3230) and Content-MD5 (RFC 1864). Pure.

import type { IncomingHttpHeaders } from "node:http";
import { parseDictionary } from "structured-headers";
import type { Claim, DigestAlgorithm } from "../../model/digest.js";
import { readChecksum } from "../checksum.js";

/** Names of both registries, in lower case. */
const ALGORITHMS: Readonly<Record<string, DigestAlgorithm>> = {
  "sha-256": "sha256",
  sha: "sha1",
  md5: "md5",
  crc32c: "crc32c",
};

/** Asks for what can be checked, strongest first. */
export const WANT_DIGEST: Readonly<Record<string, string>> = {
  "want-repr-digest": "sha-256=10, sha=5, md5=4, crc32c=1",
  "want-digest": "SHA-256;q=1, SHA;q=0.5, MD5;q=0.4, CRC32C;q=0.1",
};

/** What the body of an answer is: an object, a part of it, or nothing (HEAD). */
export type Content = "whole" | "part" | "none";

/** Checksums of the whole object among `headers`; what cannot be read is left out. */
export function readClaims(headers: IncomingHttpHeaders, content: Content): readonly Claim[] {
  const claims = [
    ...structured(headers["repr-digest"]),
    // That of a HEAD is of no bytes.
    ...(content === "whole" ? structured(headers["content-digest"]) : []),
    ...listed(headers["digest"]),
    ...(content === "part" ? [] : readChecksum("md5", headers["content-md5"])),
  ];
  return claims.filter(
    (claim, index) => claims.findIndex((other) => sameClaim(other, claim)) === index,
  );
}

function sameClaim(a: Claim, b: Claim): boolean {
  return a.algorithm === b.algorithm && a.value === b.value;
}

/** A dictionary of byte sequences: `sha-256=:base64:, md5=:base64:`. */
function structured(text: string | string[] | undefined): Claim[] {
  if (typeof text !== "string") return [];
  let members: ReturnType<typeof parseDictionary>;
  try {
    members = parseDictionary(text);
  } catch {
    return [];
  }
  return [...members].flatMap(([name, [value]]) =>
    value instanceof ArrayBuffer ? claim(name, Buffer.from(value).toString("base64")) : [],
  );
}

/** `SHA-256=base64,MD5=base64`. */
function listed(text: string | string[] | undefined): Claim[] {
  if (typeof text !== "string") return [];
  return text.split(",").flatMap((part) => {
    const [, name = "", value] = /^\s*([A-Za-z0-9-]+)=(\S+)\s*$/.exec(part) ?? [];
    return claim(name, value);
  });
}

function claim(name: string, base64: string | undefined): readonly Claim[] {
  const algorithm = ALGORITHMS[name.toLowerCase()];
  return algorithm === undefined ? [] : readChecksum(algorithm, base64);
}
