// Takes the rows out of a listing's XML before the SDK reads it. They are nearly all of the answer, and the
// SDK's reader takes ten times as long for them, which is what bounds logging. What is left, the paging and any
// error, the SDK reads; so it does with rows that are not written plainly.

import type { MiddlewareStack } from "@smithy/types";

/** One row, unescaped: the text of its elements. */
export interface RawRow {
  readonly element: RowElement;
  key: string;
  versionId: string | undefined;
  isLatest: boolean;
  sizeBytes: number;
  /** As it came, with its quotes. */
  etag: string;
  mtimeMs: number | null;
  readonly checksumAlgorithms: string[];
  checksumType: string | undefined;
}

export type RowElement = "Version" | "DeleteMarker" | "Contents";

/** What of an HTTP answer is needed here. */
interface Answer {
  readonly statusCode: number;
  body: unknown;
}

const ROW = /<(\/?)(Version|DeleteMarker|Contents)\b([^>]*)>/g;
const FIELD =
  /<(Key|VersionId|IsLatest|Size|ETag|LastModified|ChecksumAlgorithm|ChecksumType)>([^<]*)<\/\1>/g;

/** Adds to a listing command what fills `rows` when its answer comes. */
export function takeRows<Input extends object, Output extends object>(
  { middlewareStack }: { readonly middlewareStack: MiddlewareStack<Input, Output> },
  rows: RawRow[],
): void {
  middlewareStack.add(
    (next) => async (args) => {
      const result = await next(args);
      const answer = result.response as Answer;
      if (answer.statusCode === 200) {
        answer.body = Buffer.from(splitRows(await textOf(answer.body), rows));
      }
      return result;
    },
    // Low is nearest to the connection: before the SDK's own reader gets the answer.
    { step: "deserialize", priority: "low", name: "takeRows" },
  );
}

/**
 * Appends the rows of `xml` to `rows` and returns what is left of it: all of it, and no rows, where one
 * is not written plainly (attributes, CDATA, comments, a missing end).
 */
export function splitRows(xml: string, rows: RawRow[]): string {
  const found: RawRow[] = [];
  if (xml.includes("<!")) return xml;
  const kept: string[] = [];
  let last = 0;
  ROW.lastIndex = 0;
  for (let open = ROW.exec(xml); open !== null; open = ROW.exec(xml)) {
    const [, slash, element, attributes] = open;
    const end = `</${element ?? ""}>`;
    const close = xml.indexOf(end, ROW.lastIndex);
    if (slash !== "" || attributes !== "" || close < 0) return xml;
    kept.push(xml.slice(last, open.index));
    found.push(readRow(element as RowElement, xml.slice(ROW.lastIndex, close)));
    last = close + end.length;
    ROW.lastIndex = last;
  }
  for (const row of found) rows.push(row);
  kept.push(xml.slice(last));
  return kept.join("");
}

function readRow(element: RowElement, xml: string): RawRow {
  const row: RawRow = {
    element,
    key: "",
    versionId: undefined,
    isLatest: element === "Contents",
    sizeBytes: 0,
    etag: "",
    mtimeMs: null,
    checksumAlgorithms: [],
    checksumType: undefined,
  };
  for (const [, name, text = ""] of xml.matchAll(FIELD)) {
    const value = unescape(text);
    switch (name) {
      case "Key":
        row.key = value;
        break;
      case "VersionId":
        row.versionId = value;
        break;
      case "IsLatest":
        row.isLatest = value === "true";
        break;
      case "Size":
        row.sizeBytes = Number(value);
        break;
      case "ETag":
        row.etag = value;
        break;
      case "LastModified":
        row.mtimeMs = readTime(value);
        break;
      case "ChecksumAlgorithm":
        row.checksumAlgorithms.push(value);
        break;
      default:
        row.checksumType = value;
    }
  }
  return row;
}

function readTime(text: string): number | null {
  const timeMs = Date.parse(text);
  return Number.isNaN(timeMs) ? null : timeMs;
}

const ENTITY = /&(?:#x([0-9A-Fa-f]{1,6})|#([0-9]{1,7})|(amp|lt|gt|quot|apos));/g;
const NAMED: Readonly<Record<string, string>> = {
  amp: "&",
  lt: "<",
  gt: ">",
  quot: '"',
  apos: "'",
};

function unescape(text: string): string {
  if (!text.includes("&")) return text;
  return text.replace(ENTITY, (all: string, hex?: string, decimal?: string, name?: string) => {
    if (name !== undefined) return NAMED[name] ?? all;
    const code = hex === undefined ? Number(decimal) : Number.parseInt(hex, 16);
    return code <= 0x10ffff ? String.fromCodePoint(code) : all;
  });
}

async function textOf(body: unknown): Promise<string> {
  const pieces: Uint8Array[] = [];
  for await (const piece of body as AsyncIterable<Uint8Array>) pieces.push(piece);
  return Buffer.concat(pieces).toString("utf8");
}
