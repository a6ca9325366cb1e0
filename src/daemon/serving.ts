// One mount's upcalls: finds the entry of a node in the manifest, has the cache fill it, and remembers
// what went wrong. This is where registry, stores and cache meet behind the kernel.

import type { Cache, CacheUse } from "../cache/cache.js";
import { assuranceOf, satisfies } from "../model/assurance.js";
import { claimedDigests, encodeDigests, type Digests } from "../model/digest.js";
import type { Entry } from "../model/entry.js";
import { Fault } from "../model/fault.js";
import type { Fetch } from "../model/fetch.js";
import { encodePin } from "../model/pin.js";
import type { LentBlob, Upcalls } from "../mount/driver.js";
import type { Manifest } from "../registry/manifest.js";
import { NodeFaults, type FaultLog } from "./fault-log.js";
import type { IoMode, MountRecord } from "./protocol.js";

export interface ServingOptions {
  readonly record: MountRecord;
  readonly manifest: Manifest;
  readonly cache: Cache;
  readonly use: CacheUse;
  readonly fetch: Fetch;
  readonly faults: FaultLog;
  /** The io mode, as negotiated once it is. */
  readonly io: () => IoMode;
  /** Gets what is no expected failure. */
  readonly onBug: (error: unknown) => void;
}

export function serveUpcalls(options: ServingOptions): Upcalls {
  const { record, manifest, use } = options;
  const failed = new NodeFaults();

  const fill = async (node: number): Promise<LentBlob> => {
    failed.throwFresh(node);
    let entry: Entry | null = null;
    try {
      entry = manifest.entry(node);
      const blob = await use.fill(entry, {
        fetch: options.fetch,
        timeoutMs: record.timeoutMs,
        // Nobody checks a passthrough read, so its blob is checked whole before it is opened.
        rehash: options.io() === "passthrough",
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
      return blob;
    } catch (error) {
      failed.remember(node, error);
      note(entry, error);
      throw error;
    }
  };

  const note = (entry: Entry | null, error: unknown): void => {
    const subject = error instanceof Fault ? (error.subject ?? entry?.uri) : entry?.uri;
    const told = options.faults.add({
      at: new Date().toISOString(),
      mount: record.ref,
      path: entry?.path ?? "",
      kind: error instanceof Fault ? error.kind : "bug",
      message: error instanceof Error ? error.message : String(error),
      ...(subject === undefined ? {} : { subject }),
    });
    if (told && !(error instanceof Fault)) options.onBug(error);
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
        return use.known(entry)?.sha256 ?? "";
      case "user.refmount.assurance":
        return use.known(entry)?.assurance ?? assuranceOf(entry);
      default:
        return undefined;
    }
  };

  return {
    fill,
    // A promise also when it fails: the driver is called by the kernel and can catch nothing else.
    xattr: (node, name) =>
      Promise.resolve().then(() => {
        const value = attribute(node, name);
        return value === undefined ? null : Buffer.from(value);
      }),
    damaged: (_node, sha256) => options.cache.damaged(sha256),
    indexDamaged: () => {
      manifest.dropIndex();
      const what = `The inode index of ${record.ref} is damaged, so some of its files cannot be found`;
      note(
        null,
        new Fault("corrupt", `${what}. The next mount compiles it anew: unmount and mount again`),
      );
    },
  };
}

/** What was hashed when logging, else what the store claims. */
function knownDigests(entry: Entry): Digests {
  if (Object.keys(entry.digests).length > 0) return entry.digests;
  return claimedDigests(entry.claims);
}
