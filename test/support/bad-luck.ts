// Accidents between a mount and a store, and what a reader of the mount must see of them: the right
// bytes or an error of the right kind, in time, with the reason in `status`; and the right bytes when
// the accident is over. What only one store can do wrong stands in that store's own test.

import { expect } from "vitest";
import type { FaultKind } from "../../src/model/fault.js";
import type { Accident } from "./double/body.js";
import { generated, sha256, type Content } from "./double/content.js";
import { complaintOf, run } from "./reader.js";
import type { Rig } from "./rig.js";
import { statusOf } from "./status.js";

/** What the daemon is told to wait for bytes at most. */
const TIMEOUT_MS = 2_000;
/** How much longer a reader may have to wait: the machine may be busy. */
const SLACK_MS = 6_000;

/** A small object is read at once, a large one in ranges. */
export const SIZES = { small: 100_000, large: 20_000_000 } as const;
export type SizeName = keyof typeof SIZES;
export const BOTH: readonly SizeName[] = ["small", "large"];

export interface Refusal {
  readonly errno: RegExp;
  readonly kind: FaultKind;
  readonly message: RegExp;
}

/** "read": the reader notices nothing. */
export type Outcome = "read" | Refusal;

export const STALE = { errno: /Stale file handle/, kind: "drifted" } as const;
export const DENIED = { errno: /Permission denied/, kind: "denied" } as const;
export const CORRUPT = { errno: /Input\/output error/, kind: "corrupt" } as const;
export const UNAVAILABLE = { errno: /Input\/output error/, kind: "unavailable" } as const;

/** One row of a table of accidents of a store. */
export interface Luck<Double, Target, Mishap extends Accident = Accident> {
  readonly name: string;
  /** What each request for the object's bytes meets. */
  readonly accident?: (target: Target, double: Double) => Mishap;
  /** How many requests; all unless given. */
  readonly times?: number;
  /** Any other harm, and how to undo it. */
  readonly harm?: (double: Double) => void | Promise<void>;
  readonly mend?: (double: Double) => void | Promise<void>;
  readonly outcome: Outcome;
}

/** The accidents that any store may have. */
type AnyLuck = Omit<Luck<unknown, { readonly sizeBytes: number }>, "harm" | "mend">;

/** Those that an object read in ranges meets otherwise than one read at once. */
export const OTHERWISE_IN_RANGES: readonly AnyLuck[] = [
  {
    name: "a reset in mid-body",
    accident: () => ({ resetAfterBytes: 60_000 }),
    times: 1,
    outcome: "read",
  },
  {
    name: "resets again and again, each a little further on",
    accident: ({ sizeBytes }) => ({ resetAfterBytes: Math.floor(sizeBytes / 7) }),
    outcome: "read",
  },
  { name: "one flipped bit", accident: () => ({ flipByteAt: 70_000 }), times: 1, outcome: "read" },
];

export const ALIKE_IN_RANGES: readonly AnyLuck[] = [
  {
    name: "429 with Retry-After",
    accident: () => ({ status: 429, code: "", headers: { "retry-after": "1" } }),
    times: 1,
    outcome: "read",
  },
  {
    name: "resets before the first byte for ever",
    accident: () => ({ resetAfterBytes: 0 }),
    outcome: { ...UNAVAILABLE, message: /reset|ended early/ },
  },
  { name: "a short body", accident: () => ({ shortByBytes: 10 }), times: 1, outcome: "read" },
  { name: "a server that ignores Range", accident: () => ({ ignoreRange: true }), outcome: "read" },
  {
    name: "a server that never answers",
    accident: () => ({ silent: true }),
    outcome: { ...UNAVAILABLE, message: /no answer within|no progress/ },
  },
  {
    name: "a server that stalls in mid-body",
    accident: () => ({ stallAfterBytes: 1_000 }),
    outcome: { ...UNAVAILABLE, message: /no byte for|no progress/ },
  },
];

export const REFUSED_CONNECTIONS = {
  name: "refused connections",
  harm: (double: { stop(): Promise<void> }) => double.stop(),
  mend: (double: { resume(): Promise<void> }) => double.resume(),
  outcome: { ...UNAVAILABLE, message: /the connection was refused/ },
} as const;

/** Where the object stands that the row `index` harms. */
export function keyOf(index: number, size: SizeName): string {
  return `${index}/${size}.bin`;
}

export function contentOf(index: number, size: SizeName): Content {
  return generated(SIZES[size], index + 1);
}

/** Other bytes as many, for another version of the same object. */
export function otherContentOf(index: number, size: SizeName): Content {
  return generated(SIZES[size], 1_000 + index);
}

/** Mounts `demo`, for readers that are not to wait long and are to be served nothing unverified. */
export function mountDemo(rig: Rig): Promise<string> {
  const timeout = `${TIMEOUT_MS}ms`;
  return rig.mount("demo", "mnt", "--timeout", timeout, "--require", "provider");
}

/** The file of a mount of demo:v0 that a reader reads. */
export interface HarmedFile {
  /** Of the mount. */
  readonly dir: string;
  /** Below that. */
  readonly path: string;
  /** As messages name it. */
  readonly uri: string;
  readonly content: Content;
}

/** Reads the file, which comes to `outcome`. Returns the message of `status`; "" when it was read. */
export async function expectOutcome(rig: Rig, file: HarmedFile, outcome: Outcome): Promise<string> {
  const path = `${file.dir}/${file.path}`;
  const errorsBefore = (await statusOf(rig)).errors.length;
  const beginMs = performance.now();
  const seen = outcome === "read" ? await hashOf(path) : await complaintOf(path);
  const tookMs = performance.now() - beginMs;
  const { errors } = await statusOf(rig);
  if (outcome === "read") {
    expect(seen).toBe(digestOf(file.content));
    expect(errors).toHaveLength(errorsBefore);
    return "";
  }
  expect(seen).toMatch(outcome.errno);
  const [error] = errors;
  expect(error).toMatchObject({ path: file.path, mount: "demo:v0", kind: outcome.kind });
  expect(error?.message).toMatch(outcome.message);
  expect(error?.message).toContain(file.uri);
  expect(tookMs).toBeLessThan(TIMEOUT_MS + SLACK_MS);
  return error?.message ?? "";
}

/** The accident is over: the file reads, when the failure is no longer remembered (about a second). */
export async function expectRecovery(file: HarmedFile): Promise<void> {
  const path = `${file.dir}/${file.path}`;
  await expect.poll(() => complaintOf(path), { timeout: 8_000, interval: 200 }).toBe("read");
  expect(await hashOf(path)).toBe(digestOf(file.content));
}

export function digestOf(content: Content): string {
  return sha256(content).toString("hex");
}

/** SHA-256 of the file at `path`, by another process. */
export async function hashOf(path: string): Promise<string> {
  return String(await run("sha256sum", "--", path)).slice(0, 64);
}
