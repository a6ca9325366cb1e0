// How Weights & Biases spells references, scheme by scheme: from its entries to ours and back. Pure text:
// nothing is looked up.

import { createHash } from "node:crypto";
import type { Claim, Digests } from "../model/digest.js";
import { base64ToHex } from "../model/digest.js";
import type { Entry } from "../model/entry.js";
import { Fault } from "../model/fault.js";
import type { Pin } from "../model/pin.js";
import { NO_PIN } from "../model/pin.js";
import type { WandbEntry } from "../model/wandb-manifest.js";
import { formatAzureUri, isAzureUri, parseAzureUri } from "./azure/uri.js";
import { formatGcsUri } from "./gcs/uri.js";
import { unquote } from "./object-answer.js";
import { etagClaims } from "./s3/answer.js";
import { formatFileUri, formatS3Uri, parseFileUri, parseS3Uri } from "./uri.js";

/** Files that were uploaded to W&B are tracked under this scheme. */
const UPLOAD_SCHEME = "wandb-upload";
const BASE64_MD5 = /^[A-Za-z0-9+/]{22}==$/;

/** What an entry says of where its bytes are and which they are. */
type Known = Pick<Entry, "uri" | "pin" | "claims" | "digests">;

/** @throws Fault `usage` for a reference that cannot be one. */
export function fromWandbEntry(entry: WandbEntry): Entry {
  const { path, digest, ref, sizeBytes } = entry;
  const known = ref === null ? uploaded(entry) : referenced(entry, ref);
  // W&B writes 0 where it does not know.
  const unknownSize = sizeBytes === 0 && ref !== null && (digest === ref || isArtifact(ref));
  return {
    path,
    entryDigest: digest,
    ...known,
    sizeBytes: unknownSize ? null : sizeBytes,
    chunks: null,
    mtimeMs: null,
  };
}

function uploaded({ path, digest, birthArtifactId }: WandbEntry): Known {
  const uri = `${UPLOAD_SCHEME}://${birthArtifactId ?? "unknown"}/${path}`;
  return { uri, pin: NO_PIN, claims: [], digests: md5In(digest) };
}

function referenced(entry: WandbEntry, ref: string): Known {
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):\/\//.exec(ref)?.[1]?.toLowerCase();
  if (scheme === undefined) {
    throw new Fault("usage", `The reference of "${entry.path}" has no scheme: ${ref}`, {
      subject: entry.path,
    });
  }
  if (entry.digest === ref && scheme !== "file") return { ...unpinned(scheme, ref), digests: {} };
  const versionId = versionIn(entry);
  switch (scheme) {
    case "s3": {
      const etag = etagIn(entry) ?? entry.digest;
      const pin = versionId === undefined ? { etag } : { versionId, etag };
      return { uri: s3Uri(ref), pin, claims: etagClaims(etag), digests: {} };
    }
    case "gs": {
      const pin: Pin = versionId === undefined ? NO_PIN : { generation: versionId };
      const claims = Object.entries(md5In(entry.digest)).map(([, value]): Claim => ({
        algorithm: "md5",
        value,
        source: "checksum",
      }));
      return { uri: gcsUri(ref), pin, claims, digests: {} };
    }
    case "file":
      return fileEntry(entry, ref);
    case "http":
    case "https": {
      const etag = etagIn(entry) ?? entry.digest;
      if (!isAzureUri(ref, {})) return { uri: ref, pin: { etag }, claims: [], digests: {} };
      const pin = versionId === undefined ? { etag } : { versionId, etag };
      return { uri: azureUri(ref), pin, claims: [], digests: {} };
    }
    default:
      return { uri: ref, pin: NO_PIN, claims: [], digests: {} };
  }
}

function unpinned(scheme: string, ref: string): Omit<Known, "digests"> {
  const uri = scheme === "s3" ? s3Uri(ref) : scheme === "gs" ? gcsUri(ref) : ref;
  return { uri, pin: NO_PIN, claims: [] };
}

