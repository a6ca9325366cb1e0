// What the headers of an HTTP answer say of the object: its ETag, its encoding, its length when they
// do not tell it. Judges nothing.

import type { IncomingHttpHeaders } from "node:http";
import type { Pin } from "../../model/pin.js";
import { NO_PIN } from "../../model/pin.js";
import { unquote } from "../object-answer.js";
import type { Transfer } from "../transfer.js";

type Headers = Pick<IncomingHttpHeaders, "etag" | "content-encoding">;

const STRONG = /^"[^"]+"$/;
const WEAK = /^W\/"[^"]+"$/;

/** The ETag without its quotes when the server can be asked to match it: strong, and well formed. */
export function strongEtag({ etag }: Headers): string | undefined {
  return etag !== undefined && STRONG.test(etag) ? unquote(etag) : undefined;
}

/** The ETag as a pin; a weak one keeps its `W/`, and one that is none pins nothing. */
export function pinOf({ etag }: Headers): Pin {
  return etag !== undefined && (STRONG.test(etag) || WEAK.test(etag))
    ? { etag: unquote(etag) }
    : NO_PIN;
}

/** What Weights & Biases records of an ETag: quotes at both ends go, so a weak one keeps its first. */
export function wandbDigest({ etag }: Headers): string | undefined {
  const stripped = etag?.replace(/^"+|"+$/g, "");
  return stripped === "" ? undefined : stripped;
}

/** Content-Encoding, when it is not the identity that was asked for. */
export function encodingOf(headers: Headers): string | undefined {
  const encoding = headers["content-encoding"]?.trim().toLowerCase();
  return encoding === "" || encoding === "identity" ? undefined : encoding;
}

/** Reads a body to its end and keeps nothing of it. */
export async function countBytes(transfer: Transfer): Promise<number> {
  let bytes = 0;
  for (let chunk = await transfer.read(); chunk !== null; chunk = await transfer.read()) {
    bytes += chunk.length;
  }
  return bytes;
}
