// Starts a daemon and waits until it answers: the holder as a session of its own, with its output in
// its log, never holding the caller's pipes.

import { spawn } from "node:child_process";
import { closeSync, openSync, readFileSync, renameSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Fault } from "../model/fault.js";
import { Holder } from "../mount/holder.js";
import { addon, holderPath } from "../native/addon.js";
import { call } from "./channel.js";
import type { Environment, Home } from "./home.js";

const START_TIMEOUT_MS = 15_000;
const POLL_MS = 5;
const MAX_LOG_BYTES = 16 * 1_048_576;

/** Threads for file system calls, hashing and DNS: none of them may wait for another's disk. */
const WORKER_THREADS = 16;

/** The executable, as installed. */
export function mainPath(): string {
  return fileURLToPath(new URL("../main.js", import.meta.url));
}

/** What the holder is called with; the worker finds its home in the environment. */
export function holderArguments(home: Home, extra: readonly string[] = []): string[] {
  const worker = [process.execPath, mainPath(), "daemon"];
  return ["--socket", home.holderSocket, ...extra, "--", ...worker];
}

/** The environment of the daemon itself: nothing secret, since mounts bring their own. */
export function daemonEnvironment(home: Home, environment: Environment): Record<string, string> {
  const kept: Record<string, string> = { UV_THREADPOOL_SIZE: String(WORKER_THREADS) };
  for (const name of [
    "PATH",
    "HOME",
    "USER",
    "LANG",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "REFMOUNT_GRACE_MS",
  ]) {
    const value = environment[name];
    if (value !== undefined) kept[name] = value;
  }
  for (const name of ["XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"]) {
    const value = environment[name];
    if (value !== undefined) kept[name] = value;
  }
  if (home.root !== null) kept["REFMOUNT_HOME"] = home.root;
  return kept;
}

/**
 * Makes sure a daemon answers on the control socket. Two commands may ask at once: one starts it.
 * @throws Fault `unavailable` with the end of the log when it does not come up.
 */
export async function ensureDaemon(home: Home, environment: Environment): Promise<void> {
  const deadline = performance.now() + START_TIMEOUT_MS;
  const lock = await claimStart(home, deadline);
  if (lock === null) return;
  try {
    await start(home, environment, deadline);
  } finally {
    addon().closeFd(lock);
  }
}

/**
 * Waits until a daemon answers, or until it is this process's turn to start one.
 * @returns the lock of whoever starts one, to be closed; null when a daemon answers.
 * @throws Fault `unavailable` when neither comes about.
 */
export async function claimStart(
  home: Home,
  deadline = performance.now() + START_TIMEOUT_MS,
): Promise<number | null> {
  for (;;) {
    if (await answers(home)) return null;
    let why = "its holder lives but its worker does not";
    // One that lives is starting its worker again, or ending after the last unmount.
    if (!holderLives(home)) {
      why = "another command has been starting it";
      const lock = addon().lockFile(join(home.runDir, "start.lock"));
      if (lock !== null) {
        // It may have come up between our question and the lock.
        if (!(await answers(home)) && !holderLives(home)) return lock;
        addon().closeFd(lock);
      }
    }
    if (performance.now() > deadline) throw notUp(home, why);
    await delay(POLL_MS);
  }
}

async function start(home: Home, environment: Environment, deadline: number): Promise<void> {
  const log = openLog(home.logPath);
  const child = spawn(holderPath(), holderArguments(home), {
    cwd: "/",
    detached: true,
    stdio: ["ignore", log, log],
    env: daemonEnvironment(home, environment),
  });
  closeSync(log);
  let ended: string | undefined;
  child.on("error", (error) => (ended = error.message));
  child.on("exit", (code, signal) => (ended = `it ended with ${signal ?? code ?? "no code"}`));
  child.unref();
  while (!(await answers(home))) {
    if (ended !== undefined) throw notUp(home, ended);
    if (performance.now() > deadline)
      throw notUp(home, `no answer in ${START_TIMEOUT_MS / 1000} s`);
    await delay(POLL_MS);
  }
}

/** False when there is no daemon, not even one that starts its worker again. */
export function holderLives(home: Home): boolean {
  try {
    Holder.connect(home.holderSocket)[Symbol.dispose]();
    return true;
  } catch {
    return false;
  }
}

async function answers(home: Home): Promise<boolean> {
  return (await call(home.controlSocket, "status", {}).catch(() => null)) !== null;
}

/** The log of one daemon after the other; one that has grown large is put aside first. */
function openLog(path: string): number {
  try {
    const sizeBytes = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
    if (sizeBytes > MAX_LOG_BYTES) renameSync(path, `${path}.1`);
    return openSync(path, "a", 0o600);
  } catch (cause) {
    throw new Fault("denied", `Cannot write the daemon's log: ${(cause as Error).message}`, {
      subject: path,
      cause,
    });
  }
}

function notUp(home: Home, why: string): Fault {
  let tail = "";
  try {
    tail = readFileSync(home.logPath, "utf8").trimEnd().split("\n").slice(-3).join("\n");
  } catch {
    // No log: the reason has to do.
  }
  return new Fault(
    "unavailable",
    `The daemon did not start: ${why}. Its log is ${home.logPath}${tail === "" ? "" : `:\n${tail}`}`,
  );
}
