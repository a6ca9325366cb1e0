// refmount runs start|finish|ls|show: what was done, by whom, with which versions.

import { Option, type Command } from "commander";
import type { GitState, Run, RunVersion } from "../daemon/provenance.js";
import { Fault } from "../model/fault.js";
import { fields, printable, table } from "./text.js";
import { formatDuration, formatTime, parseCount } from "./units.js";
import { examples, openDesk, type Invocation } from "./verb.js";

const DEFAULT_LIMIT = 50;
const LONGEST_COMMAND = 60;

interface StartOptions {
  readonly title?: string;
}

interface FinishOptions {
  readonly exitCode?: number;
}

interface LsOptions {
  readonly all?: boolean;
  readonly limit: number;
}

export function addRuns(program: Command, invocation: Invocation): void {
  const runs = program
    .command("runs")
    .description("group what commands do under a run, and look at runs")
    .addHelpText(
      "after",
      `\nCommands that find REFMOUNT_RUN in their environment belong to that run.\n${examples(
        "export REFMOUNT_RUN=$(refmount runs start --title baseline)",
        "refmount runs finish $REFMOUNT_RUN --exit-code 0",
        "refmount runs show $REFMOUNT_RUN",
      )}`,
    );
  runs
    .command("start")
    .description("begin a run and print its id")
    .argument("[command...]", "the command line that it stands for")
    .option("--title <text>", "call it something")
    .action(async (words: string[], options: StartOptions, command: Command) => {
      const desk = openDesk(command, invocation);
      const { startRun } = await import("../daemon/provenance.js");
      const id = await startRun(await desk.openHome(), words, options.title ?? null);
      desk.print({ id }, () => id);
    });
  runs
    .command("finish")
    .description("say that a run has ended")
    .argument("<id>")
    .addOption(new Option("--exit-code <n>", "how it ended").argParser(parseExitCode))
    .action(async (id: string, options: FinishOptions, command: Command) => {
      const desk = openDesk(command, invocation);
      const { finishRun } = await import("../daemon/provenance.js");
      const run = finishRun(await desk.openHome(), id, options.exitCode ?? null);
      desk.print(runKeys(run), () => `${run.id} has ended`);
    });
  runs
    .command("ls")
    .description("list runs, the newest first")
    .option("--all", "also single mounts, downloads and logs outside a run")
    .option("--limit <n>", "how many at most", (text) => parseCount(text, "--limit"), DEFAULT_LIMIT)
    .action(async (options: LsOptions, command: Command) => {
      const desk = openDesk(command, invocation);
      const { listRuns } = await import("../daemon/provenance.js");
      const kinds =
        options.all === true ? (["run", "log", "mount", "download"] as const) : (["run"] as const);
      const found = listRuns(await desk.openHome(), kinds, options.limit);
      desk.print({ runs: found.map(runKeys) }, () =>
        found.length === 0 ? "No runs yet; see refmount runs --help" : describeRuns(found),
      );
    });
  runs
    .command("show")
    .description("show everything known of a run")
    .argument("<id>", "may be cut short")
    .action(async (id: string, _: object, command: Command) => {
      const desk = openDesk(command, invocation);
      const { findRun } = await import("../daemon/provenance.js");
      const run = findRun(await desk.openHome(), id);
      desk.print(runKeys(run), () => describeRun(run));
    });
}

// The keys that scripts rely on, in this order.
export function runKeys(run: Run): object {
  return {
    id: run.id,
    kind: run.kind,
    title: run.title,
    command: run.command,
    directory: run.directory,
    host: run.host,
    user: run.user,
    git: run.git,
    started: new Date(run.startedMs).toISOString(),
    finished: run.finishedMs === null ? null : new Date(run.finishedMs).toISOString(),
    exitCode: run.exitCode,
    used: run.used.map(runVersionKeys),
    produced: run.produced.map(runVersionKeys),
  };
}

function runVersionKeys(version: RunVersion): object {
  return {
    ref: version.ref,
    type: version.type,
    digest: version.digest,
    manifest: version.manifestDigest,
    how: version.how,
    at: new Date(version.atMs).toISOString(),
    deleted: version.deleted,
  };
}

function describeRuns(runs: readonly Run[]): string {
  return table(
    ["ID", "STARTED", "STATE", "USED", "PRODUCED", "WHAT"],
    ["left", "left", "left", "left", "left", "left"],
    runs.map((run) => [
      run.id,
      formatTime(run.startedMs),
      stateOf(run),
      refsOf(run.used),
      refsOf(run.produced),
      describeWhat(run),
    ]),
  );
}

function describeRun(run: Run): string {
  const rows: [string, string][] = [
    ["run", run.id],
    ["kind", run.kind],
    ["title", printable(run.title ?? "-")],
    ["command", printable(run.command.join(" ")) || "-"],
    ["directory", printable(run.directory ?? "-")],
    ["by", `${printable(run.user)} on ${printable(run.host)}`],
    ["git", describeGit(run.git)],
    ["started", formatTime(run.startedMs)],
    ["state", stateOf(run)],
    ["used", linesOf(run.used)],
    ["produced", linesOf(run.produced)],
  ];
  return fields(rows);
}

/** A run in one line: its title or its command, cut where that is long. */
export function describeWhat({ title, command }: Run): string {
  const text = printable(title ?? command.join(" "));
  return text.length > LONGEST_COMMAND ? `${text.slice(0, LONGEST_COMMAND - 3)}...` : text;
}

function stateOf({ startedMs, finishedMs, exitCode }: Run): string {
  if (finishedMs === null) return "not ended";
  const duration = formatDuration(finishedMs - startedMs);
  return exitCode === null || exitCode === 0
    ? `ended, ${duration}`
    : `exit ${exitCode}, ${duration}`;
}

function describeGit(git: GitState | null): string {
  if (git === null) return "-";
  const changed = git.dirty === true ? ", with changes" : "";
  return printable(`${git.commit}${changed}${git.remote === null ? "" : ` of ${git.remote}`}`);
}

function refsOf(versions: readonly RunVersion[]): string {
  return [...new Set(versions.map(({ ref }) => ref))].join(" ") || "-";
}

function linesOf(versions: readonly RunVersion[]): string {
  const lines = versions.map(({ ref, type, how, deleted }) =>
    [ref, `(${type}, ${how})`, ...(deleted ? ["deleted"] : [])].join(" "),
  );
  return lines.join("\n") || "-";
}

function parseExitCode(text: string): number {
  const code = /^\d{1,3}$/.test(text) ? Number(text) : 256;
  if (code > 255) throw new Fault("usage", `--exit-code takes 0 to 255; got "${text}"`);
  return code;
}
