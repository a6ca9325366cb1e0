// Waiting for something that has no deadline of its own.

import { setMaxListeners } from "node:events";

/** Settles as `promise` does, unless `signal` fires before: then with its reason. */
export function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    // One signal may wait for any number of requests.
    setMaxListeners(0, signal);
    const abort = (): void => reject(signal.reason as Error);
    signal.addEventListener("abort", abort);
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
