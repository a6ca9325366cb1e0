// One process owns a cache folder: an flock that goes with the process, however it ends.

import { readFileSync, writeFileSync } from "node:fs";
import { Fault } from "../model/fault.js";
import { addon } from "../native/addon.js";

/**
 * Takes the lock of the folder `dir`, kept in the file `path`.
 * @throws Fault `busy` naming the process that has it.
 */
export function takeLock(dir: string, path: string): Disposable {
  const fd = addon().lockFile(path);
  if (fd === null) {
    throw new Fault(
      "busy",
      `The cache folder ${dir} is held by ${holderOf(path)}: stop it, or use another folder`,
      { subject: dir },
    );
  }
  // The lock is the flock; what stands in the file only tells who has it.
  writeFileSync(path, `${process.pid}\n`);
  let held = true;
  return {
    [Symbol.dispose]() {
      if (held) addon().closeFd(fd);
      held = false;
    },
  };
}

function holderOf(path: string): string {
  let pid = NaN;
  try {
    pid = Number.parseInt(readFileSync(path, "utf8"), 10);
  } catch {
    // Who it is only makes the message better.
  }
  return Number.isNaN(pid) ? "another process" : `the process ${pid}`;
}
