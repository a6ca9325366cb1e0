// The life of `refmount run`: a mount, a child process, and always an unmount.

import { spawn, type ChildProcess } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdtemp, rmdir } from "node:fs/promises";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { findVersion } from "../daemon/browse.js";
import { mountRef } from "../daemon/client.js";
import type { Environment, Home } from "../daemon/home.js";
import { finishRun, RUN_VARIABLE, startRun } from "../daemon/provenance.js";
import { Fault } from "../model/fault.js";
import type { Interrupts } from "./interrupts.js";
import { unmountAlways } from "./unmount-always.js";

export interface RunOptions {
  readonly home: Home;
  readonly ref: string;
  readonly type: string | null;
  /** Null: a private temporary directory. */
  readonly at: string | null;
  /** The command and its arguments, not empty. */
  readonly argv: readonly string[];
  readonly environment: Environment;
  readonly interrupts: Interrupts;
  readonly timeoutMs: number;
  readonly note: (text: string) => void;
}

/** What shells exit with for a command that was not found, and for one that may not be run. */
const NOT_FOUND_CODE = 127;
const NOT_EXECUTABLE_CODE = 126;

/** Runs the command in the mount and returns its exit code; 128 + n when signal n ended it. */
export async function runMounted(options: RunOptions): Promise<number> {
  const { home, environment } = options;
  // Within a run that somebody started, this is a part of that one.
  if ((environment[RUN_VARIABLE] ?? "") !== "") return await runInside(options);
  // What is not there was never run.
  findVersion(home, options.ref, options.type ?? undefined);
  const id = await startRun(home, options.argv, null);
  let code: number | null = null;
  try {
    code = await runInside({ ...options, environment: { ...environment, [RUN_VARIABLE]: id } });
    return code;
  } finally {
    endRun(options, id, code);
  }
}

/** The command's own end counts, whatever becomes of its record. */
function endRun({ home, note }: RunOptions, id: string, code: number | null): void {
  try {
    finishRun(home, id, code);
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    note(`the end of run ${id} is not recorded: ${error.message}`);
  }
}

async function runInside(options: RunOptions): Promise<number> {
  const dir = options.at ?? (await mkdtemp(join(tmpdir(), "refmount-run-")));
  try {
    return await mountAndRun(dir, options);
  } finally {
    // Only the empty mountpoint: should it still be mounted, this fails and removes nothing.
    if (options.at === null) await rmdir(dir).catch(() => undefined);
  }
}

async function mountAndRun(dir: string, options: RunOptions): Promise<number> {
  const { home, interrupts } = options;
  using interruption = interrupts.abortable();
  const mount = await mountRef(
    home,
    {
      ref: options.ref,
      dir,
      ...(options.type === null ? {} : { type: options.type }),
      allowOther: false,
      require: "pin",
      cacheBytes: null,
      timeoutMs: options.timeoutMs,
      driver: "native",
      io: "auto",
      foreground: false,
    },
    options.environment,
  );
  try {
    interruption.signal.throwIfAborted();
    for (const note of mount.notes) options.note(note);
    return await runChild(mount.path, options);
  } finally {
    // A signal must not keep the directory mounted.
    const held = interrupts.receive(() => true);
    await unmountAlways(home, mount.path, options.note);
    held[Symbol.dispose]();
  }
}

async function runChild(dir: string, options: RunOptions): Promise<number> {
  const [file = "", ...args] = options.argv.map((word) => word.replaceAll("{}", dir));
  const child = spawn(file, args, {
    stdio: "inherit",
    env: { ...options.environment, REFMOUNT_DIR: dir },
  });
  const forwarding = options.interrupts.receive((signalName) => {
    if (!cameFromTerminal(signalName)) child.kill(signalName);
    return true;
  });
  try {
    return await exitCode(child, (message) => options.note(`cannot run "${file}": ${message}`));
  } finally {
    forwarding[Symbol.dispose]();
  }
}

function exitCode(child: ChildProcess, onFailure: (message: string) => void): Promise<number> {
  return new Promise((resolve, reject) => {
    child.on("error", (error: NodeJS.ErrnoException) => {
      const code = spawnFailureCode(error);
      if (code === null) {
        reject(error);
        return;
      }
      onFailure(error.message);
      resolve(code);
    });
    child.on("exit", (code, signalName) => {
      resolve(signalName === null ? (code ?? 1) : 128 + constants.signals[signalName]);
    });
  });
}

function spawnFailureCode(error: NodeJS.ErrnoException): number | null {
  if (error.code === "ENOENT") return NOT_FOUND_CODE;
  return error.code === "EACCES" || error.code === "ENOEXEC" ? NOT_EXECUTABLE_CODE : null;
}

// Ctrl-C and Ctrl-\ reach the whole foreground group, so the child has them already; a second
// KeyboardInterrupt would end its cleanup.
function cameFromTerminal(signalName: NodeJS.Signals): boolean {
  if (signalName !== "SIGINT" && signalName !== "SIGQUIT") return false;
  const stat = readFileSync("/proc/self/stat", "utf8");
  const [, , , group, , , foregroundGroup] = stat.slice(stat.lastIndexOf(")") + 1).split(" ");
  return group !== undefined && group === foregroundGroup;
}
