// Asks S3 in which parts an object was written: its multipart ETag and composite checksums are made of
// them. Hashes and compares nothing.

import type { ObjectAttributes } from "@aws-sdk/client-s3";
import { GetObjectAttributesCommand } from "@aws-sdk/client-s3";
import type { Entry } from "../../model/entry.js";
import type { Parts } from "../../model/fetch.js";
import { readLength, unquote } from "../object-answer.js";
import type { S3Connection } from "./connection.js";
import { Refused } from "./connection.js";
import type { ObjectRequest } from "./sign.js";

/** HEAD requests in flight at once for the parts of one object. */
const MAX_HEADS = 16;

/** What to ask about: the object as the GET asks for it, conditions and all. */
export type PartsRequest = Omit<ObjectRequest, "method" | "partNumber">;

/** The first part, as a HEAD for it tells. */
export interface FirstPart {
  readonly count: number;
  readonly bytes: number;
}

/**
 * True when the parts of `entry` must be known to check it: the listing has claims over parts, and
 * nothing better.
 */
export function needsParts({ claims, digests }: Entry): boolean {
  return (
    Object.keys(digests).length === 0 &&
    claims.some(({ ofParts }) => ofParts === true) &&
    !claims.some(({ source, ofParts }) => source === "checksum" && ofParts !== true)
  );
}

/**
 * The first part; null when the server does not tell: it refuses the question, or answers with the
 * whole object as one that does not know it.
 * @throws Fault `unavailable` or `denied` (TLS); the signal's reason.
 */
export async function firstPart(
  connection: S3Connection,
  { claims, sizeBytes }: Entry,
  request: PartsRequest,
  signal: AbortSignal,
): Promise<FirstPart | null> {
  // An object of a single part is that part: nobody needs to be asked.
  const single = claims.some(({ ofParts, value }) => ofParts === true && value?.endsWith("-1"));
  if (single && sizeBytes !== null) return { count: 1, bytes: sizeBytes };
  return headPart(connection, request, 1, signal);
}

/** The parts of an object of `sizeBytes`, whose first one is known. */
export function partsOf(
  connection: S3Connection,
  request: PartsRequest,
  { first, entry, sizeBytes }: { first: FirstPart; entry: Entry; sizeBytes: number },
): Parts {
  return {
    count: first.count,
    firstBytes: first.bytes,
    async sizes(signal, onProgress) {
      // Only with an additional checksum S3 keeps a list of the parts.
      const listed = entry.claims.some(({ source }) => source === "checksum")
        ? await listParts(connection, request, entry.pin.etag, { signal, onProgress })
        : null;
      const sizes = listed ?? (await headParts(connection, request, first, { signal, onProgress }));
      const complete =
        sizes?.length === first.count &&
        sizes.reduce((total, bytes) => total + bytes, 0) === sizeBytes;
      return complete ? sizes : null;
    },
  };
}

interface Watch {
  readonly signal: AbortSignal;
  readonly onProgress: () => void;
}

async function headPart(
  connection: S3Connection,
  request: PartsRequest,
  partNumber: number,
  signal: AbortSignal,
): Promise<FirstPart | null> {
  try {
    const transfer = await connection.request({ method: "HEAD", ...request, partNumber }, signal);
    transfer.close();
    const count = transfer.headers["x-amz-mp-parts-count"];
    const bytes = readLength(transfer.headers);
    if (typeof count !== "string" || !/^[1-9]\d{0,4}$/.test(count)) return null;
    return bytes === undefined ? null : { count: Number(count), bytes };
  } catch (error) {
    if (error instanceof Refused) return null;
    throw error;
  }
}

/** The sizes by one HEAD a part; null when one of them does not tell, or tells of other parts. */
async function headParts(
  connection: S3Connection,
  request: PartsRequest,
  first: FirstPart,
  { signal, onProgress }: Watch,
): Promise<readonly number[] | null> {
  const sizes = new Array<number>(first.count).fill(first.bytes);
  const stop = new AbortController();
  const any = AbortSignal.any([signal, stop.signal]);
  const numbers = Array.from({ length: first.count - 1 }, (_, index) => index + 2).values();
  const untold: number[] = [];
  const work = async (): Promise<void> => {
    for (const number of numbers) {
      const part = await headPart(connection, request, number, any);
      if (part?.count === first.count) sizes[number - 1] = part.bytes;
      else untold.push(number);
      // One that is not told spoils them all.
      if (untold.length > 0) return;
      onProgress();
    }
  };
  try {
    await Promise.all(Array.from({ length: MAX_HEADS }, work));
  } finally {
    stop.abort();
  }
  return untold.length === 0 ? sizes : null;
}

/** The sizes by GetObjectAttributes, which needs a right of its own; null where that is refused. */
async function listParts(
  connection: S3Connection,
  { bucket, key, versionId }: PartsRequest,
  etag: string | undefined,
  { signal, onProgress }: Watch,
): Promise<readonly number[] | null> {
  const sizes: number[] = [];
  let marker: string | undefined;
  try {
    for (;;) {
      const input = {
        Bucket: bucket,
        Key: key,
        ObjectAttributes: ["ETag", "ObjectParts"] satisfies ObjectAttributes[],
        ...(versionId === undefined ? {} : { VersionId: versionId }),
        ...(marker === undefined ? {} : { PartNumberMarker: marker }),
      };
      const answer = await connection.command(
        {
          bucket,
          permission: "s3:GetObjectVersionAttributes",
          send: (client, payer) =>
            client.send(new GetObjectAttributesCommand({ ...input, ...payer }), {
              abortSignal: signal,
            }),
        },
        signal,
      );
      onProgress();
      // This request takes no condition: the answer may be about another object.
      if (etag !== undefined && unquote(answer.ETag ?? "") !== etag) return null;
      for (const { Size } of answer.ObjectParts?.Parts ?? []) {
        if (Size === undefined) return null;
        sizes.push(Size);
      }
      if (answer.ObjectParts?.IsTruncated !== true) return sizes.length === 0 ? null : sizes;
      const next = answer.ObjectParts.NextPartNumberMarker;
      if (next === undefined || next === marker) return null;
      marker = next;
    }
  } catch (error) {
    if (error instanceof Refused) return null;
    throw error;
  }
}
