// A folder seen through a file system that holds, slows or fails what the test names, as an NFS server
// does that is dead, slow or restarted. It is served by a process of its own (fault_fs.py), and
// unmounted whatever happens: that process ends with this one.

import { spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import { once } from "node:events";
import { constants } from "node:os";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";
import { deferred, type Deferred } from "../../src/model/deferred.js";

type Operation = "lookup" | "getattr" | "readlink" | "open" | "read" | "opendir" | "readdir";

/** Which operations. */
export interface Target {
  readonly ops: readonly Operation[];
  /** Found in the path below the folder; every path unless given. */
  readonly path?: RegExp;
  /** How many of them; all unless given. */
  readonly times?: number;
}

/** What the serving process says: a rule met an operation, or an order was obeyed. */
interface Event {
  readonly met?: number;
  readonly path?: string;
  readonly done?: number;
}

export class FaultFs implements AsyncDisposable {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #upsets: Upset[] = [];

  private constructor(child: ChildProcessWithoutNullStreams) {
    this.#child = child;
  }

  /** Shows `folder` at the existing directory `mountPoint`. Needs root and python3. */
  static async mount(folder: string, mountPoint: string): Promise<FaultFs> {
    const script = fileURLToPath(new URL("fault_fs.py", import.meta.url));
    const child = spawn("python3", [script, folder, mountPoint]);
    const fs = new FaultFs(child);
    onTestFinished(() => fs[Symbol.asyncDispose]());
    child.stdin.on("error", () => undefined);
    let complaint = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => (complaint += text));
    const mounted: Deferred<void> = deferred();
    child.on("exit", () => {
      mounted.reject(new Error(`the fault layer ended: ${complaint}`));
    });
    createInterface(child.stdout).on("line", (line) => {
      const event = JSON.parse(line) as Event;
      const about = event.met ?? event.done;
      if (about === undefined) mounted.resolve();
      else fs.#upsets[about]?.hear(event);
    });
    await mounted.promise;
    return fs;
  }

  /** Leaves operations unanswered. A process that waits for one can be killed, as with NFS. */
  hold(target: Target): Promise<Upset> {
    return this.#upset({ action: "hold" }, target);
  }

  /** Answers operations with an error. */
  fail(code: "EACCES" | "EIO" | "ENOENT" | "ESTALE" | "ETIMEDOUT", target: Target): Promise<Upset> {
    return this.#upset({ action: "fail", errno: constants.errno[code] }, target);
  }

  /** Answers operations this much later, in milliseconds. */
  slow(ms: number, target: Target): Promise<Upset> {
    return this.#upset({ action: "slow", ms }, target);
  }

  async #upset(action: object, { ops, path, times }: Target): Promise<Upset> {
    const id = this.#upsets.length;
    const upset = new Upset(() => {
      this.#send({ end: id });
    });
    this.#upsets.push(upset);
    this.#send({ rule: { id, ...action, ops, path: path?.source ?? "", times: times ?? -1 } });
    await upset.begun;
    return upset;
  }

  #send(order: object): void {
    this.#child.stdin.write(`${JSON.stringify(order)}\n`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, "exit");
    // It unmounts when its orders end; whatever it held fails then.
    this.#child.stdin.end();
    await exited;
  }
}

/** Operations that are upset, until `end`. */
export class Upset {
  /** Settles when it is in force. */
  readonly begun: Promise<void>;
  readonly #met: string[] = [];
  readonly #begun: Deferred<void> = deferred();
  readonly #ended: Deferred<void> = deferred();
  readonly #askToEnd: () => void;
  #ending = false;
  #waiting: { readonly count: number; readonly reached: Deferred<void> }[] = [];

  constructor(askToEnd: () => void) {
    this.#askToEnd = askToEnd;
    this.begun = this.#begun.promise;
  }

  /** The paths of the operations that it met, in order. */
  get met(): readonly string[] {
    return this.#met;
  }

  /** Settles when it has met so many operations. */
  reached(count: number): Promise<void> {
    const reached: Deferred<void> = deferred();
    this.#waiting.push({ count, reached });
    this.#look();
    return reached.promise;
  }

  /** Lets what is held go on and what comes later through; settles when that is in force. */
  end(): Promise<void> {
    this.#ending = true;
    this.#askToEnd();
    return this.#ended.promise;
  }

  hear(event: Event): void {
    if (event.met !== undefined) this.#met.push(event.path ?? "");
    else if (this.#ending) this.#ended.resolve();
    else this.#begun.resolve();
    this.#look();
  }

  #look(): void {
    this.#waiting = this.#waiting.filter(({ count, reached }) => {
      if (this.#met.length < count) return true;
      reached.resolve();
      return false;
    });
  }
}
