// Digests as people and tools write them. Pure text: nothing is computed.

import { DIGEST_ALGORITHMS, type DigestAlgorithm } from "./digest.js";
import { Fault } from "./fault.js";

/** A digest that somebody gives: lower-case hex. */
export interface GivenDigest {
  readonly algorithm: DigestAlgorithm;
  readonly value: string;
}

const DIGEST_BYTES: Readonly<Record<DigestAlgorithm, number>> = {
  sha256: 32,
  md5: 16,
  sha1: 20,
  crc64nvme: 8,
  crc32c: 4,
  crc32: 4,
};

/**
 * Parses `sha256:HEX`, as most tools print it, or `sha256-BASE64`, as browsers and package managers
 * do, with any of our algorithms.
 * @throws Fault `usage`; the message does not repeat `text`.
 */
export function parseDigest(text: string): GivenDigest {
  const [, name = "", separator, digits = ""] = /^([A-Za-z0-9]+)([:-])(.*)$/.exec(text) ?? [];
  const algorithm = DIGEST_ALGORITHMS.find((known) => known === name.toLowerCase());
  if (algorithm === undefined) {
    throw new Fault(
      "usage",
      `A digest is ALGORITHM:HEX or ALGORITHM-BASE64, the algorithm one of ${DIGEST_ALGORITHMS.join(", ")}`,
    );
  }
  const value = separator === ":" ? digits.toLowerCase() : hexOfBase64(digits);
  const length = 2 * DIGEST_BYTES[algorithm];
  if (value.length !== length || !/^[0-9a-f]*$/.test(value)) {
    throw new Fault(
      "usage",
      `A digest of ${algorithm} has ${DIGEST_BYTES[algorithm]} bytes, in hex after ":" or in base64 after "-"`,
    );
  }
  return { algorithm, value };
}

/** True for a hash that says which bytes these are; false for a checksum that finds damage only. */
export function isCryptographic(algorithm: DigestAlgorithm): boolean {
  return algorithm === "sha256" || algorithm === "md5" || algorithm === "sha1";
}

/** "" for what is no base64. */
function hexOfBase64(text: string): string {
  const bytes = Buffer.from(text, "base64");
  const canonical = bytes.toString("base64").replace(/=+$/, "");
  return canonical === text.replace(/=+$/, "") ? bytes.toString("hex") : "";
}
