// How a uri names an object of Google Cloud Storage: gs://bucket/key[#generation], also gcs://. Pure
// text: nothing is looked up.
//
// The key is spelled as in every object store's uri (see ../uri.ts). A raw "#" with nothing but digits
// behind it, up to the end, begins a generation, as gsutil and W&B write it; any other raw "#" is part
// of the key, so `gs://b/a#b` is the object "a#b" and the object "a#1" is written `gs://b/a%231`. What
// is listed always has the "#" of a key encoded, and never a generation: that is the pin's.

import { Fault } from "../../model/fault.js";
import { readKey, spellKey } from "../uri.js";

export interface GcsName {
  readonly bucket: string;
  /** Raw; "" names the whole bucket. */
  readonly key: string;
  /** Decimal digits; undefined when the uri names no generation. */
  readonly generation: string | undefined;
}

/**
 * Takes a uri apart.
 * @throws Fault `usage` for a query, a missing or impossible bucket, a generation of a prefix.
 */
export function parseGcsUri(uri: string): GcsName {
  const match = /^gc?s:\/\/([^/?#]*)(?:\/([^?]*?))?(?:#(\d{1,20}))?(\?.*)?$/is.exec(uri);
  const [, bucket = "", spelled = "", generation, query] = match ?? [];
  // A query may be a signed link's: it is not repeated in the message.
  const shown = uri.replace(/\?.*$/s, "");
  if (match === null || bucket === "") {
    throw new Fault("usage", `"${shown}" names no bucket: write gs://bucket/key`);
  }
  if (query !== undefined) {
    throw new Fault(
      "usage",
      `"${shown}?...": no query may follow a key; write a "?" in a key as %3F, a generation as #DIGITS`,
    );
  }
  if (!/^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$/.test(bucket)) {
    // A user's name and password may stand before an "@".
    const named = bucket.replace(/^.*@/, "");
    throw new Fault("usage", `"${named}" cannot be the name of a bucket of Google Cloud Storage`);
  }
  const key = readKey(spelled);
  if (generation !== undefined && (key === "" || key.endsWith("/"))) {
    throw new Fault("usage", `"${shown}": a generation belongs to one object, not to a prefix`);
  }
  return { bucket, key, generation };
}

/** The uri of exactly `key`, whatever its generation. */
export function formatGcsUri(bucket: string, key: string): string {
  return `gs://${bucket}/${spellKey(key)}`;
}

/** The uri with the generation that is meant, for people. */
export function describe(name: GcsName): string {
  const uri = formatGcsUri(name.bucket, name.key);
  return name.generation === undefined ? uri : `${uri}#${name.generation}`;
}