/** W&B's digest of a file is its MD5, or that of its uri where it was not to be read. */
function fileEntry({ digest }: WandbEntry, ref: string): Known {
  const ofUri = createHash("md5").update(ref).digest("base64");
  const digests = digest === ofUri ? {} : md5In(digest);
  return { uri: formatFileUri(filePath(ref)), pin: NO_PIN, claims: [], digests };
}

/** W&B decodes a file's uri, and writes those inside a directory without encoding them. */
function filePath(ref: string): string {
  try {
    return parseFileUri(ref);
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return parseFileUri(ref.replaceAll("%", "%25"));
  }
}

/** W&B writes keys as they are. */
function s3Uri(ref: string): string {
  const [, bucket = "", key = ""] = /^s3:\/\/([^/]*)\/?(.*)$/is.exec(ref) ?? [];
  const uri = formatS3Uri(bucket, key);
  parseS3Uri(uri);
  return uri;
}

function gcsUri(ref: string): string {
  const [, bucket = "", key = ""] = /^gs:\/\/([^/]*)\/?(.*)$/is.exec(ref) ?? [];
  return formatGcsUri(bucket, key);
}

function azureUri(ref: string): string {
  // What reads as an escape is a "%" of the name.
  const place = parseAzureUri(ref.replace(/%(?=[0-9A-Fa-f]{2})/g, "%25"), {});
  return formatAzureUri(place, place.blob);
}

function md5In(digest: string): Digests {
  return BASE64_MD5.test(digest) ? { md5: base64ToHex(digest) } : {};
}

function etagIn({ extra }: WandbEntry): string | undefined {
  const { etag } = extra;
  return typeof etag === "string" && etag !== "" ? unquote(etag) : undefined;
}

/** A version id, or a generation, which W&B writes as a number. */
function versionIn({ extra }: WandbEntry): string | undefined {
  const { versionID } = extra;
  if (typeof versionID === "number" && Number.isSafeInteger(versionID)) return String(versionID);
  return typeof versionID === "string" && versionID !== "" ? versionID : undefined;
}

function isArtifact(ref: string): boolean {
  return /^wandb-(?:client-)?artifact:\/\//i.test(ref);
}

/** The member of `contents` that W&B would have written of the same object. */
export function toWandbEntry(entry: Entry): Readonly<Record<string, unknown>> {
  const { entryDigest: digest, sizeBytes, uri, pin } = entry;
  const size = sizeBytes === null ? {} : { size: sizeBytes };
  const upload = new RegExp(`^${UPLOAD_SCHEME}://([^/]*)/`).exec(uri)?.[1];
  if (upload !== undefined) return { digest, birthArtifactID: upload, ...size };
  const ref = wandbRef(uri);
  const extra = digest === ref || digest === uri ? {} : extraOf(uri, pin);
  return {
    digest: digest === uri ? ref : digest,
    ref,
    ...size,
    ...(Object.keys(extra).length === 0 ? {} : { extra }),
  };
}

function wandbRef(uri: string): string {
  if (!/^s3:/i.test(uri)) return uri;
  const { bucket, key } = parseS3Uri(uri);
  return `s3://${bucket}/${key}`;
}

function extraOf(uri: string, { versionId, generation, etag }: Pin): Record<string, unknown> {
  if (/^gs:/i.test(uri)) return generation === undefined ? {} : { versionID: numberOr(generation) };
  if (/^file:/i.test(uri) || etag === undefined) return {};
  const quoted = /^https?:/i.test(uri) && !isAzureUri(uri, {});
  return {
    etag: quoted ? etag.replace(/^(W\/)?(.*)$/s, '$1"$2"') : etag,
    ...(versionId === undefined || versionId === "null" ? {} : { versionID: versionId }),
  };
}

function numberOr(generation: string): number | string {
  const number = Number(generation);
  return Number.isSafeInteger(number) ? number : generation;
}
