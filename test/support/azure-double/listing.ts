// The XML of List Blobs and of errors.
//
// "List Blobs" (learn.microsoft.com/rest/api/storageservices/list-blobs): at most 5,000 rows, an opaque
// marker, metadata, versions and snapshots when asked for, a name that XML cannot hold encoded whole.
// What the page leaves open is as the service was recorded to answer, in the SDK's own test recordings:
// ETags without quotes, the rows of one name from old to new, and, on an account that keeps versions,
// VersionId and IsCurrentVersion on current blobs also when no versions were asked for.

import type { Blob, Container } from "./container.js";

export function listBlobs(
  container: Container,
  query: URLSearchParams,
  { endpoint, mostRows }: { readonly endpoint: string; readonly mostRows: number },
): string {
  const include = new Set((query.get("include") ?? "").split(","));
  const max = Math.min(mostRows, Number(query.get("maxresults") ?? mostRows));
  const start = Number(Buffer.from(query.get("marker") ?? "", "base64url").toString() || 0);
  const all = [...container.rows(query.get("prefix") ?? "", include)];
  const rows = all.slice(start, start + max);
  const next = start + rows.length;
  const marker =
    next < all.length
      ? `<NextMarker>${Buffer.from(String(next)).toString("base64url")}</NextMarker>`
      : "<NextMarker />";
  const blobs = rows.map((blob) => rowXml(container, blob, include)).join("");
  return `\u{feff}<?xml version="1.0" encoding="utf-8"?><EnumerationResults ServiceEndpoint="${endpoint}/" ContainerName="${container.name}"><Blobs>${blobs}</Blobs>${marker}</EnumerationResults>`;
}

export function errorXml(code: string, extra: Readonly<Record<string, string>> = {}): string {
  const more = Object.entries(extra).map(([name, text]) => `<${name}>${escape(text)}</${name}>`);
  return `\u{feff}<?xml version="1.0" encoding="utf-8"?><Error><Code>${code}</Code><Message>The double says ${code}.\nRequestId:0\nTime:2026-03-19T06:23:15.0000000Z</Message>${more.join("")}</Error>`;
}

function rowXml(container: Container, blob: Blob, include: ReadonlySet<string>): string {
  const { options, snapshot, versioned, writtenAt } = blob;
  const current = versioned && container.isCurrent(blob);
  return [
    `<Blob>${nameXml(blob.name)}`,
    ...(snapshot === undefined ? [] : [`<Snapshot>${snapshot}</Snapshot>`]),
    ...(versioned ? [`<VersionId>${writtenAt}</VersionId>`] : []),
    ...(current ? ["<IsCurrentVersion>true</IsCurrentVersion>"] : []),
    `<Properties><Creation-Time>${blob.modified.toUTCString()}</Creation-Time>`,
    `<Last-Modified>${blob.modified.toUTCString()}</Last-Modified><Etag>${blob.etag}</Etag>`,
    ...(options.resourceType === undefined
      ? []
      : [`<ResourceType>${options.resourceType}</ResourceType>`]),
    `<Content-Length>${blob.content.sizeBytes}</Content-Length>`,
    "<Content-Type>application/octet-stream</Content-Type>",
    options.contentEncoding === undefined
      ? "<Content-Encoding />"
      : `<Content-Encoding>${options.contentEncoding}</Content-Encoding>`,
    "<Content-Language /><Content-CRC64 />",
    blob.md5 === undefined ? "<Content-MD5 />" : `<Content-MD5>${blob.md5}</Content-MD5>`,
    "<Cache-Control /><Content-Disposition /><BlobType>BlockBlob</BlobType>",
    `<AccessTier>${options.tier ?? "Hot"}</AccessTier><ServerEncrypted>true</ServerEncrypted>`,
    `</Properties>${include.has("metadata") ? metadataXml(options.metadata ?? {}) : ""}<OrMetadata /></Blob>`,
  ].join("");
}

function nameXml(name: string): string {
  return /[\ufffe\uffff]/.test(name)
    ? `<Name Encoded="true">${encodeURIComponent(name)}</Name>`
    : `<Name>${escape(name)}</Name>`;
}

function metadataXml(metadata: Readonly<Record<string, string>>): string {
  const entries = Object.entries(metadata);
  if (entries.length === 0) return "<Metadata />";
  return `<Metadata>${entries.map(([name, value]) => `<${name}>${escape(value)}</${name}>`).join("")}</Metadata>`;
}

function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
