// refmount checkout REF DIR: makes a directory hold exactly the files of a version.

import type { Command } from "commander";
import { ASSURANCES, parseAssurance } from "../model/assurance.js";
import { describeDownload, describeProgress } from "./download.js";
import { DEFAULT_TIMEOUT_MS } from "./mount.js";
import { plural } from "./units.js";
import { examples, openDesk, type Invocation } from "./verb.js";

interface Options {
  readonly type?: string;
  readonly allowMissing?: boolean;
  readonly require: string;
  readonly force?: boolean;
}

export function addCheckout(program: Command, invocation: Invocation): void {
  program
    .command("checkout")
    .description("make a directory hold exactly the files of a version")
    .argument("<ref>", "[entity/][project/]name[:version or alias]; latest when none is given")
    .argument("<dir>", "made when missing")
    .option("--type <type>", "refuse unless the artifact has this type")
    .option("--allow-missing", "list what the store no longer has, instead of failing")
    .option("--require <level>", `least assurance: ${ASSURANCES.join(", ")}`, "pin")
    .option("--force", "also remove files that no version of the artifact has")
    .addHelpText("after", examples("refmount checkout mnist:v3 /data/mnist"))
    .action(async (ref: string, dir: string, options: Options, command: Command) => {
      const desk = openDesk(command, invocation);
      const { checkoutRef } = await import("../daemon/checkout.js");
      using interruption = invocation.interrupts.abortable();
      using progress = desk.progress;
      const report = await checkoutRef(
        await desk.openHome(),
        {
          ref,
          dir,
          type: options.type ?? null,
          allowMissing: options.allowMissing === true,
          require: parseAssurance(options.require),
          timeoutMs: DEFAULT_TIMEOUT_MS,
          force: options.force === true,
        },
        {
          environment: invocation.environment,
          signal: interruption.signal,
          onNotice: (message) => desk.note(message),
          onProgress: (state) => progress.update(() => describeProgress(ref, state)),
        },
      );
      const removed = report.removed === 0 ? "" : `\n${plural(report.removed, "file")} removed`;
      desk.print(report, () => `${describeDownload(report)}${removed}`);
    });
}
