// Work on many items at once, the results in the order of the items. Knows nothing of the work.

import { setMaxListeners } from "node:events";

export interface InOrderOptions {
  /** Most items worked on at once. */
  readonly atOnce: number;
  /** Most items taken from the source and not given out yet: bounds memory. */
  readonly window: number;
  readonly signal: AbortSignal;
}

type Outcome<R> = { readonly result: R } | "failed";

/**
 * Runs `work` on every item of `source` and yields the results in order. When it ends early, by an
 * error, the signal or its reader, the work in flight is aborted and awaited first, so that nothing
 * of it is left.
 * @param instant gives the result of an item that needs no work, else undefined: a million of those
 * cost no million promises.
 */
export async function* inOrder<T, R>(
  source: AsyncIterable<T> | Iterable<T>,
  options: InOrderOptions,
  work: (item: T, signal: AbortSignal) => Promise<R>,
  instant: (item: T) => R | undefined = () => undefined,
): AsyncGenerator<R> {
  const stop = new AbortController();
  const signal = AbortSignal.any([options.signal, stop.signal]);
  // All the work in flight listens to it: that is no leak.
  setMaxListeners(0, signal);
  const slots = new Slots(options.atOnce);
  const pending: (Outcome<R> | Promise<Outcome<R>>)[] = [];
  // What ended it: work that was aborted then fails for that reason only.
  let failure: unknown;

  const start = async (item: T): Promise<Outcome<R>> => {
    await slots.take();
    try {
      signal.throwIfAborted();
      return { result: await work(item, signal) };
    } catch (error) {
      if (!signal.aborted) failure = error;
      // The items behind are not worth starting: the reader will get this error and nothing after.
      stop.abort(error);
      return "failed";
    } finally {
      slots.give();
    }
  };

  const next = async (): Promise<R> => {
    const outcome = (await pending.shift()) ?? "failed";
    if (outcome !== "failed") return outcome.result;
    options.signal.throwIfAborted();
    throw failure;
  };

  try {
    for await (const item of source) {
      const result = instant(item);
      if (result !== undefined && pending.length === 0) {
        yield result;
      } else {
        pending.push(result === undefined ? start(item) : { result });
        if (pending.length >= options.window) yield await next();
      }
      signal.throwIfAborted();
    }
    while (pending.length > 0) yield await next();
  } finally {
    stop.abort();
    for (const outcome of pending) await outcome;
  }
}

/** A counting semaphore, first come first served. */
class Slots {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  async take(): Promise<void> {
    if (this.#free > 0) {
      this.#free -= 1;
      return;
    }
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  give(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free += 1;
    else next();
  }
}
