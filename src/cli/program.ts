// The command line as a whole: the verbs, the options that all of them take, and the wording of
// usage faults. Loads nothing that a verb does not need.

import { Command, CommanderError } from "commander";
import { readFileSync } from "node:fs";
import { Fault } from "../model/fault.js";
import { addAlias } from "./alias.js";
import { addCheckout } from "./checkout.js";
import { addDaemon } from "./daemon.js";
import { addDiff } from "./diff.js";
import { addDownload } from "./download.js";
import { addLineage } from "./lineage.js";
import { addLog } from "./log.js";
import { addLs } from "./ls.js";
import { addMetadata } from "./metadata.js";
import { addMount } from "./mount.js";
import { addExport, addImport } from "./import.js";
import { addGc, addRm, addTtl, addUndelete } from "./rm.js";
import { addRun } from "./run.js";
import { addRuns } from "./runs.js";
import { addSearch } from "./search.js";
import { addShow } from "./show.js";
import { addStatus } from "./status.js";
import { addDescribe, addTag } from "./tag.js";
import { addUnmount } from "./unmount.js";
import { addVerify } from "./verify.js";
import { examples, type AddVerb, type Invocation } from "./verb.js";

const VERBS: readonly AddVerb[] = [
  addLog,
  addMount,
  addUnmount,
  addRun,
  addDownload,
  addCheckout,
  addVerify,
  addLs,
  addDiff,
  addSearch,
  addShow,
  addLineage,
  addRuns,
  addAlias,
  addTag,
  addDescribe,
  addMetadata,
  addRm,
  addUndelete,
  addTtl,
  addGc,
  addImport,
  addExport,
  addStatus,
  addDaemon,
];

/**
 * Runs one command line.
 * @param argv the arguments after the name of the program.
 * @throws Fault `usage` for a command line that is none; what the verb throws.
 */
export async function execute(argv: readonly string[], invocation: Invocation): Promise<void> {
  const program = buildProgram(invocation);
  if (argv.length === 0) {
    const verbs = program
      .createHelp()
      .visibleCommands(program)
      .map((command) => command.name())
      .join(", ");
    throw new Fault("usage", `Name a command: ${verbs}. See refmount --help`);
  }
  try {
    await program.parseAsync(argv, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.code === "commander.help") {
      throw new Fault("usage", `Name what to do: see refmount ${argv[0] ?? ""} --help`);
    }
    if (error.exitCode !== 0) throw usageFault(error);
  }
}

function buildProgram(invocation: Invocation): Command {
  const program = new Command("refmount")
    .usage("<command> [options]")
    .description("Mounts a pinned artifact version as a verified, read-only directory.")
    .option("--home <dir>", "keep everything below this folder (or set REFMOUNT_HOME)")
    .option("--json", "print one JSON document on stdout")
    .option("--version", "print the version")
    .helpOption("-h, --help", "print help; also after a command")
    .helpCommand(false)
    .configureHelp({
      showGlobalOptions: true,
      subcommandTerm: (command) => `${command.name()} ${command.usage()}`.replace(" [options]", ""),
    })
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void invocation.stdout.write(text),
      getOutHelpWidth: () => Math.min(invocation.stdout.columns ?? 100, 100),
      // The fault that is thrown says it.
      writeErr: () => undefined,
    })
    .addHelpText(
      "after",
      examples(
        "refmount log mnist --type dataset --ref s3://bucket/datasets/mnist",
        "refmount mount mnist:latest /data/mnist",
        "refmount run mnist:v3 -- python train.py --data {}",
        "refmount unmount /data/mnist",
      ),
    );
  program.on("option:version", () => {
    invocation.stdout.write(`${ownVersion()}\n`);
    throw new CommanderError(0, "commander.version", "the version was printed");
  });
  for (const add of VERBS) add(program, invocation);
  return program;
}

// commander writes "error: unknown option '--foo'\n(Did you mean --force?)".
function usageFault(error: CommanderError): Fault {
  const message = error.message
    .replace(/^error: /, "")
    .replaceAll("\n", " ")
    .replace(/\.$/, "");
  return new Fault(
    "usage",
    `${message.charAt(0).toUpperCase()}${message.slice(1)}. See refmount --help`,
  );
}

function ownVersion(): string {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}
