// The status and the headers of an answer with an object's bytes, before any of them is sent.

import type { ServerResponse } from "node:http";
import type { Accident } from "./body.js";
import { contentRange, type ByteRange } from "./range.js";

/** Headers by name; one with "" is not sent. */
export type Headers = Readonly<Record<string, string | readonly string[]>>;

/**
 * Sets what tells which bytes come: `asked`, or all of them when that is null; and `headers`, which win
 * over that, as those of an accident win over them. Returns the bytes that are to be sent.
 */
export function announce(
  response: ServerResponse,
  asked: ByteRange | null,
  sizeBytes: number,
  headers: Headers,
  accident: Accident,
): ByteRange {
  const range = asked ?? { start: 0, end: sizeBytes };
  response.statusCode = asked === null ? 200 : 206;
  const all: Headers = {
    "content-length": String(range.end - range.start),
    ...contentRange(asked, sizeBytes),
    ...headers,
    ...accident.headers,
    ...(accident.longByBytes === undefined ? {} : { "content-length": "" }),
  };
  for (const [name, value] of Object.entries(all)) {
    if (value !== "") response.setHeader(name, value);
  }
  return range;
}
