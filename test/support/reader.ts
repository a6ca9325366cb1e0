// Reads files in processes of their own, as a mount must be read.

import { execFile, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";

const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;

/** What `command` prints. @throws Error with its complaint as the message. */
export function run(command: string, ...args: readonly string[]): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const options = {
      encoding: "buffer",
      maxBuffer: MAX_OUTPUT_BYTES,
      env: { ...process.env, LC_ALL: "C" },
    } as const;
    execFile(command, args, options, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new Error(stderr.toString() || error.message));
    });
  });
}

/** The bytes of the file at `path`. @throws Error with the reader's complaint as the message. */
export function readFileElsewhere(path: string): Promise<Buffer> {
  return run("cat", "--", path);
}

/** What `cat` says when it reads `path`: its complaint, or "read" when there is none. */
export async function complaintOf(path: string): Promise<string> {
  return readFileElsewhere(path).then(
    () => "read",
    (error: unknown) => (error as Error).message.trim(),
  );
}

/** A process that holds `path` open until it is disposed. */
export class Holding implements AsyncDisposable {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  static async open(path: string): Promise<Holding> {
    const script = 'exec 3<"$1"; echo open; read line';
    const child = spawn("sh", ["-c", script, "sh", path], { stdio: ["pipe", "pipe", "inherit"] });
    await once(child.stdout, "data");
    return new Holding(child);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const exited = once(this.#child, "exit");
    this.#child.stdin?.end();
    await exited;
  }
}
