// What every HTTP answer with an object's bytes must say, whatever the store: how much there is and
// which part this is. Checks lengths; knows no scheme and judges no bytes.

import type { IncomingHttpHeaders } from "node:http";
import { Fault } from "../model/fault.js";
import type { ByteRange } from "../model/fetch.js";
import type { Transfer } from "./transfer.js";

/** Content-Length; undefined when there is none or it is no number. */
export function readLength(headers: IncomingHttpHeaders): number | undefined {
  const text = headers["content-length"];
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/** Content-Range with a known size; undefined for anything else. */
export function readRange(
  headers: IncomingHttpHeaders,
): { readonly range: ByteRange; readonly sizeBytes: number } | undefined {
  const match = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15})$/.exec(headers["content-range"] ?? "");
  if (match === null) return undefined;
  const [start, last, sizeBytes] = match.slice(1).map(Number) as [number, number, number];
  if (last < start || last >= sizeBytes) return undefined;
  return { range: { start, end: last + 1 }, sizeBytes };
}

/** An ETag without its quotes; a weak one keeps its `W/`. */
export function unquote(etag: string): string {
  return etag.replace(/^(W\/)?"(.*)"$/s, "$1$2");
}

/** Last-Modified in milliseconds since 1970; null when there is none or it is no date. */
export function readModified(headers: IncomingHttpHeaders): number | null {
  const modified = Date.parse(headers["last-modified"] ?? "");
  return Number.isNaN(modified) ? null : modified;
}

/** Retry-After in milliseconds, given as seconds or as a date; undefined when there is none. */
export function readRetryAfter(text: string | undefined, nowMs = Date.now()): number | undefined {
  if (text === undefined || text.trim() === "") return undefined;
  const seconds = Number(text);
  if (Number.isFinite(seconds)) return seconds < 0 ? undefined : seconds * 1_000;
  const atMs = Date.parse(text);
  return Number.isNaN(atMs) ? undefined : Math.max(0, atMs - nowMs);
}

/** True when `range` is the whole of an object of that size, or there is none. */
export function isWhole(range: ByteRange | null, sizeBytes: number | null): boolean {
  return range === null || (range.start === 0 && sizeBytes !== null && range.end >= sizeBytes);
}

export function rangeHeader(range: ByteRange | null): Record<string, string> {
  return range === null ? {} : { range: `bytes=${range.start}-${range.end - 1}` };
}

export interface Extent {
  readonly sizeBytes: number;
  readonly range: ByteRange;
}

/**
 * What the body holds and of how much; an answer to another question than `asked` is refused.
 * @param knownBytes The object's size for an answer that does not tell it.
 * @throws Fault `corrupt` for another range than asked, `unavailable` when no size is told.
 */
export function extentOf(
  { status, headers }: Pick<Transfer, "status" | "headers">,
  asked: ByteRange | null,
  knownBytes: number | null,
  subject: string,
): Extent {
  const length = readLength(headers);
  if (status === 200) {
    // Everything: nothing else was asked for, or the server has no ranges.
    const sizeBytes = length ?? knownBytes;
    if (sizeBytes !== null) return { sizeBytes, range: { start: 0, end: sizeBytes } };
    throw new Fault("unavailable", `The store did not tell the size of ${subject}`, { subject });
  }
  const got = readRange(headers);
  const right =
    got !== undefined &&
    asked !== null &&
    got.range.start === asked.start &&
    got.range.end === Math.min(asked.end, got.sizeBytes) &&
    (length === undefined || length === got.range.end - got.range.start);
  if (right) return got;
  throw new Fault(
    "corrupt",
    `The store answered with another range of ${subject} than asked: ` +
      `${headers["content-range"] ?? "none"}, ${length ?? "unknown"} bytes`,
    { subject },
  );
}

/**
 * The body of an answer, exactly `expectedBytes` of it.
 * @throws Fault `corrupt` when it is longer, `unavailable` when it ends before.
 */
export async function* bodyOf(
  transfer: Transfer,
  expectedBytes: number,
  subject: string,
): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  for (let chunk = await transfer.read(); chunk !== null; chunk = await transfer.read()) {
    bytes += chunk.length;
    if (bytes > expectedBytes) {
      throw new Fault(
        "corrupt",
        `The store sent more than the ${expectedBytes} bytes it promised of ${subject}`,
        { subject },
      );
    }
    yield chunk;
  }
  if (bytes < expectedBytes) {
    throw new Fault(
      "unavailable",
      `The transfer of ${subject} ended after ${bytes} of ${expectedBytes} bytes`,
      { subject },
    );
  }
}

const LONGEST_ERROR_BYTES = 65_536;

/** The text of an answer that is no success, cut where no error message is that long. */
export async function readText(transfer: Transfer): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for (let chunk = await transfer.read(); chunk !== null; chunk = await transfer.read()) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > LONGEST_ERROR_BYTES) break;
  }
  transfer.close();
  return Buffer.concat(chunks).toString("utf8");
}
