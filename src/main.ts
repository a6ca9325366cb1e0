#!/usr/bin/env node
// The executable: hands the process to a command and is alone in setting the exit code.

import { constants } from "node:os";
import { END_SIGNALS, Interrupts } from "./cli/interrupts.js";
import { execute } from "./cli/program.js";
import type { Invocation } from "./cli/verb.js";
import { exitCodeOf, Fault } from "./model/fault.js";

const interrupts = new Interrupts();
const invocation: Invocation = {
  environment: { ...process.env },
  stdout: process.stdout,
  stderr: process.stderr,
  openStdin: () => process.stdin,
  interrupts,
  exitCode: 0,
};

// The SDK would print its plans for future versions of Node on stderr.
process.env["AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED"] ??= "true";
for (const signalName of END_SIGNALS) {
  process.on(signalName, () => {
    if (!interrupts.deliver(signalName)) process.exit(signalCode(signalName));
  });
}
// Whoever reads our output may stop reading; that is no failure of ours.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(invocation.exitCode);
  process.stderr.write(`refmount: Cannot write the result: ${error.message}\n`);
  process.exit(exitCodeOf(new Fault(error.code === "ENOSPC" ? "full" : "denied", error.message)));
});
process.stderr.on("error", () => undefined);

try {
  await execute(process.argv.slice(2), invocation);
  process.exitCode = invocation.exitCode;
} catch (error) {
  process.exitCode = report(error);
}

/** Tells the user about `error`, and gives the exit code for it. */
function report(error: unknown): number {
  if (interrupts.abortedBy !== null) {
    process.stderr.write("refmount: interrupted\n");
    return signalCode(interrupts.abortedBy);
  }
  if (error instanceof Fault) {
    process.stderr.write(`refmount: ${error.message}\n`);
  } else {
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
    process.stderr.write(`refmount: this is a bug: ${stack}\n`);
  }
  return exitCodeOf(error);
}

function signalCode(signalName: NodeJS.Signals): number {
  return 128 + constants.signals[signalName];
}
