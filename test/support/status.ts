// The keys of `status --json` that scripts may rely on.

import type { StatusReport } from "../../src/daemon/protocol.js";
import type { Rig } from "./rig.js";

export function statusOf(rig: Rig): Promise<StatusReport> {
  return rig.json<StatusReport>("status");
}

/** Waits, by asking again, until the daemon's status passes `check`. */
export async function until<T>(
  ask: () => Promise<T> | T,
  check: (value: T) => boolean,
  timeoutMs = 20_000,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const value = await ask();
    if (check(value)) return value;
    if (performance.now() > deadline) {
      throw new Error(`still not so after ${timeoutMs} ms: ${JSON.stringify(value)}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
