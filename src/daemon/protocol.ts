// Everything that a command and the daemon may say to each other over the control socket: one JSON
// document per line, one request and one answer per connection. Types only, and one codec.

import { Fault, isFaultKind, type FaultRecord } from "../model/fault.js";
import type { Assurance } from "../model/assurance.js";

/** How reads of a mount reach the bytes: see the io modes in ARCHITECTURE.md. */
export type IoMode = "cached" | "passthrough";
export type DriverName = "native" | "fuse-native";

/**
 * All that is needed to serve a mount, so also all that a worker's successor needs. Kept in memory by
 * the holder; never written to disk or to a log, since `environment` holds credentials.
 */
export interface MountRecord {
  readonly id: string;
  /** `name:vN`, with entity and project where the collection has them. */
  readonly ref: string;
  /** Absolute path of the mountpoint; the holder reads this key to clear up after a dead worker. */
  readonly directory: string;
  readonly manifestDigest: string;
  readonly driver: DriverName;
  readonly io: IoMode;
  readonly require: Assurance;
  readonly allowOther: boolean;
  readonly cacheBytes: number | null;
  readonly timeoutMs: number;
  readonly files: number;
  readonly bytes: number;
  /** Owner of every node. */
  readonly uid: number;
  readonly gid: number;
  readonly environment: Readonly<Record<string, string>>;
}

export interface Requests {
  /** Checks that the mount can be served before anything is mounted. */
  prepare: { readonly request: { readonly record: MountRecord }; readonly answer: null };
  /** Serves a prepared mount; answers when it is readable. */
  serve: {
    readonly request: { readonly id: string };
    readonly answer: { readonly io: IoMode; readonly notes: readonly string[] };
  };
  /** Forgets a prepared mount that could not be mounted. */
  cancel: { readonly request: { readonly id: string }; readonly answer: null };
  /**
   * Answers when the mount is gone and its resources are freed; at once when there is none, or when it
   * was detached lazily and lives on until its last user ends. `found`: there was one.
   */
  gone: {
    readonly request: { readonly dir: string; readonly lazy: boolean };
    readonly answer: { readonly found: boolean };
  };
  /** Unmounts from the daemon's side: for drivers that mount by themselves. */
  detach: {
    readonly request: { readonly dir: string; readonly force: boolean };
    readonly answer: { readonly detached: boolean };
  };
  status: { readonly request: Record<string, never>; readonly answer: StatusReport };
}

export type Verb = keyof Requests;

export interface StatusReport {
  /** The holder: the process that keeps the mounts alive. */
  readonly pid: number;
  /** The process that answers the kernel. */
  readonly workerPid: number;
  readonly mounts: readonly MountStatus[];
  readonly cache: CacheStatus;
  readonly fetches: readonly FetchStatus[];
  /** The last faults that readers met, newest first. */
  readonly errors: readonly ErrorStatus[];
}

export interface MountStatus {
  readonly ref: string;
  readonly path: string;
  readonly digest: string;
  readonly driver: DriverName;
  readonly io: IoMode;
  readonly require: Assurance;
  readonly files: number;
  readonly bytes: number;
  readonly state: "starting" | "serving" | "ending";
  readonly reads: number;
  readonly readBytes: number;
  /** Requests that wait for bytes. */
  readonly parked: number;
}

export interface CacheStatus {
  readonly dir: string;
  readonly usedBytes: number;
  readonly limitBytes: number;
  readonly hits: number;
  readonly misses: number;
}

export interface FetchStatus {
  readonly uri: string;
  readonly path: string;
  readonly sizeBytes: number | null;
  readonly doneBytes: number;
  readonly ageMs: number;
}

export interface ErrorStatus {
  /** ISO 8601. */
  readonly at: string;
  /** The ref that was mounted. */
  readonly mount: string;
  /** The path inside the mount. */
  readonly path: string;
  readonly kind: string;
  readonly message: string;
  /** The object's uri. */
  readonly subject?: string;
}

export type Answer<V extends Verb> =
  | { readonly ok: Requests[V]["answer"] }
  | { readonly fault: FaultRecord }
  | { readonly bug: string };

export interface Envelope<V extends Verb = Verb> {
  readonly verb: V;
  readonly request: Requests[V]["request"];
}

/** The answer's value, of the type that its verb has, or what it says went wrong, thrown. */
export function openAnswer(line: string): unknown {
  const answer = JSON.parse(line) as Answer<Verb>;
  if ("ok" in answer) return answer.ok;
  if ("fault" in answer && isFaultKind(answer.fault.kind)) throw Fault.fromJSON(answer.fault);
  throw new Error(`The daemon failed: ${"bug" in answer ? answer.bug : line}`);
}
