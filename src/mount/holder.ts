// The worker's and the commands' side of the holder's protocol: who keeps the device descriptors of
// all mounts, so that they outlive any process with a JavaScript engine in it.

import { availableParallelism } from "node:os";
import { addon, type HolderLink } from "../native/addon.js";
import { Fault } from "../model/fault.js";

/** Bytes of the state that successive workers share; a session lengthens it as needed. */
export const STATE_BYTES = 4096;

/** What `take` gives: descriptors that are the caller's own copies. */
export interface TakenMount {
  readonly record: string;
  readonly stateFd: number;
  readonly devices: readonly number[];
}

/** Devices besides the mount's own; each gets a reading thread. */
export function cloneCount(): number {
  return Math.min(Math.max(availableParallelism(), 2), 8) - 1;
}

export class Holder implements Disposable {
  readonly #link: HolderLink;

  private constructor(link: HolderLink) {
    this.#link = link;
  }

  /** @throws Fault `unavailable` when no holder listens at `socketPath`. */
  static connect(socketPath: string): Holder {
    try {
      return new Holder(addon().connectHolder(socketPath));
    } catch (cause) {
      throw new Fault("unavailable", `The daemon's holder does not answer at ${socketPath}`, {
        cause,
      });
    }
  }

  /** Gives the holder a mounted device to keep; it opens the clones. The caller may close its own. */
  adopt(id: string, record: string, device: number): void {
    this.#ask(`adopt ${id} ${cloneCount()} ${STATE_BYTES}\n${record}`, [device]);
  }

  take(id: string): TakenMount {
    const { text, fds } = this.#ask(`take ${id}`, []);
    const [stateFd, ...devices] = fds;
    if (stateFd === undefined || devices.length === 0) {
      throw new Error(`The holder gave ${fds.length} descriptors for mount ${id}`);
    }
    return { record: text, stateFd, devices };
  }

  /** Ids of the mounts it keeps. */
  list(): readonly string[] {
    return this.#ask("list", [])
      .text.split(" ")
      .filter((id) => id !== "");
  }

  /** The records of the mounts it keeps. */
  records(): readonly string[] {
    return this.list().map((id) => {
      const { record, stateFd, devices } = this.take(id);
      for (const fd of [stateFd, ...devices]) addon().closeFd(fd);
      return record;
    });
  }

  drop(id: string): void {
    this.#ask(`drop ${id}`, []);
  }

  [Symbol.dispose](): void {
    this.#link.close();
  }

  #ask(message: string, fds: readonly number[]): { text: string; fds: readonly number[] } {
    const answer = this.#link.call(message, fds);
    if (answer.message === "ok") return { text: "", fds: answer.fds };
    if (answer.message.startsWith("ok ")) {
      return { text: answer.message.slice(3), fds: answer.fds };
    }
    for (const fd of answer.fds) addon().closeFd(fd);
    throw new Error(`The holder refused "${message.split("\n", 1)[0] ?? ""}": ${answer.message}`);
  }
}
