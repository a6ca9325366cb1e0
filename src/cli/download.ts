// refmount download REF [DIR]

import type { Command } from "commander";
import type { DownloadProgress, DownloadReport } from "../daemon/download.js";
import { ASSURANCES, parseAssurance } from "../model/assurance.js";
import { DEFAULT_TIMEOUT_MS } from "./mount.js";
import { printable } from "./text.js";
import { formatBytes, formatCount, plural } from "./units.js";
import { examples, openDesk, type Invocation } from "./verb.js";

interface Options {
  readonly type?: string;
  readonly pathPrefix?: string;
  readonly allowMissing?: boolean;
  readonly require: string;
}

export function addDownload(program: Command, invocation: Invocation): void {
  program
    .command("download")
    .description("copy the files of a version, verified; equal files are kept")
    .argument("<ref>", "[entity/][project/]name[:version or alias]; latest when none is given")
    .argument("[dir]", "where to (default: ./artifacts/NAME:vN)")
    .option("--type <type>", "refuse unless the artifact has this type")
    .option("--path-prefix <prefix>", "only paths that begin with this text")
    .option("--allow-missing", "list what the store no longer has, instead of failing")
    .option("--require <level>", `least assurance: ${ASSURANCES.join(", ")}`, "pin")
    .addHelpText(
      "after",
      examples(
        "refmount download mnist:v3",
        "refmount download mnist:v3 /data/mnist --path-prefix train/",
      ),
    )
    .action(async (ref: string, dir: string | undefined, options: Options, command: Command) => {
      const desk = openDesk(command, invocation);
      const { downloadRef } = await import("../daemon/download.js");
      using interruption = invocation.interrupts.abortable();
      using progress = desk.progress;
      const report = await downloadRef(
        await desk.openHome(),
        {
          ref,
          type: options.type ?? null,
          dir: dir ?? null,
          pathPrefix: options.pathPrefix ?? "",
          allowMissing: options.allowMissing === true,
          require: parseAssurance(options.require),
          timeoutMs: DEFAULT_TIMEOUT_MS,
        },
        {
          environment: invocation.environment,
          signal: interruption.signal,
          onNotice: (message) => desk.note(message),
          onProgress: (state) => progress.update(() => describeProgress(ref, state)),
        },
      );
      desk.print(report, () => describeDownload(report));
    });
}

export function describeProgress(ref: string, state: DownloadProgress): string {
  return (
    `${ref}: ${formatCount(state.doneFiles)} of ${plural(state.files, "file")}, ` +
    `${formatBytes(state.doneBytes)} of ${formatBytes(state.bytes)}`
  );
}

export function describeDownload(report: DownloadReport): string {
  const kept = report.kept === 0 ? "" : `, ${formatCount(report.kept)} of them already there`;
  const size = `${plural(report.files, "file")}, ${formatBytes(report.bytes)}`;
  const line = `${report.ref} is in ${printable(report.path)} (${size}${kept})`;
  if (report.missing.length === 0) return line;
  const missing = report.missing.map(({ path, message }) => `  ${printable(path)}: ${message}`);
  return [line, `${plural(report.missing.length, "file")} missing:`, ...missing].join("\n");
}
