// The faults that readers met: remembered for a second per node, so that the two READs the kernel
// sends for one failing read() cost one fetch, and listed for `status`.

import { Fault } from "../model/fault.js";
import type { ErrorStatus } from "./protocol.js";

/** How long one failure answers for a node before it is tried again. */
const REMEMBER_MS = 1000;
const MAX_LISTED = 50;

/** What `status` lists, over all mounts of the daemon; newest first. */
export class FaultLog {
  readonly #listed: ErrorStatus[] = [];

  add(error: ErrorStatus): void {
    this.#listed.unshift(error);
    this.#listed.length = Math.min(this.#listed.length, MAX_LISTED);
  }

  list(): readonly ErrorStatus[] {
    return this.#listed;
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
    this.#byNode.set(node, { error, untilMs: performance.now() + REMEMBER_MS });
  }

  forget(node: number): void {
    this.#byNode.delete(node);
  }

  /** What went wrong last with `node`, however long ago, or undefined. */
  messageOf(node: number): string | undefined {
    const error = this.#byNode.get(node)?.error;
    if (error === undefined) return undefined;
    return error instanceof Fault
      ? `${error.kind}: ${error.message}`
      : "internal error: see the log";
  }
}
