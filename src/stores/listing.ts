// What every listing does alike, whatever the store: how long it waits for one that fails, and what
// it says when there is too much, nothing, or no end. Sends nothing.

import { Fault } from "../model/fault.js";
import type { RetryOptions } from "./retry.js";

/** A store that fails for less is nobody's concern. */
const TELL_AFTER_MS = 1_000;

/** Who waits for a listing. */
export interface Watch {
  readonly signal: AbortSignal;
  readonly onNotice?: (message: string) => void;
}

/** How a request of a listing is tried again: told about once, when it takes long. */
export function patience(timeoutMs: number, { signal, onNotice }: Watch): RetryOptions {
  const tellAtMs = performance.now() + TELL_AFTER_MS;
  let told = false;
  return {
    timeoutMs,
    signal,
    onRetry: ({ message }) => {
      if (told || performance.now() < tellAtMs) return;
      told = true;
      onNotice?.(`${message}; trying again for up to ${timeoutMs / 1_000} s`);
    },
  };
}

export function tooMany(subject: string, maxObjects: number): Fault {
  return new Fault(
    "usage",
    `More than ${maxObjects} objects in ${subject}: nothing is logged; raise it with --max-objects`,
    { subject },
  );
}

export function nothingFound(subject: string): Fault {
  return new Fault("not-found", `No object at ${subject} and none below it: nothing to log`, {
    subject,
  });
}

/** For a store that answers with the page it was asked to go on from. */
export function stuck(subject: string): Fault {
  return new Fault(
    "unavailable",
    `The listing of ${subject} does not go on: the store repeats a page`,
    { subject },
  );
}

/** What follows the last "/" of a key. */
export function baseName(key: string): string {
  return key.slice(key.lastIndexOf("/") + 1);
}
