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
export function encodePin(pin: Pin): string {
  const { versionId, generation, snapshot, etag } = pin;
  if ([versionId, generation, snapshot, etag].every((part) => part === undefined)) return "";
  return JSON.stringify({ versionId, generation, snapshot, etag });
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
