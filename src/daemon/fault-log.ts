// The faults that readers met: remembered for a second per node, so that the two READs the kernel
// sends for one failing read() cost one fetch, listed for `status`, and told to the log. Bounded,
// however many files fail: expired credentials may fail a million of them.

import { Fault } from "../model/fault.js";
import type { ErrorStatus } from "./protocol.js";

/** How long one failure answers for a node before it is tried again. */
const REMEMBER_MS = 1000;
const MAX_LISTED = 50;
/** Nodes of one mount whose last failure is kept. */
const MAX_REMEMBERED = 10_000;
/** Failures told to the log in one period; the others are counted. */
const MAX_LINES = 20;
const PERIOD_MS = 60_000;

/** What `status` lists, over all mounts of the daemon; newest first. */
export class FaultLog {
  readonly #log: (line: string) => void;
  readonly #now: () => number;
  readonly #listed: ErrorStatus[] = [];
  #periodMs = -Infinity;
  #lines = 0;
  #untold = 0;

  /** @param now A clock in milliseconds. */
  constructor(log: (line: string) => void, now: () => number = () => performance.now()) {
    this.#log = log;
    this.#now = now;
  }

  /** @returns false when the log was spared this one, among too many others. */
  add(error: ErrorStatus): boolean {
    this.#listed.unshift(error);
    this.#listed.length = Math.min(this.#listed.length, MAX_LISTED);
    return this.#tell(error);
  }

  list(): readonly ErrorStatus[] {
    return this.#listed;
  }

  #tell({ mount, path, kind, message }: ErrorStatus): boolean {
    if (this.#now() - this.#periodMs >= PERIOD_MS) {
      if (this.#untold > 0) this.#log(`${this.#untold} more reads failed`);
      this.#periodMs = this.#now();
      this.#lines = this.#untold = 0;
    }
    if (this.#lines === MAX_LINES) {
      this.#untold++;
      return false;
    }
    this.#lines++;
    this.#log(`${mount} ${path}: ${kind}: ${message}`);
    return true;
  }
}

interface Remembered {
  readonly error: unknown;
  readonly untilMs: number;
}

/** The last failure of each node of one mount. */
export class NodeFaults {
  readonly #byNode = new Map<number, Remembered>();

  /** Throws the failure of `node` again when it is fresh. */
  throwFresh(node: number): void {
    const remembered = this.#byNode.get(node);
    if (remembered !== undefined && performance.now() < remembered.untilMs) throw remembered.error;
  }

  remember(node: number, error: unknown): void {
    this.#byNode.delete(node);
    this.#byNode.set(node, { error, untilMs: performance.now() + REMEMBER_MS });
    if (this.#byNode.size <= MAX_REMEMBERED) return;
    const [oldest] = this.#byNode.keys();
    if (oldest !== undefined) this.#byNode.delete(oldest);
  }

  forget(node: number): void {
    this.#byNode.delete(node);
  }

  /** What went wrong last with `node`, or undefined when nothing did, or too many others since. */
  messageOf(node: number): string | undefined {
    const error = this.#byNode.get(node)?.error;
    if (error === undefined) return undefined;
    return error instanceof Fault
      ? `${error.kind}: ${error.message}`
      : "internal error: see the log";
  }
}
