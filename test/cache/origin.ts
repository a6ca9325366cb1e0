// A store for tests of the cache: objects in memory behind a real Fetch, with answers that can be
// held, broken, cut and altered. Counts what was asked.

import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Entry } from "../../src/model/entry.js";
import { Fault } from "../../src/model/fault.js";
import type { ByteRange, Fetch, Fetched } from "../../src/model/fetch.js";

const CHUNK_BYTES = 65_536;

export const md5 = (bytes: Uint8Array): string => createHash("md5").update(bytes).digest("hex");
export const sha1 = (bytes: Uint8Array): string => createHash("sha1").update(bytes).digest("hex");
export const sha256 = (bytes: Uint8Array): string =>
  createHash("sha256").update(bytes).digest("hex");

/** A temporary folder that goes with its scope. */
export class Folder implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "refmount-cache-"));

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** An entry that only its pin holds in place, unless `differences` say otherwise. */
export function pinned(path: string, sizeBytes: number, differences: Partial<Entry> = {}): Entry {
  return {
    path,
    sizeBytes,
    entryDigest: "",
    uri: `test://bucket/${path}`,
    pin: { versionId: `version of ${path}` },
    digests: {},
    claims: [],
    chunks: null,
    mtimeMs: null,
    ...differences,
  };
}

/** The entry of `bytes` as `log --hash` makes it. */
export function hashed(path: string, bytes: Uint8Array, differences: Partial<Entry> = {}): Entry {
  return pinned(path, bytes.length, { digests: { sha256: sha256(bytes) }, ...differences });
}

/** What one answer does otherwise than a good one. */
export interface Misbehaviour {
  /** Breaks off after so many bytes of the body. */
  readonly breakAfter?: number;
  /** Sends so many bytes more than promised. */
  readonly surplus?: number;
  /** Rejects the opening. */
  readonly refuse?: Error;
}

export interface Request {
  readonly uri: string;
  readonly range: ByteRange | null;
}

export class Origin {
  readonly objects = new Map<string, Uint8Array>();
  readonly requests: Request[] = [];
  /** What each coming answer does, first come first; good when there is none. */
  readonly plan: Misbehaviour[] = [];
  /** What answers say besides the bytes. */
  answer: Partial<Pick<Fetched, "pinned" | "claims" | "etagIsHash" | "localPath" | "confirm">> = {};
  ranges = true;
  opened = 0;
  disposed = 0;
  #gate: Promise<void> | null = null;
  #waiting = 0;
  #arrivals: (() => void)[] = [];

  /** Makes an object of `bytes`, or of so many random ones. */
  put(path: string, bytes: Uint8Array | number): Uint8Array {
    const body = typeof bytes === "number" ? randomBytes(bytes) : bytes;
    this.objects.set(`test://bucket/${path}`, body);
    return body;
  }

  /** From now on bodies wait, before their first byte, for the function that this returns. */
  hold(): () => void {
    let open = (): void => undefined;
    this.#gate = new Promise((resolve) => {
      open = resolve;
    });
    return () => {
      this.#gate = null;
      open();
    };
  }

  /** Settles when so many bodies wait. */
  async waiting(count: number): Promise<void> {
    while (this.#waiting < count) {
      await new Promise<void>((resolve) => this.#arrivals.push(resolve));
    }
  }

  readonly fetch: Fetch = async (entry, range, signal) => {
    signal.throwIfAborted();
    this.requests.push({ uri: entry.uri, range });
    const plan = this.plan.shift() ?? {};
    await Promise.resolve();
    if (plan.refuse !== undefined) throw plan.refuse;
    const bytes = this.objects.get(entry.uri);
    if (bytes === undefined) throw new Fault("drifted", `${entry.uri} is gone`);
    const given =
      range === null || !this.ranges
        ? { start: 0, end: bytes.length }
        : { start: range.start, end: Math.min(range.end, bytes.length) };
    this.opened++;
    return {
      body: this.#body(bytes, given, plan, signal),
      sizeBytes: bytes.length,
      range: given,
      pinned: true,
      claims: [],
      etagIsHash: true,
      ...this.answer,
      [Symbol.asyncDispose]: () => {
        this.disposed++;
        return Promise.resolve();
      },
    };
  };

  async *#body(
    bytes: Uint8Array,
    range: ByteRange,
    plan: Misbehaviour,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    if (this.#gate !== null) {
      this.#waiting++;
      for (const arrived of this.#arrivals.splice(0)) arrived();
      await Promise.race([
        this.#gate,
        new Promise((_, reject) => {
          signal.addEventListener("abort", () => {
            reject(signal.reason as Error);
          });
        }),
      ]).finally(() => {
        this.#waiting--;
      });
    }
    const stop = Math.min(range.end, range.start + (plan.breakAfter ?? Infinity));
    for (let at = range.start; at < stop; at += CHUNK_BYTES) {
      signal.throwIfAborted();
      yield bytes.subarray(at, Math.min(stop, at + CHUNK_BYTES));
    }
    if (stop < range.end) throw new Fault("unavailable", "the connection was reset");
    if (plan.surplus !== undefined) yield randomBytes(plan.surplus);
  }
}

/** A copy of `bytes` with one bit of byte `at` turned over. */
export function flipped(bytes: Uint8Array, at = 0): Uint8Array {
  const copy = Uint8Array.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
}
