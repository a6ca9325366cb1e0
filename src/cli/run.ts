// refmount run REF -- COMMAND: mounts, runs, unmounts, and ends as the command ended.

import { Option, type Command } from "commander";
import { Fault } from "../model/fault.js";
import { DEFAULT_TIMEOUT_MS } from "./mount.js";
import { examples, openDesk, type Invocation } from "./verb.js";

interface Options {
  readonly type?: string;
  readonly at?: string;
}

export function addRun(program: Command, invocation: Invocation): void {
  program
    .command("run")
    .usage("<ref> [options] -- <command...>")
    .description("run a command with a version mounted")
    .argument("<ref>", "[entity/][project/]name[:version or alias]; latest when none is given")
    .argument("[command...]", "the command and its arguments; {} in them names the directory")
    .option("--type <type>", "refuse unless the artifact has this type")
    .addOption(new Option("--at <dir>", "mount at this directory instead of a private one"))
    .addHelpText(
      "after",
      `\n$REFMOUNT_DIR and every {} name the directory. Exits with the command's own code, or 128 + n when signal n ended it.\n${examples(
        "refmount run mnist:v3 -- python train.py --data {}",
        "refmount run mnist:v3 -- sh -c 'ls $REFMOUNT_DIR'",
      )}`,
    )
    .action(async (ref: string, argv: string[], options: Options, command: Command) => {
      if (argv.length === 0) {
        throw new Fault("usage", "Name the command to run: refmount run REF -- COMMAND...");
      }
      const desk = openDesk(command, invocation);
      const home = await desk.openHome();
      const { runMounted } = await import("./run-mounted.js");
      invocation.exitCode = await runMounted({
        home,
        ref,
        type: options.type ?? null,
        at: options.at ?? null,
        argv,
        environment: invocation.environment,
        interrupts: invocation.interrupts,
        timeoutMs: DEFAULT_TIMEOUT_MS,
        note: (text) => desk.note(text),
      });
    });
}
