// A deadline for a promise that has none of its own.

import { setTimeout as delay } from "node:timers/promises";

/** What `promise` settles to, or what `otherwise` gives when it takes longer than `limitMs`. */
export async function within<T>(
  limitMs: number,
  promise: Promise<T>,
  otherwise: () => T | Promise<T>,
): Promise<T> {
  const settled = new AbortController();
  const late = Symbol("late");
  const timer = delay(limitMs, late, { signal: settled.signal }).catch(() => late);
  try {
    const first = await Promise.race([promise, timer]);
    return first === late ? await otherwise() : (first as T);
  } finally {
    settled.abort();
  }
}
