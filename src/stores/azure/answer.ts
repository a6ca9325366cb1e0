// Reads what Azure says of a blob's bytes. Pure.
//
// Content-MD5 is checked by Azure when a blob is written at once; for one written in blocks it is
// whatever the writer said, and may be missing or, after a mistake, wrong. It counts as a checksum of
// the provider all the same: bytes that do not match it are corrupt, because nothing tells a writer's
// mistake from damage. Whoever wrote a wrong one mends it by setting the blob's property, or logs with
// --no-checksum.

import type { IncomingHttpHeaders } from "node:http";
import type { Claim } from "../../model/digest.js";
import { base64ToHex } from "../../model/digest.js";

/** The MD5 of the whole blob, lower-case hex; undefined when the blob has none. */
export function readMd5(headers: IncomingHttpHeaders): string | undefined {
  // An answer to a range may tell the MD5 of that range in Content-MD5.
  const partial = headers["content-range"] !== undefined;
  const whole = headers["x-ms-blob-content-md5"] ?? (partial ? undefined : headers["content-md5"]);
  if (typeof whole !== "string" || !/^[A-Za-z0-9+/]{22}==$/.test(whole)) return undefined;
  return base64ToHex(whole);
}

export function md5Claims(md5: string | undefined): readonly Claim[] {
  return md5 === undefined ? [] : [{ algorithm: "md5", value: md5, source: "checksum" }];
}
