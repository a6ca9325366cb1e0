// The worker: the process that serves all mounts of one user. Started, restarted and outlived by the
// holder; answers commands on the control socket; ends by itself when there is nothing to serve.

import { writeSync } from "node:fs";
import { join } from "node:path";
import { Fault } from "../model/fault.js";
import { addon } from "../native/addon.js";
import { listen, type Answering } from "./channel.js";
import type { Home } from "./home.js";
import { Mounts } from "./mounts.js";
import type { Requests, Verb } from "./protocol.js";

/** How long a daemon without a mount waits for the next one. */
const GRACE_MS = 10_000;
/** How long one that has just started waits, at least, for the command that started it. */
const FIRST_GRACE_MS = 5_000;

export interface WorkerOptions {
  readonly home: Home;
  /** Where the holder that started this process listens. */
  readonly holderSocket: string;
  /** The mount that the holder brought is the reason for this process: without it there is an error. */
  readonly foreground: boolean;
  /** Unmount everything in order and end. */
  readonly stop: AbortSignal;
  /** Milliseconds to live on after the last unmount. */
  readonly graceMs?: number;
}

/** Serves until the last mount is gone and the grace period is over, or until `stop`. */
export async function runWorker(options: WorkerOptions): Promise<void> {
  const { home } = options;
  const graceMs = options.graceMs ?? (options.foreground ? 0 : GRACE_MS);
  const lock = addon().lockFile(join(home.runDir, "daemon.lock"));
  if (lock === null) {
    throw new Fault("busy", `Another daemon serves ${home.runDir} already`, {
      subject: home.runDir,
    });
  }

  let finish: (reason: string) => void = () => undefined;
  const finished = new Promise<string>((resolve) => {
    finish = (reason) => {
      ending = true;
      resolve(reason);
    };
  });
  let grace: NodeJS.Timeout | undefined;
  let answeringCount = 0;
  let ending = false;
  let wasUsed = options.foreground;
  const waitForWork = (): void => {
    clearTimeout(grace);
    const waitMs = wasUsed ? graceMs : Math.max(graceMs, FIRST_GRACE_MS);
    grace = setTimeout(() => {
      if (mounts.size > 0) return;
      if (answeringCount > 0) waitForWork();
      else finish("nothing is mounted any more");
    }, waitMs);
  };
  const mounts = new Mounts({
    home,
    holderSocket: options.holderSocket,
    log,
    onIdle: waitForWork,
  });

  const answering: Answering = async ({ verb, request }) => {
    if (ending && verb === "prepare") throw endingFault();
    wasUsed ||= verb === "prepare";
    if (mounts.size === 0 && grace !== undefined) waitForWork();
    answeringCount++;
    try {
      if (!Object.hasOwn(VERBS, verb)) throw otherVersionFault(verb);
      return await VERBS[verb](mounts, request as never);
    } finally {
      answeringCount--;
    }
  };
  const listening = await listen(home.controlSocket, answering, (error) =>
    log(error instanceof Error ? (error.stack ?? error.message) : String(error)),
  );
  try {
    const stop = (): void => finish(String(options.stop.reason));
    options.stop.addEventListener("abort", stop);
    if (options.stop.aborted) stop();
    log(`serving (pid ${process.pid}, holder ${process.ppid})`);
    const failures = await mounts.resume();
    // In the foreground there is nothing to wait for once the mount it was started for is gone.
    if (options.foreground && failures.length > 0) throw failures[0];
    waitForWork();
    log(`ending: ${await finished}`);
  } finally {
    ending = true;
    // New commands start a new daemon; those under way are answered first.
    listening.stop();
    await mounts.unmountAll();
    await listening.answered();
    await mounts.close();
    clearTimeout(grace);
    addon().closeFd(lock);
    log("ended");
  }
}

function otherVersionFault(verb: string): Fault {
  return new Fault(
    "usage",
    `The daemon that runs does not know "${verb}": it is of another version of refmount. ` +
      "Unmount what it serves, and the next mount starts the new one",
  );
}

/** Tells a command that came too late to start the next daemon: see `prepareMount`. */
function endingFault(): Fault {
  return new Fault("unavailable", "The daemon is ending; try again");
}

type Verbs = {
  readonly [V in Verb]: (
    mounts: Mounts,
    request: Requests[V]["request"],
  ) => Promise<Requests[V]["answer"]>;
};

const VERBS: Verbs = {
  prepare: async (mounts, { record }) => {
    await mounts.prepare(record);
    return null;
  },
  serve: (mounts, { id }) => mounts.serve(id),
  cancel: async (mounts, { id }) => {
    await mounts.cancel(id);
    return null;
  },
  gone: async (mounts, { dir, lazy }) => ({ found: await mounts.gone(dir, lazy) }),
  detach: async (mounts, { dir, force }) => ({ detached: await mounts.detach(dir, force) }),
  status: (mounts) => Promise.resolve(mounts.status()),
};

/** One line to the daemon's log, which is this process's standard error. */
function log(line: string): void {
  try {
    writeSync(2, `${new Date().toISOString()} ${process.pid} ${line}\n`);
  } catch {
    // A full disk or a closed terminal must not end the mounts.
  }
}
