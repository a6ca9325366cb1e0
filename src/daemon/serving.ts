// One mount's upcalls: finds the entry of a node in the manifest, has the cache fill it, and remembers
// what went wrong. This is where registry, stores and cache meet behind the kernel.

import type { Cache, CacheUse } from "../cache/cache.js";
import { assuranceOf, satisfies } from "../model/assurance.js";
import { encodeDigests, type Digests } from "../model/digest.js";
import type { Entry } from "../model/entry.js";
import { Fault } from "../model/fault.js";
import type { Fetch } from "../model/fetch.js";
import { encodePin } from "../model/pin.js";
import type { LentBlob, Upcalls } from "../mount/driver.js";
import type { Manifest } from "../registry/manifest.js";
import { NodeFaults, type FaultLog } from "./fault-log.js";
import type { MountRecord } from "./protocol.js";

export interface ServingOptions {
  readonly record: MountRecord;
  readonly manifest: Manifest;
  readonly cache: Cache;
  readonly use: CacheUse;
  readonly fetch: Fetch;
  readonly faults: FaultLog;
  /** Gets what is no expected failure. */
  readonly onBug: (error: unknown) => void;
}

export function serveUpcalls(options: ServingOptions): Upcalls {
  const { record, manifest, use } = options;
  const failed = new NodeFaults();
  // What a fill taught beyond the manifest: shown in the attributes of the file.
  const filled = new Map<number, { readonly sha256: string; readonly assurance: string }>();

  const fill = async (node: number): Promise<LentBlob> => {
    failed.throwFresh(node);
    let entry: Entry | null = null;
    try {
      entry = manifest.entry(node);
      const blob = await use.fill(entry, {
        fetch: options.fetch,
        timeoutMs: record.timeoutMs,
        // Nobody checks a passthrough read, so its blob is checked whole before it is opened.
        rehash: record.io === "passthrough",
      });
      if (!satisfies(blob.assurance, record.require)) {
        blob[Symbol.dispose]();
        throw new Fault(
          "usage",
          `${entry.uri} turned out to be assured by "${blob.assurance}" only, and the mount requires ` +
            `"${record.require}"; log it with --hash`,
          { subject: entry.uri },
        );
      }
      failed.forget(node);
      filled.set(node, { sha256: blob.sha256, assurance: blob.assurance });
      return blob;
    } catch (error) {
      failed.remember(node, error);
      note(entry, error);
      throw error;
    }
  };

  const note = (entry: Entry | null, error: unknown): void => {
    if (!(error instanceof Fault)) options.onBug(error);
    const subject = error instanceof Fault ? (error.subject ?? entry?.uri) : entry?.uri;
    options.faults.add({
      at: new Date().toISOString(),
      mount: record.ref,
      path: entry?.path ?? "",
      kind: error instanceof Fault ? error.kind : "bug",
      message: error instanceof Error ? error.message : String(error),
      ...(subject === undefined ? {} : { subject }),
    });
  };

  const attribute = (node: number, name: string): string | undefined => {
    if (name === "user.refmount.error") return failed.messageOf(node);
    const entry = manifest.entry(node);
    switch (name) {
      case "user.refmount.uri":
        return entry.uri;
      case "user.refmount.pin":
        return encodePin(entry.pin);
      case "user.refmount.digest":
        return encodeDigests(knownDigests(entry)) || entry.entryDigest;
      case "user.refmount.sha256":
        // Listed for every file, so it is there before it is known: then it is empty.
        return entry.digests.sha256 ?? filled.get(node)?.sha256 ?? "";
      case "user.refmount.assurance":
        return filled.get(node)?.assurance ?? assuranceOf(entry);
      default:
        return undefined;
    }
  };

  return {
    fill,
    xattr: (node, name) => {
      const value = attribute(node, name);
      return Promise.resolve(value === undefined ? null : Buffer.from(value));
    },
    damaged: (node, sha256) => {
      filled.delete(node);
      options.cache.damaged(sha256);
    },
  };
}

/** What was hashed when logging, else what the store claims. */
function knownDigests(entry: Entry): Digests {
  if (Object.keys(entry.digests).length > 0) return entry.digests;
  return Object.fromEntries(
    entry.claims.flatMap((claim) =>
      claim.value === undefined ? [] : [[claim.algorithm, claim.value]],
    ),
  );
}
