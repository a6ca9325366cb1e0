// refmount daemon: the worker's entry, started by the holder and by nobody else; hidden.

import type { Command } from "commander";
import { Fault } from "../model/fault.js";
import type { Invocation } from "./verb.js";

/** Set by the holder for the worker that it starts: where it listens. */
const HOLDER_VARIABLE = "REFMOUNT_HOLDER";

export function addDaemon(program: Command, invocation: Invocation): void {
  program
    .command("daemon", { hidden: true })
    .description("serve mounts; started by refmount itself")
    .action(async () => {
      const { environment } = invocation;
      const holderSocket = environment[HOLDER_VARIABLE];
      if (holderSocket === undefined) {
        throw new Fault("usage", "refmount starts its daemon by itself: use refmount mount");
      }
      const [{ openHome }, { runWorker }, { FOREGROUND_VARIABLE }] = await Promise.all([
        import("../daemon/home.js"),
        import("../daemon/worker.js"),
        import("../daemon/foreground.js"),
      ]);
      const stop = new AbortController();
      using _signals = invocation.interrupts.receive((signalName) => {
        stop.abort(signalName);
        return true;
      });
      const graceMs = Number(environment["REFMOUNT_GRACE_MS"]);
      await runWorker({
        home: openHome(undefined, environment),
        holderSocket,
        foreground: environment[FOREGROUND_VARIABLE] !== undefined,
        stop: stop.signal,
        ...(Number.isFinite(graceMs) ? { graceMs } : {}),
      });
    });
}
