// The last resort against a transfer that neither moves nor ends. Stores have deadlines of their own;
// this one holds when theirs do not.

import { Fault } from "../model/fault.js";

/** A store may use up a whole timeout before its first byte: this waits for longer than that. */
const GRACE = 2;

export class StallGuard implements Disposable {
  readonly #stalled = new AbortController();
  readonly #timer: NodeJS.Timeout;
  readonly #outer: AbortSignal;
  // Not AbortSignal.any: the caller's signal lives as long as its cache, and would remember every
  // object that was ever read.
  readonly #forward = (): void => {
    this.#stalled.abort(this.#outer.reason);
  };

  /** @param what The object, for the message. */
  constructor(what: string, timeoutMs: number, signal: AbortSignal) {
    this.#outer = signal;
    if (signal.aborted) this.#forward();
    signal.addEventListener("abort", this.#forward);
    const longestMs = GRACE * timeoutMs;
    this.#timer = setTimeout(() => {
      const message = `Reading ${what} made no progress for ${longestMs / 1000} s; try again later`;
      this.#stalled.abort(new Fault("unavailable", message, { subject: what }));
    }, longestMs);
  }

  /** Aborted when nothing moved for too long, or when the caller's signal is. */
  get signal(): AbortSignal {
    return this.#stalled.signal;
  }

  /** Bytes moved. */
  progress(): void {
    this.#timer.refresh();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#outer.removeEventListener("abort", this.#forward);
  }
}
