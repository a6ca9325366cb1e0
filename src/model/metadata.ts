// Metadata and tags of a version: the rules that W&B users rely on.

import { Fault } from "./fault.js";

export const MAX_METADATA_KEYS = 100;

export type Json =
  null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
export type Metadata = Readonly<Record<string, Json>>;

/**
 * Checks metadata and returns a plain copy: NaN becomes null, as W&B does.
 * @throws Fault `usage` for anything but an object, over 100 keys, or an infinite number.
 */
export function checkMetadata(value: unknown): Metadata {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new Fault("usage", "Metadata must be a JSON object");
  }
  const keys = Object.keys(value);
  if (keys.length > MAX_METADATA_KEYS) {
    throw new Fault(
      "usage",
      `Metadata has at most ${MAX_METADATA_KEYS} keys at the top; this has ${keys.length}`,
    );
  }
  return normalise(value, "metadata") as Metadata;
}

/** Parses metadata from JSON text; `NaN` and `Infinity`, which Python writes, get the same rules. */
export function parseMetadata(text: string): Metadata {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new Fault("usage", `Metadata is not JSON: ${(cause as Error).message}`, { cause });
  }
  return checkMetadata(value);
}

const TAG = /^[-\w]+( +[-\w]+)*$/;

/** @throws Fault `usage` unless every tag is words of letters, digits, "_" and "-". */
export function checkTags(tags: readonly string[]): readonly string[] {
  for (const tag of tags) {
    if (!TAG.test(tag)) {
      throw new Fault(
        "usage",
        `Tag "${tag}" is not allowed: letters, digits, hyphens, underscores and single spaces within`,
      );
    }
  }
  return [...new Set(tags)];
}

function normalise(value: unknown, where: string): Json {
  if (value === null || typeof value === "boolean" || typeof value === "string") return value;
  if (typeof value === "number") {
    if (Number.isNaN(value)) return null;
    if (!Number.isFinite(value)) {
      throw new Fault("usage", `Infinity is not allowed in metadata (at ${where})`);
    }
    return value;
  }
  if (Array.isArray(value))
    return value.map((item, index) => normalise(item, `${where}[${index}]`));
  if (typeof value === "object") {
    return Object.fromEntries(
      Object.entries(value)
        .filter(([, item]) => item !== undefined)
        .map(([key, item]) => [key, normalise(item, `${where}.${key}`)]),
    );
  }
  throw new Fault("usage", `Metadata holds something that JSON cannot (at ${where})`);
}
