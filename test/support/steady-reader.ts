// Processes that read a mount without a pause while something happens to it, and tell what they saw.

import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

/** What one reader saw. */
export interface SteadyReport {
  readonly rounds: number;
  readonly reads: number;
  readonly failed: readonly string[];
  readonly wrong: readonly string[];
}

const SCRIPT = fileURLToPath(new URL("steady_reader.py", import.meta.url));

export class SteadyReader implements AsyncDisposable {
  readonly #child: ChildProcess;
  #output = "";
  #rounds = 0;

  /**
   * Begins to read the mount at `dir`.
   * @param expectedPath a JSON file: path in the mount -> SHA-256, hex.
   */
  constructor(dir: string, expectedPath: string) {
    const child = spawn("python3", ["-I", SCRIPT, dir, expectedPath], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#child = child;
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      this.#output = (this.#output + text).slice(-1_000_000);
      this.#rounds += text.match(/round/g)?.length ?? 0;
    });
  }

  /** Rounds so far. */
  get rounds(): number {
    return this.#rounds;
  }

  /** Ends it after the round it is in. */
  async finish(): Promise<SteadyReport> {
    const closed = once(this.#child, "close");
    this.#child.stdin?.end();
    await closed;
    return JSON.parse(this.#output.trimEnd().split("\n").at(-1) ?? "") as SteadyReport;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const closed = once(this.#child, "close");
    this.#child.kill("SIGKILL");
    await closed;
  }
}
