// What S3 tells of the parts in which an object was written: requests for one part, and
// GetObjectAttributes. Knows no sockets.

import type { IncomingHttpHeaders } from "node:http";
import { blocks } from "../double/content.js";
import type { Part, Version } from "./bucket.js";
import { checksum } from "./checksum.js";
import { document } from "./listing.js";

/** How a server answers requests that name a part. */
export type PartNumbers =
  /** As S3 does. */
  | "answered"
  /** With the whole object, as servers do that do not know them. */
  | "ignored"
  /** With 501. */
  | "refused"
  /** For the first part as S3 does, for the others with 501. */
  | "first only";

export type AskedPart =
  | { readonly kind: "whole" }
  | { readonly kind: "refused"; readonly status: number; readonly code: string }
  | { readonly kind: "part"; readonly range: Part; readonly headers: Record<string, string> };

/** What a request with `partNumber` is about. */
export function askedPart(
  version: Version,
  partNumber: number | undefined,
  habit: PartNumbers,
): AskedPart {
  if (partNumber === undefined || habit === "ignored") return { kind: "whole" };
  if (habit === "refused" || (habit === "first only" && partNumber > 1)) {
    return { kind: "refused", status: 501, code: "NotImplemented" };
  }
  const { parts, content } = version;
  // An object that was written at once has one part, and is not said to have any.
  const range = (parts ?? [{ start: 0, end: content.sizeBytes }])[partNumber - 1];
  if (range === undefined) return { kind: "refused", status: 416, code: "InvalidPartNumber" };
  return {
    kind: "part",
    range,
    headers: parts === undefined ? {} : { "x-amz-mp-parts-count": String(parts.length) },
  };
}

/** The answer to GetObjectAttributes for the attributes ETag and ObjectParts. */
export function attributesXml(version: Version, headers: IncomingHttpHeaders): string {
  const asked = String(headers["x-amz-object-attributes"] ?? "").split(/, */);
  return document("GetObjectAttributesResponse", [
    ...(asked.includes("ETag") ? [`<ETag>${version.etag}</ETag>`] : []),
    ...(asked.includes("ObjectParts") && version.parts !== undefined
      ? [objectParts(version, version.parts, headers)]
      : []),
  ]);
}

function objectParts(
  version: Version,
  parts: readonly Part[],
  headers: IncomingHttpHeaders,
): string {
  const count = `<PartsCount>${parts.length}</PartsCount>`;
  // Without an additional checksum S3 tells their number only.
  const sum = version.checksum;
  if (sum === undefined) return `<ObjectParts>${count}</ObjectParts>`;
  const after = Number(headers["x-amz-part-number-marker"] ?? 0);
  const max = Math.min(1_000, Number(headers["x-amz-max-parts"] ?? 1_000));
  const page = [...parts.entries()].slice(after, after + max);
  const truncated = after + page.length < parts.length;
  const rows = page.map(([index, { start, end }]) => {
    const value = checksum(sum.algorithm, blocks(version.content, start, end)).toString("base64");
    const name = `Checksum${sum.algorithm}`;
    return `<Part><PartNumber>${index + 1}</PartNumber><Size>${end - start}</Size><${name}>${value}</${name}></Part>`;
  });
  const next = after + page.length;
  return `<ObjectParts>${count}<MaxParts>${max}</MaxParts><PartNumberMarker>${after}</PartNumberMarker><NextPartNumberMarker>${next}</NextPartNumberMarker><IsTruncated>${truncated}</IsTruncated>${rows.join("")}</ObjectParts>`;
}
