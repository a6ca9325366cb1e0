// Entries and folders for tests of the registry.

import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Entry } from "../../src/model/entry.js";
import { ManifestWriter } from "../../src/registry/manifest-writer.js";
import type { SealedManifest } from "../../src/registry/manifest-meta.js";

/** A temporary folder that goes with its scope. */
export class Folder implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "refmount-test-"));

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true });
  }
}

/** An entry as a listing of S3 gives it, its values made up from its path. */
export function anEntry(path: string, differences: Partial<Entry> = {}): Entry {
  const etag = createHash("md5").update(path).digest("hex");
  return {
    path,
    sizeBytes: path.length,
    entryDigest: etag,
    uri: `s3://bucket/${path}`,
    pin: { versionId: `version-${path.length}`, etag },
    digests: {},
    claims: [{ algorithm: "md5", value: etag, source: "etag" }],
    chunks: null,
    mtimeMs: 1_600_000_000_000 + path.length,
    ...differences,
  };
}

/** Seals a manifest of these entries. */
export function seal(manifestsDir: string, entries: Iterable<Entry>): SealedManifest {
  using writer = ManifestWriter.create(manifestsDir);
  for (const entry of entries) writer.add(entry);
  return writer.seal();
}
