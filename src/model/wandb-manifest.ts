// Weights & Biases' manifest format, version 1, as its Python and its Go code write it: the shape of its
// entries. What a reference means is the stores' business.

import { Fault } from "./fault.js";

/** One member of `contents`. */
export interface WandbEntry {
  readonly path: string;
  readonly digest: string;
  /** Where it is; null for a file that was uploaded to W&B. */
  readonly ref: string | null;
  /** Null when it was not recorded. */
  readonly sizeBytes: number | null;
  readonly extra: Readonly<Record<string, unknown>>;
  /** Of an uploaded file: the artifact that it was uploaded with. */
  readonly birthArtifactId: string | null;
}

export const WANDB_MANIFEST_VERSION = 1;
export const WANDB_STORAGE_POLICY = "wandb-storage-policy-v1";

/**
 * Reads one entry; keys that are not known are ignored, as W&B does.
 * @throws Fault `usage` for a member that has not the form of an entry.
 */
export function readWandbEntry(path: string, value: unknown): WandbEntry {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw malformed(path, "it is no object");
  }
  const { digest, ref, size, extra, birthArtifactID } = value as Record<string, unknown>;
  if (typeof digest !== "string" || digest === "") throw malformed(path, "it has no digest");
  if (!isTextOrMissing(ref)) throw malformed(path, "its ref is no text");
  if (!isTextOrMissing(birthArtifactID)) throw malformed(path, "its birthArtifactID is no text");
  const sizeBytes = size ?? null;
  if (sizeBytes !== null && !isSize(sizeBytes))
    throw malformed(path, "its size is no number of bytes");
  const extras = extra ?? {};
  if (typeof extras !== "object" || Array.isArray(extras))
    throw malformed(path, "its extra is no object");
  return {
    path,
    digest,
    ref: ref ?? null,
    sizeBytes,
    extra: extras as Record<string, unknown>,
    birthArtifactId: birthArtifactID ?? null,
  };
}

/** @throws Fault `usage` for a version or a storage policy that is not known. */
export function checkWandbHead(head: ReadonlyMap<string, unknown>): void {
  if (!head.has("version")) {
    throw new Fault("usage", "Invalid manifest format: it has no version");
  }
  if (head.get("version") !== WANDB_MANIFEST_VERSION) {
    throw new Fault(
      "usage",
      `Invalid manifest version ${JSON.stringify(head.get("version"))}: only 1 is known`,
    );
  }
  const policy = head.get("storagePolicy");
  if (policy !== undefined && policy !== WANDB_STORAGE_POLICY) {
    throw new Fault("usage", `The storage policy ${JSON.stringify(policy)} is not known`);
  }
  if (!head.has("contents"))
    throw new Fault("usage", "Invalid manifest format: it has no contents");
}

function isTextOrMissing(value: unknown): value is string | null | undefined {
  return value === undefined || value === null || typeof value === "string";
}

function isSize(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function malformed(path: string, why: string): Fault {
  return new Fault("usage", `The manifest's entry ${JSON.stringify(path)} is malformed: ${why}`, {
    subject: path,
  });
}
