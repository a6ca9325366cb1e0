// A read under way: a process that reads one file and may have to wait for its bytes.

import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";

/** How a reader ended. */
export interface ReadOutcome {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** SHA-256 of what it read. */
  readonly sha256: string;
  readonly complaint: string;
}

/** read(2) from descriptor 3, as /proc/PID/syscall tells it on x86-64 and on arm64. */
const READS_FD_3 = /^(0|63) 0x3 /;

export class Reading implements AsyncDisposable {
  readonly pid: number;
  readonly ended: Promise<ReadOutcome>;
  readonly #path: string;

  private constructor(path: string, command: string, args: readonly string[]) {
    const child = spawn(command, args, {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, LC_ALL: "C" },
    });
    const hash = createHash("sha256");
    let complaint = "";
    child.stdout.on("data", (bytes: Buffer) => hash.update(bytes));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (complaint += text));
    this.ended = new Promise((resolve, reject) => {
      child.on("error", reject);
      child.on("close", (code, signal) => {
        resolve({ code, signal, sha256: hash.digest("hex"), complaint: complaint.trim() });
      });
    });
    this.pid = child.pid ?? 0;
    this.#path = path;
  }

  /** `cat PATH`. */
  static start(path: string): Reading {
    return new Reading(path, "cat", ["--", path]);
  }

  /** `bytes` bytes from `offset`. */
  static startAt(path: string, offset: number, bytes: number): Reading {
    const range = [`skip=${offset}`, `count=${bytes}`, "iflag=skip_bytes,count_bytes,fullblock"];
    return new Reading(path, "dd", [`if=${path}`, "bs=1M", "status=none", ...range]);
  }

  /** python3 runs `script` with the path as its argument. */
  static startPython(path: string, script: string): Reading {
    return new Reading(path, "python3", ["-c", script, path]);
  }

  /** True when `cat` has the file open and is in the kernel for its bytes. */
  waits(): boolean {
    try {
      return (
        readlinkSync(`/proc/${this.pid}/fd/3`) === this.#path &&
        READS_FD_3.test(readFileSync(`/proc/${this.pid}/syscall`, "latin1"))
      );
    } catch {
      // Not there yet, or ended.
      return false;
    }
  }

  kill(signal: NodeJS.Signals): void {
    process.kill(this.pid, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.kill("SIGKILL");
    } catch {
      // Ended by itself.
    }
    await this.ended;
  }
}
