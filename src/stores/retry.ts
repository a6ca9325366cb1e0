// The only place that retries. Only `unavailable` is tried again, with full jitter, until there was
// no progress for the given time. It resumes nothing: whoever reads a body starts its range again.

import { setTimeout as delay } from "node:timers/promises";
import { Fault } from "../model/fault.js";
import type { Fetch } from "../model/fetch.js";

const FIRST_DELAY_MS = 100;
const LONGEST_DELAY_MS = 8_000;

export interface RetryOptions {
  /** Gives up when this long went by without progress. 0: one attempt. */
  readonly timeoutMs: number;
  /** Ends the waiting, too; its reason is thrown. */
  readonly signal?: AbortSignal;
  /** Told before each wait. */
  readonly onRetry?: (fault: Fault, delayMs: number) => void;
}

export interface Attempt {
  /** 0 for the first. */
  readonly number: number;
  /** Bytes arrived: the time and the delays start anew. */
  progress(): void;
}

/**
 * Runs `operation` until it settles with anything but an `unavailable` fault, or time is up: then
 * that fault is thrown as it is.
 */
export async function retry<T>(
  operation: (attempt: Attempt) => Promise<T>,
  options: RetryOptions,
): Promise<T> {
  let progressAt = performance.now();
  let failures = 0;
  const progress = (): void => {
    progressAt = performance.now();
    failures = 0;
  };
  for (let number = 0; ; number++) {
    options.signal?.throwIfAborted();
    try {
      return await operation({ number, progress });
    } catch (error) {
      if (!(error instanceof Fault) || error.kind !== "unavailable") throw error;
      const leftMs = progressAt + options.timeoutMs - performance.now();
      if (leftMs <= 0) throw error;
      const jittered = Math.random() * Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** failures);
      const delayMs = Math.min(leftMs, Math.max(jittered, error.retryAfterMs ?? 0));
      failures += 1;
      options.onRetry?.(error, delayMs);
      await pause(delayMs, options.signal);
    }
  }
}

/** A fetch that opens its request again while the store is unavailable. */
export function withRetry(
  fetch: Fetch,
  options: Pick<RetryOptions, "timeoutMs" | "onRetry">,
): Fetch {
  return (entry, range, signal) => retry(() => fetch(entry, range, signal), { ...options, signal });
}

async function pause(delayMs: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await delay(delayMs, undefined, signal === undefined ? {} : { signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}
