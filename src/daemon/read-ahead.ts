// Takes from a source ahead of its reader: a listing asks for its next page while the reader works on
// the last one. Knows nothing of what it passes on.

import { setMaxListeners } from "node:events";
import { setImmediate } from "node:timers";

export interface ReadAheadOptions {
  /** Most items taken and not given out yet: bounds memory. */
  readonly most: number;
  readonly signal: AbortSignal;
}

/**
 * The items of `open(signal)`, in order. When it ends early, the signal that the source was opened
 * with fires, and the source is awaited, so that nothing of it is left.
 */
export async function* readAhead<T>(
  open: (signal: AbortSignal) => AsyncIterable<T>,
  { most, signal }: ReadAheadOptions,
): AsyncGenerator<T> {
  const stop = new AbortController();
  const sourceSignal = AbortSignal.any([signal, stop.signal]);
  // All the requests of a source listen to it: that is no leak.
  setMaxListeners(0, sourceSignal);
  const state: { items: T[]; ended: boolean } = { items: [], ended: false };
  let wakeReader = (): void => undefined;
  let wakeSource = (): void => undefined;

  const take = async (): Promise<void> => {
    for await (const item of open(sourceSignal)) {
      state.items.push(item);
      // Later than what is ready now: a page is taken whole, and the next one asked for, before the
      // reader begins its work, which may keep this thread busy.
      if (state.items.length === 1) setImmediate(() => wakeReader());
      if (state.items.length >= most) await new Promise<void>((resolve) => (wakeSource = resolve));
      stop.signal.throwIfAborted();
    }
  };
  const taking = take().finally(() => {
    state.ended = true;
    wakeReader();
  });
  // It is awaited below; until then a failure is no unhandled one.
  taking.catch(() => undefined);

  try {
    for (;;) {
      if (state.items.length === 0) {
        if (state.ended) break;
        await new Promise<void>((resolve) => (wakeReader = resolve));
      }
      const { items } = state;
      state.items = [];
      wakeSource();
      for (const item of items) yield item;
    }
    await taking;
  } finally {
    stop.abort();
    wakeSource();
    await taking.catch(() => undefined);
  }
}
