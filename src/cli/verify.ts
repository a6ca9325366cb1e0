// refmount verify DIR REF: whether a directory holds exactly the files of a version.

import type { Command } from "commander";
import type { VerifyReport } from "../daemon/verify.js";
import { exitCodeOfKind } from "../model/fault.js";
import { printable } from "./text.js";
import { formatCount, plural } from "./units.js";
import { examples, openDesk, type Invocation } from "./verb.js";

interface Options {
  readonly allowExtra?: boolean;
}

export function addVerify(program: Command, invocation: Invocation): void {
  program
    .command("verify")
    .description("compare the files of a directory with a version, byte by byte")
    .argument("<dir>")
    .argument("<ref>", "[entity/][project/]name[:version or alias]")
    .option("--allow-extra", "files that the version does not have are no problem")
    .addHelpText(
      "after",
      `\nExits with 6 when something differs.\n${examples("refmount verify ./artifacts/mnist:v3 mnist:v3")}`,
    )
    .action(async (dir: string, ref: string, options: Options, command: Command) => {
      const desk = openDesk(command, invocation);
      const { verifyDirectory } = await import("../daemon/verify.js");
      using interruption = invocation.interrupts.abortable();
      using progress = desk.progress;
      const report = await verifyDirectory(
        await desk.openHome(),
        { ref, dir, allowExtra: options.allowExtra === true },
        {
          signal: interruption.signal,
          onNotice: (message) => desk.note(message),
          onProgress: ({ files, doneFiles }) =>
            progress.update(() => `${formatCount(doneFiles)} of ${plural(files, "file")} compared`),
        },
      );
      desk.print(report, () => describe(report));
      if (report.problems.length > 0) invocation.exitCode = exitCodeOfKind("corrupt");
    });
}

function describe(report: VerifyReport): string {
  const { path, ref, files, verified, unverified, problems } = report;
  const unknown =
    unverified === 0 ? "" : `, ${formatCount(unverified)} by their size only (no hash is known)`;
  const lines = problems.map((each) => `${each.problem}: ${printable(each.path)}`);
  const verdict =
    problems.length === 0
      ? `${printable(path)} holds ${ref}`
      : `${printable(path)} differs from ${ref} in ${plural(problems.length, "file")}`;
  return [
    ...lines,
    `${verdict}: ${formatCount(verified)} of ${plural(files, "file")} verified${unknown}`,
  ].join("\n");
}
