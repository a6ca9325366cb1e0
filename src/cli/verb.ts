// What the verbs share: how one is declared, and what its action works with.

import type { Readable } from "node:stream";
import type { Command } from "commander";
import type { Environment, Home } from "../daemon/home.js";
import type { Interrupts } from "./interrupts.js";
import { Progress, type OutputStream } from "./progress.js";

/** What a command may use of its process: handed down, so that no verb touches the process itself. */
export interface Invocation {
  readonly environment: Environment;
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  /** Standard input, opened when it is first needed. */
  readonly openStdin: () => Readable;
  readonly interrupts: Interrupts;
  /** The exit code of a command that ends without a fault; `run` sets that of its child. */
  exitCode: number;
}

/** Declares one verb on `program`. */
export type AddVerb = (program: Command, invocation: Invocation) => void;

/** Options that every verb takes. */
export interface GlobalOptions {
  readonly home?: string;
  readonly json?: boolean;
}

/** What a verb's action works with. */
export interface Desk {
  readonly json: boolean;
  readonly progress: Progress;
  openHome(): Promise<Home>;
  /** Writes the result: `value` as one JSON document with --json, else `text`. */
  print(value: unknown, text: () => string): void;
  /** Writes to stderr what is worth knowing but no result. */
  note(text: string): void;
}

/** The desk of one run of `command`, made from its global options. */
export function openDesk(command: Command, invocation: Invocation): Desk {
  const options = command.optsWithGlobals<GlobalOptions>();
  const json = options.json === true;
  const progress = new Progress(json ? null : invocation.stderr);
  return {
    json,
    progress,
    async openHome() {
      const { openHome } = await import("../daemon/home.js");
      return openHome(options.home, invocation.environment);
    },
    print(value, text) {
      progress.clear();
      invocation.stdout.write(`${json ? JSON.stringify(value, null, 2) : text()}\n`);
    },
    note(text) {
      progress.clear();
      invocation.stderr.write(`note: ${text}\n`);
    },
  };
}

/** Examples at the end of `--help`. */
export function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  ${line}`).join("\n")}`;
}

/** Collects the values of an option that may be given several times. */
export function repeatable(value: string, previous: readonly string[] | undefined): string[] {
  return [...(previous ?? []), value];
}
