// Records which runs used and produced which versions. What cannot be recorded is told and never stops
// the work that it is about.

import { Fault } from "../model/fault.js";
import { Registry } from "../registry/registry.js";
import type { Producer, Run, RunKind } from "../registry/run.js";
import type { Lineage } from "../registry/lineage.js";
import type { Environment, Home } from "./home.js";
import { captureRun } from "./run-capture.js";

export type { GitState, Run, RunKind, RunVersion } from "../registry/run.js";
export type { Lineage, LineageEdge, LineageNode } from "../registry/lineage.js";

/** Names the run that commands belong to. */
export const RUN_VARIABLE = "REFMOUNT_RUN";

/** One revision of a version. */
export interface UsedVersion {
  readonly ref: string;
  readonly manifestDigest: string;
}

/** A use that is about to be: what is to be known of it is being found out meanwhile. */
export interface Use {
  /** Records that it was of this version. What goes wrong is told to `onNotice`, as a sentence. */
  record(home: Home, version: UsedVersion, onNotice: (message: string) => void): Promise<void>;
}

/**
 * Begins a use: by the run that `REFMOUNT_RUN` names, else by one that stands for this command alone.
 * To be called before the work, so that asking git takes none of its time.
 */
export function beginUse(environment: Environment, how: Exclude<RunKind, "log">): Use {
  const named = environment[RUN_VARIABLE] ?? "";
  const capturing = named === "" ? captureRun(how, ownCommand()) : null;
  return {
    async record(home, { ref, manifestDigest }, onNotice) {
      const capture = await capturing;
      try {
        using registry = Registry.open(home);
        const id = capture === null ? named : registry.runs.start(capture);
        registry.recordRun(id, "used", ref, manifestDigest, how);
        if (capture !== null) registry.runs.finish(id, null);
      } catch (error) {
        if (!(error instanceof Fault)) throw error;
        onNotice(`the use of ${ref} is not recorded: ${error.message}`);
      }
    },
  };
}

/** Who is said to have produced what is logged. */
export interface ProducerClaim {
  /** The id of a run; null: the one that `REFMOUNT_RUN` names, if any. */
  readonly run: string | null;
  /** A command line, of a run that refmount did not see. */
  readonly command: string | null;
}

/** @throws Fault `usage` when it is said twice. */
export async function captureProducer(
  environment: Environment,
  { run, command }: ProducerClaim,
): Promise<Producer> {
  if (run !== null && command !== null) {
    throw new Fault("usage", "Say who produced it by --run or by --produced-by, not by both");
  }
  if (command !== null) return { start: await captureRun("log", [command]) };
  const named = run ?? environment[RUN_VARIABLE] ?? "";
  return named === "" ? { start: await captureRun("log", ownCommand()) } : { run: named };
}

/** Begins a run; gives its id, which is also the value of `REFMOUNT_RUN`. */
export async function startRun(
  home: Home,
  command: readonly string[],
  title: string | null,
): Promise<string> {
  const capture = await captureRun("run", command, title);
  using registry = Registry.open(home);
  return registry.runs.start(capture);
}

/** @throws Fault `not-found`; `usage` when it has ended before. */
export function finishRun(home: Home, id: string, exitCode: number | null): Run {
  using registry = Registry.open(home);
  return registry.runs.finish(id, exitCode);
}

/** @param id may be cut short where that is unambiguous. @throws Fault `not-found`, `usage` */
export function findRun(home: Home, id: string): Run {
  using registry = Registry.open(home);
  return registry.runs.find(id);
}

/** The newest first. */
export function listRuns(home: Home, kinds: readonly RunKind[], limit: number): readonly Run[] {
  using registry = Registry.open(home);
  return registry.runs.list({ kinds, limit });
}

/** @throws Fault `not-found` */
export function traceVersion(
  home: Home,
  ref: string,
  directions: { readonly up: boolean; readonly down: boolean },
): Lineage {
  using registry = Registry.open(home);
  return registry.lineage(ref, directions);
}

/** The command line of this process, without the interpreter. */
function ownCommand(): readonly string[] {
  return ["refmount", ...process.argv.slice(2)];
}
