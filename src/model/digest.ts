// Digests: hashes of bytes, as algorithm and lower-case hex. Also the claims that a store makes
// about bytes we have not read ourselves.

export type DigestAlgorithm = "sha256" | "md5" | "sha1" | "crc64nvme" | "crc32c" | "crc32";

/** Strongest first; one order everywhere (canonical rows, choosing what to check). */
export const DIGEST_ALGORITHMS: readonly DigestAlgorithm[] = [
  "sha256",
  "md5",
  "sha1",
  "crc64nvme",
  "crc32c",
  "crc32",
];

/** Bytes of one chunk digest: SHA-256 of every 1 MiB of an object (the last one shorter). */
export const CHUNK_BYTES = 1_048_576;

/** Bytes of one block of a cached blob that carries its own CRC-32C: the page size of a READ. */
export const BLOCK_BYTES = 4096;

/** Lower-case hex by algorithm. */
export type Digests = Readonly<Partial<Record<DigestAlgorithm, string>>>;

/** What a store says about the bytes of a pinned object. */
export interface Claim {
  readonly algorithm: DigestAlgorithm;
  /**
   * Lower-case hex; absent when the listing names the algorithm only and the GET will tell. With
   * `ofParts`, "-" and the number of parts follow.
   */
  readonly value?: string;
  /**
   * Where it comes from. An ETag is a hash only when the object is not encrypted with KMS or a
   * customer key, which just the GET shows; a checksum counts as it is.
   */
  readonly source: "etag" | "checksum";
  /** The value is a digest over the digests of the parts in which the object was written. */
  readonly ofParts?: true;
}

/** The whole-object digests among `claims` whose values are known. */
export function claimedDigests(claims: readonly Claim[]): Digests {
  return Object.fromEntries(
    claims.flatMap(({ algorithm, value, ofParts }) =>
      value === undefined || ofParts === true ? [] : [[algorithm, value]],
    ),
  );
}

export function base64ToHex(value: string): string {
  return Buffer.from(value, "base64").toString("hex");
}

export function hexToBase64(value: string): string {
  return Buffer.from(value, "hex").toString("base64");
}

/** The canonical text of digests or claims: "algorithm:value" joined by commas, in one order. */
export function encodeDigests(digests: Digests): string {
  return DIGEST_ALGORITHMS.filter((algorithm) => digests[algorithm] !== undefined)
    .map((algorithm) => `${algorithm}:${digests[algorithm] ?? ""}`)
    .join(",");
}

export function decodeDigests(text: string): Digests {
  const digests: Partial<Record<DigestAlgorithm, string>> = {};
  if (text === "") return digests;
  for (const part of text.split(",")) {
    const colon = part.indexOf(":");
    digests[part.slice(0, colon) as DigestAlgorithm] = part.slice(colon + 1);
  }
  return digests;
}

/**
 * The canonical text of claims: "source:algorithm:value" joined by commas, in one order. A "-" in the
 * value tells those over parts; it stands alone where the value is not known yet.
 */
export function encodeClaims(claims: readonly Claim[]): string {
  return claims
    .map(({ source, algorithm, value, ofParts }) => {
      const unknown = ofParts === true ? "-" : "";
      return `${source}:${algorithm}:${value ?? unknown}`;
    })
    .sort()
    .join(",");
}

export function decodeClaims(text: string): readonly Claim[] {
  if (text === "") return [];
  return text.split(",").map((part): Claim => {
    const [source, algorithm, value] = part.split(":") as [
      Claim["source"],
      DigestAlgorithm,
      string,
    ];
    return {
      source,
      algorithm,
      ...(value === "" || value === "-" ? {} : { value }),
      ...(value.includes("-") ? { ofParts: true } : {}),
    };
  });
}
