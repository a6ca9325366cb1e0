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

/** Kills holder and worker in a way that neither can clear up after the other. */
export async function killDaemon(rig: Rig): Promise<void> {
  const { pid, workerPid } = await statusOf(rig);
  // The holder first: a stopped worker goes on when it loses its parent, and unmounts.
  process.kill(pid, "SIGSTOP");
  process.kill(workerPid, "SIGKILL");
  process.kill(pid, "SIGKILL");
  // Its sockets and locks go with it, when it is gone.
  await until(
    () => rig.processes(),
    (processes) => !processes.includes(pid) && !processes.includes(workerPid),
  );
}
