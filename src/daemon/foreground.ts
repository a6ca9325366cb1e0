// `mount --foreground`: the command's own process becomes the holder, so that a container or systemd
// sees one process tree; SIGTERM unmounts and ends it. Where a daemon runs already, that one serves
// the mount and the command waits.

import { closeSync, openSync, unlinkSync, writeSync } from "node:fs";
import { join } from "node:path";
import { Fault } from "../model/fault.js";
import { cloneCount, STATE_BYTES } from "../mount/holder.js";
import { addon, holderPath } from "../native/addon.js";
import type { Environment, Home } from "./home.js";
import type { MountRecord } from "./protocol.js";
import { daemonEnvironment, holderArguments } from "./start.js";

/** Set for a worker whose first mount is the reason for its being. */
export const FOREGROUND_VARIABLE = "REFMOUNT_FOREGROUND";

/**
 * Replaces this process by a holder that keeps `device` and starts a worker to serve it.
 * @param device the mounted device; survives into the holder.
 */
export function becomeHolder(
  home: Home,
  record: MountRecord,
  device: number,
  environment: Environment,
): never {
  const lock = addon().lockFile(join(home.runDir, "start.lock"));
  if (lock === null) {
    throw new Fault("busy", "Another command is starting a daemon; try again", {
      subject: home.runDir,
    });
  }
  const recordFd = holdText(join(home.runDir, `${record.id}.record`), JSON.stringify(record));
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
  return addon().exec(holderPath(), [holderPath(), ...args], [device, recordFd]);
}

// An unlinked file: the record holds credentials and must be nowhere but in memory and this descriptor.
function holdText(path: string, text: string): number {
  const fd = openSync(path, "wx+", 0o600);
  unlinkSync(path);
  try {
    writeSync(fd, text, 0);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}
