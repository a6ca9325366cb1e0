// `mount --foreground`: the command's own process becomes the holder, so that a container or systemd
// sees one process tree; SIGTERM unmounts and ends it. Where a daemon runs already, that one serves
// the mount and the command waits until it is gone.

import { setImmediate as nextTurn, setTimeout as delay } from "node:timers/promises";
import { Fault } from "../model/fault.js";
import { cloneCount, STATE_BYTES } from "../mount/holder.js";
import { isOwnMount } from "../mount/mountinfo.js";
import { addon, holderPath } from "../native/addon.js";
import { attach, undoAttach } from "./attach.js";
import { call } from "./channel.js";
import type { Environment, Home } from "./home.js";
import { refuseMounted } from "./mountpoint.js";
import type { MountRecord } from "./protocol.js";
import { daemonEnvironment, holderArguments, holderLives } from "./start.js";

/** Set for a worker whose first mount is the reason for its being. */
export const FOREGROUND_VARIABLE = "REFMOUNT_FOREGROUND";

const POLL_MS = 100;

export interface ForegroundOptions {
  readonly home: Home;
  readonly record: MountRecord;
  /** From `claimStart`: nobody else may start a daemon as long as this one lives. */
  readonly startLock: number;
  readonly environment: Environment;
  /** Called when there is a mount, before this process is replaced; may throw to undo it. */
  readonly onMounted: () => void;
}

/**
 * Mounts, then replaces this process by a holder that keeps the device and starts a worker to serve it.
 * @throws Fault `busy`, `denied`; nothing is mounted then.
 */
export async function becomeHolder(options: ForegroundOptions): Promise<never> {
  const { record, startLock } = options;
  let device: number | undefined;
  try {
    refuseMounted(record.directory);
    device = attach(record);
    // What came before is heard in the second turn at the latest; what comes later, by the holder.
    addon().holdSignals();
    await nextTurn();
    await nextTurn();
    options.onMounted();
    return replaceProcess(options, device);
  } catch (error) {
    if (device !== undefined) {
      undoAttach(record.directory);
      addon().closeFd(device);
    }
    addon().closeFd(startLock);
    throw error;
  }
}

/**
 * Settles when the mount at `path`, served by the daemon, is gone.
 * @throws Fault `unavailable` when nobody serves it any more, or when `signal` ends the waiting.
 */
export async function untilGone(home: Home, path: string, signal: AbortSignal): Promise<void> {
  for (;;) {
    const gone = await call(home.controlSocket, "gone", { dir: path, lazy: false }, signal).catch(
      () => null,
    );
    if (gone?.answer.found === true || !isOwnMount(path)) return;
    if (!holderLives(home)) {
      undoAttach(path);
      throw new Fault(
        "unavailable",
        `The daemon that served ${path} was killed; its log is ${home.logPath}`,
      );
    }
    // Its worker is being started again and takes the mount over in a moment.
    await delay(POLL_MS);
    signal.throwIfAborted();
  }
}

function replaceProcess(options: ForegroundOptions, device: number): never {
  const { home, record, startLock, environment } = options;
  // The record holds credentials: it must be nowhere but in memory.
  const recordFd = addon().memoryFile(JSON.stringify(record));
  const adopt = `${device}:${record.id}:${cloneCount()}:${STATE_BYTES}`;
  const args = holderArguments(home, [
    "--foreground",
    "--adopt",
    adopt,
    "--record",
    String(recordFd),
  ]);
  const variables = { ...daemonEnvironment(home, environment), [FOREGROUND_VARIABLE]: "1" };
  for (const name of Object.keys(process.env)) Reflect.deleteProperty(process.env, name);
  Object.assign(process.env, variables);
  process.chdir("/");
  return addon().exec(holderPath(), args, [device, recordFd, startLock]);
}
