// The XML of ListObjectVersions, ListObjectsV2 and of errors, with S3's paging and url encoding.

import type { Bucket, Version } from "./bucket.js";

const MOST_KEYS = 1_000;

export function listVersions(bucket: Bucket, query: URLSearchParams): string {
  const max = maxKeys(query);
  const encode = encoder(query);
  const prefix = query.get("prefix") ?? "";
  const keyMarker = query.get("key-marker") ?? undefined;
  const versionMarker = query.get("version-id-marker") ?? undefined;
  const all = versionsFrom(bucket, prefix, keyMarker, versionMarker);
  const page = [...take(all, max + 1)];
  const truncated = page.length > max;
  const rows = page.slice(0, max);
  const last = rows.at(-1)?.version;
  return document("ListVersionsResult", [
    ...head(bucket, query, encode, truncated),
    ...(truncated && last !== undefined
      ? [
          `<NextKeyMarker>${encode(last.key)}</NextKeyMarker>`,
          `<NextVersionIdMarker>${last.versionId}</NextVersionIdMarker>`,
        ]
      : []),
    ...rows.map(({ version, isLatest }) => versionXml(version, isLatest, encode)),
  ]);
}

interface Row {
  readonly version: Version;
  readonly isLatest: boolean;
}

function* versionsFrom(
  bucket: Bucket,
  prefix: string,
  keyMarker: string | undefined,
  versionMarker: string | undefined,
): Generator<Row> {
  if (keyMarker !== undefined && versionMarker !== undefined && keyMarker.startsWith(prefix)) {
    const versions = bucket.versionsOf(keyMarker);
    const at = versions.findIndex(({ versionId }) => versionId === versionMarker);
    for (const version of versions.slice(at + 1)) yield { version, isLatest: false };
  }
  for (const key of bucket.keysFrom(prefix, keyMarker)) {
    for (const [index, version] of bucket.versionsOf(key).entries()) {
      yield { version, isLatest: index === 0 };
    }
  }
}

function* take<T>(items: Iterable<T>, count: number): Generator<T> {
  let taken = 0;
  for (const item of items) {
    if (taken === count) return;
    taken += 1;
    yield item;
  }
}

/** Both of its versions: the first goes on after a `marker`, which its client makes of the last key. */
export function listObjects(bucket: Bucket, query: URLSearchParams): string {
  const isSecond = query.get("list-type") === "2";
  const max = maxKeys(query);
  const encode = encoder(query);
  const token = query.get("continuation-token");
  const after =
    token === null
      ? (query.get(isSecond ? "start-after" : "marker") ?? undefined)
      : Buffer.from(token, "base64url").toString();
  const rows: string[] = [];
  let last = "";
  let truncated = false;
  for (const key of bucket.keysFrom(query.get("prefix") ?? "", after)) {
    const version = bucket.find(key, undefined);
    if (version === undefined || version.deleteMarker) continue;
    if (rows.length === max) {
      truncated = true;
      break;
    }
    rows.push(`<Contents>${commonXml(version, encode)}${objectXml(version)}</Contents>`);
    last = key;
  }
  return document("ListBucketResult", [
    ...head(bucket, query, encode, truncated),
    ...(isSecond ? [`<KeyCount>${rows.length}</KeyCount>`] : []),
    ...(truncated && isSecond
      ? [
          `<NextContinuationToken>${Buffer.from(last).toString("base64url")}</NextContinuationToken>`,
        ]
      : []),
    ...rows,
  ]);
}

export function errorXml(
  code: string,
  message: string,
  extra: Record<string, string> = {},
): string {
  const more = Object.entries(extra).map(([name, value]) => `<${name}>${escape(value)}</${name}>`);
  return `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code><Message>${escape(message)}</Message>${more.join("")}<RequestId>double</RequestId></Error>`;
}

export function versioningXml(bucket: Bucket): string {
  const status = { never: "", enabled: "Enabled", suspended: "Suspended" }[bucket.versioning];
  return document("VersioningConfiguration", status === "" ? [] : [`<Status>${status}</Status>`]);
}

type Encode = (key: string) => string;

function head(
  bucket: Bucket,
  query: URLSearchParams,
  encode: Encode,
  truncated: boolean,
): string[] {
  return [
    `<Name>${bucket.name}</Name>`,
    `<Prefix>${encode(query.get("prefix") ?? "")}</Prefix>`,
    `<MaxKeys>${maxKeys(query)}</MaxKeys>`,
    ...(query.get("encoding-type") === "url" ? ["<EncodingType>url</EncodingType>"] : []),
    `<IsTruncated>${truncated}</IsTruncated>`,
  ];
}

function versionXml(version: Version, isLatest: boolean, encode: Encode): string {
  const common = `${commonXml(version, encode)}<VersionId>${version.versionId}</VersionId><IsLatest>${isLatest}</IsLatest>`;
  return version.deleteMarker
    ? `<DeleteMarker>${common}</DeleteMarker>`
    : `<Version>${common}${objectXml(version)}</Version>`;
}

function commonXml(version: Version, encode: Encode): string {
  return `<Key>${encode(version.key)}</Key><LastModified>${version.modified.toISOString()}</LastModified>`;
}

function objectXml(version: Version): string {
  const { algorithm } = version.checksum ?? {};
  const sum =
    algorithm === undefined
      ? ""
      : `<ChecksumAlgorithm>${algorithm}</ChecksumAlgorithm><ChecksumType>${version.checksumType}</ChecksumType>`;
  return `<ETag>&quot;${version.etag}&quot;</ETag>${sum}<Size>${version.content.sizeBytes}</Size><StorageClass>${version.options.storageClass ?? "STANDARD"}</StorageClass>`;
}

function encoder(query: URLSearchParams): Encode {
  if (query.get("encoding-type") !== "url") return escape;
  // S3 leaves "/" and writes a space as "+".
  return (key) => encodeURIComponent(key).replaceAll("%2F", "/").replaceAll("%20", "+");
}

function maxKeys(query: URLSearchParams): number {
  return Math.min(MOST_KEYS, Number(query.get("max-keys") ?? MOST_KEYS));
}

export function document(name: string, parts: readonly string[]): string {
  return `<?xml version="1.0" encoding="UTF-8"?>\n<${name} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${parts.join("")}</${name}>`;
}

function escape(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}
