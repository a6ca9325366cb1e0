// What makes an object *that* object: the version the store promises to give back, or an ETag that
// the store can be asked to match.

export interface Pin {
  /** S3 version id (may be "null": then it pins only together with `etag`), Azure version id. */
  readonly versionId?: string;
  /** GCS generation, decimal digits kept as a string. */
  readonly generation?: string;
  /** Azure snapshot, the time that names it. */
  readonly snapshot?: string;
  /** ETag without surrounding quotes; a weak one keeps its `W/` and pins nothing by itself. */
  readonly etag?: string;
}

export const NO_PIN: Pin = Object.freeze({});

/** The canonical text of a pin: JSON with the keys in one order; "" when nothing is pinned. */
export function encodePin({ versionId, generation, snapshot, etag }: Pin): string {
  let text = "";
  // By hand, which JSON.stringify of the whole would take three times as long for.
  if (versionId !== undefined) text += `,"versionId":${JSON.stringify(versionId)}`;
  if (generation !== undefined) text += `,"generation":${JSON.stringify(generation)}`;
  if (snapshot !== undefined) text += `,"snapshot":${JSON.stringify(snapshot)}`;
  if (etag !== undefined) text += `,"etag":${JSON.stringify(etag)}`;
  return text === "" ? "" : `{${text.slice(1)}}`;
}

export function decodePin(text: string): Pin {
  return text === "" ? NO_PIN : (JSON.parse(text) as Pin);
}

/** The version id when it names one version for ever; undefined for S3's reusable "null". */
export function immutableVersion(pin: Pin): string | undefined {
  return pin.versionId === "null" ? undefined : pin.versionId;
}

/** True when a fetch with this pin gets the pinned object or an error, never another object. */
export function pinsObject(pin: Pin): boolean {
  return (
    immutableVersion(pin) !== undefined ||
    pin.generation !== undefined ||
    pin.snapshot !== undefined ||
    (pin.etag !== undefined && !pin.etag.startsWith("W/"))
  );
}
