// Starts a daemon and waits until it answers: the holder as a session of its own, with its output in
// its log, never holding the caller's pipes.

import { spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
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
  while (!(await answers(home))) {
    if (holderLives(home)) {
      // It is starting its worker again, or ending after the last unmount: either takes a moment.
      if (performance.now() > deadline)
        throw notUp(home, "its holder lives but its worker does not");
      await delay(POLL_MS);
      continue;
    }
    const lock = addon().lockFile(join(home.runDir, "start.lock"));
    if (lock === null) {
      // Another command is starting it.
      if (performance.now() > deadline) throw notUp(home, "another command has been starting it");
      await delay(POLL_MS);
      continue;
    }
    try {
      // It may have come up between our question and the lock.
      if ((await answers(home)) || holderLives(home)) continue;
      await start(home, environment, deadline);
      return;
    } finally {
      addon().closeFd(lock);
    }
  }
}

async function start(home: Home, environment: Environment, deadline: number): Promise<void> {
  const log = openSync(home.logPath, "a", 0o600);
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

function holderLives(home: Home): boolean {
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
