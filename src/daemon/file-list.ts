// The list that `--ref @FILE` names: UTF-8 text, one object a line, fields separated by TABs.
//
//   URI [TAB digest [TAB path]]
//
// URI     what `--ref` takes, but for a list; it names exactly one object
// digest  sha256:HEX or sha256-BASE64, likewise md5, sha1, crc64nvme, crc32c, crc32; "" or - for none
// path    where the object goes, below the path of the list; without it, the name the store gives
//
// Blank lines and lines that begin with "#" are skipped; lines end with LF or CRLF. Messages name the
// line and repeat nothing of it: a uri may be a signed one. Parses only; looks nothing up.

import { isUtf8 } from "node:buffer";
import { parseDigest, type GivenDigest } from "../model/digest-text.js";
import { Fault } from "../model/fault.js";

export interface ListLine {
  /** From 1. */
  readonly number: number;
  readonly uri: string;
  readonly digest: GivenDigest | null;
  readonly path: string | null;
}

/** The longest uri that servers take is 8 KiB, the longest path 4 KiB. */
const MAX_LINE_BYTES = 65_536;
const NEWLINE = 0x0a;
const BYTE_ORDER_MARK = "\ufeff";

/**
 * The lines of a list that name something, in bounded memory.
 * @param name how messages call the list.
 * @throws Fault `usage`, `NAME:LINE: ...`, for a line that is none.
 */
export async function* readList(
  bytes: AsyncIterable<Uint8Array>,
  name: string,
): AsyncGenerator<ListLine> {
  let number = 0;
  for await (const texts of linesOf(bytes, name)) {
    for (const text of texts) {
      number += 1;
      const line = parseLine(text, number, name);
      if (line !== null) yield line;
    }
  }
}

/** `fault` as it is told of a line of a list. */
export function atLine(name: string, number: number, fault: Fault): Fault {
  const { kind, message, subject } = fault;
  return new Fault(kind, `${name}:${number}: ${message}`, {
    ...(subject === undefined ? {} : { subject }),
    cause: fault,
  });
}

function parseLine(text: string, number: number, name: string): ListLine | null {
  const line = text.endsWith("\r") ? text.slice(0, -1) : text;
  if (line.startsWith("#") || line.trim() === "") return null;
  try {
    return { number, ...parseFields(line.split("\t")) };
  } catch (error) {
    throw error instanceof Fault ? atLine(name, number, error) : error;
  }
}

function parseFields(fields: readonly string[]): Omit<ListLine, "number"> {
  const [uri = "", digest = "", path = ""] = fields;
  if (fields.length > 3) {
    throw new Fault(
      "usage",
      "A line has at most three fields, separated by TABs: URI, digest, path",
    );
  }
  if (!/^[A-Za-z][A-Za-z0-9+.-]*:\/\//.test(uri)) {
    throw new Fault("usage", "The first field is no URI; a local file is file:///path");
  }
  if (path.includes("://")) {
    throw new Fault("usage", "The third field is a URI where the path of an entry belongs");
  }
  return {
    uri,
    digest: digest === "" || digest === "-" ? null : parseDigest(digest),
    path: path === "" ? null : path,
  };
}

/** The lines of each piece that was read, without their LF. */
async function* linesOf(
  bytes: AsyncIterable<Uint8Array>,
  name: string,
): AsyncGenerator<readonly string[]> {
  let number = 0;
  let rest: Uint8Array = new Uint8Array();
  for await (const piece of bytes) {
    const block = rest.length === 0 ? piece : Buffer.concat([rest, piece]);
    const end = block.lastIndexOf(NEWLINE) + 1;
    rest = block.subarray(end);
    if (rest.length > MAX_LINE_BYTES) throw tooLong(name, number + count(block) + 1);
    if (end === 0) continue;
    const lines = decode(block.subarray(0, end - 1), number, name);
    number += lines.length;
    yield lines;
  }
  if (rest.length > 0) yield decode(rest, number, name);
}

function decode(block: Uint8Array, before: number, name: string): string[] {
  const buffer = Buffer.from(block.buffer, block.byteOffset, block.byteLength);
  if (!isUtf8(block)) throw notUtf8(buffer, before, name);
  const lines = buffer.toString("utf8").split("\n");
  if (before === 0 && lines[0]?.startsWith(BYTE_ORDER_MARK) === true) lines[0] = lines[0].slice(1);
  return lines;
}

function notUtf8(block: Buffer, before: number, name: string): Fault {
  let number = before;
  let start = 0;
  for (;;) {
    number += 1;
    const end = block.indexOf(NEWLINE, start);
    if (end < 0 || !isUtf8(block.subarray(start, end))) break;
    start = end + 1;
  }
  return atLine(name, number, new Fault("usage", "The line is not valid UTF-8"));
}

function tooLong(name: string, number: number): Fault {
  return atLine(name, number, new Fault("usage", `The line is over ${MAX_LINE_BYTES} bytes`));
}

function count(block: Uint8Array): number {
  let lines = 0;
  for (let at = block.indexOf(NEWLINE); at >= 0; at = block.indexOf(NEWLINE, at + 1)) lines += 1;
  return lines;
}
