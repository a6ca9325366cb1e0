// A home of its own in a temporary folder, the built command line as child processes, and a cleanup
// that leaves no mount, no daemon and no file, whatever the test did.

import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { onTestFinished } from "vitest";
import { distFile } from "./dist.js";

/** How a command ended. */
export interface Outcome {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  /** Added to the rig's environment. */
  readonly environment?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** What the command reads; nothing unless given. */
  readonly input?: string;
  readonly uid?: number;
  readonly gid?: number;
}

/** A command that runs. */
export interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<Outcome>;
  /** Settles when the output so far, stdout or stderr, matches; rejects when the command ends first. */
  output(pattern: RegExp): Promise<void>;
  /** Settles as `promise` does; rejects when the command ends first. */
  until<T>(promise: Promise<T>): Promise<T>;
}

const END_TIMEOUT_MS = 5_000;
const POLL_MS = 20;

export class Rig implements AsyncDisposable {
  /** The temporary folder: everything of the test is in it. */
  readonly dir: string;
  readonly home: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly #main: string;
  readonly #running = new Set<ChildProcess>();

  private constructor(dir: string, environment: Readonly<Record<string, string>>) {
    this.dir = dir;
    this.home = join(dir, "home");
    this.#main = distFile("main.js");
    this.environment = {
      PATH: process.env["PATH"] ?? "",
      HOME: join(dir, "user"),
      TMPDIR: join(dir, "tmp"),
      LANG: "C.UTF-8",
      REFMOUNT_HOME: this.home,
      REFMOUNT_GRACE_MS: "200",
      // The machine's own credentials and metadata service are no part of a test.
      AWS_EC2_METADATA_DISABLED: "true",
      NO_GCE_CHECK: "true",
      ...environment,
    };
  }

  static async create(environment: Readonly<Record<string, string>> = {}): Promise<Rig> {
    const dir = await realpath(await mkdtemp(join(tmpdir(), "refmount-test-")));
    const rig = new Rig(dir, environment);
    disposeAfterTest(rig);
    await mkdir(join(dir, "user"));
    await mkdir(join(dir, "tmp"));
    return rig;
  }

  path(...parts: readonly string[]): string {
    return join(this.dir, ...parts);
  }

  /** Writes files below the folder `name` and returns its path. */
  async tree(name: string, files: Readonly<Record<string, string | Uint8Array>>): Promise<string> {
    const root = this.path(name);
    await mkdir(root, { recursive: true });
    for (const [path, content] of Object.entries(files)) {
      await mkdir(dirname(join(root, path)), { recursive: true });
      await writeFile(join(root, path), content);
    }
    return root;
  }

  /** Starts `refmount` with these arguments. */
  start(args: readonly string[], options: CommandOptions = {}): Running {
    const child = spawn(process.execPath, [this.#main, ...args], {
      cwd: options.cwd ?? this.dir,
      env: { ...this.environment, ...options.environment },
      ...(options.uid === undefined ? {} : { uid: options.uid }),
      ...(options.gid === undefined ? {} : { gid: options.gid }),
    });
    this.#running.add(child);
    child.stdin.on("error", () => undefined);
    child.stdin.end(options.input ?? "");
    let stdout = "";
    let stderr = "";
    const listeners = new Set<() => void>();
    const heard = (): void => {
      for (const listener of listeners) listener();
    };
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
      heard();
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
      heard();
    });
    const ended = new Promise<Outcome>((resolve, reject) => {
      child.on("error", reject);
      child.on("close", (code, signal) => {
        this.#running.delete(child);
        resolve({ code, signal, stdout, stderr });
      });
    });
    const until = <T>(promise: Promise<T>, what = "what was waited for"): Promise<T> =>
      new Promise((resolve, reject) => {
        promise.then(resolve, reject);
        void ended.then((outcome) => {
          reject(new Error(`ended without ${what}: ${describe(args, outcome)}`));
        }, reject);
      });
    const output = (pattern: RegExp): Promise<void> => {
      const matched = new Promise<void>((resolve) => {
        const look = (): void => {
          if (!pattern.test(stdout) && !pattern.test(stderr)) return;
          listeners.delete(look);
          resolve();
        };
        listeners.add(look);
        look();
      });
      return until(matched, String(pattern));
    };
    return { child, ended, output, until };
  }

  /** Runs a command to its end, however it ends. */
  run(...args: readonly string[]): Promise<Outcome> {
    return this.start(args).ended;
  }

  /** Runs a command that must succeed; returns its stdout. */
  async ok(...args: readonly string[]): Promise<string> {
    const outcome = await this.run(...args);
    if (outcome.code !== 0) throw new Error(describe(args, outcome));
    return outcome.stdout;
  }

  /** Runs a command that must succeed with --json; returns what it printed. */
  async json<T>(...args: readonly string[]): Promise<T> {
    return JSON.parse(await this.ok("--json", ...args)) as T;
  }

  /** Makes an empty directory, mounts `ref` there and returns its path. */
  async mount(ref: string, name: string, ...options: readonly string[]): Promise<string> {
    const dir = this.path(name);
    await mkdir(dir, { recursive: true });
    await this.ok("mount", ref, dir, ...options);
    return dir;
  }

  /** The mountpoints below this rig's folder. */
  mountPoints(): string[] {
    return readFileSync("/proc/self/mountinfo", "utf8")
      .split("\n")
      .map((line) => line.split(" ")[4] ?? "")
      .filter((point) => point.startsWith(`${this.dir}/`));
  }

  /** The processes that belong to this rig's home: commands, holders and workers. */
  processes(): number[] {
    const mark = `REFMOUNT_HOME=${this.home}`;
    return readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .filter((pid) => pid !== process.pid && environmentOf(pid).includes(mark));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#running) child.kill("SIGKILL");
    for (const point of this.mountPoints().reverse()) await unmountLazily(point);
    for (const signal of ["SIGTERM", "SIGKILL"] as const) {
      for (const pid of this.processes()) kill(pid, signal);
      const deadline = performance.now() + END_TIMEOUT_MS;
      while (this.processes().length > 0 && performance.now() < deadline) await delay(POLL_MS);
    }
    // A mount that is still there must not be emptied.
    const left = this.mountPoints();
    if (left.length > 0) throw new Error(`still mounted: ${left.join(", ")}`);
    if (existsSync(this.dir)) await rm(this.dir, { recursive: true, force: true });
  }
}

// A test that times out never comes to the end of its `await using`.
function disposeAfterTest(rig: Rig): void {
  try {
    onTestFinished(() => rig[Symbol.asyncDispose]());
  } catch {
    // Made in a beforeAll: its afterAll runs after a timeout, too.
  }
}

function describe(args: readonly string[], { code, signal, stdout, stderr }: Outcome): string {
  return `refmount ${args.join(" ")} ended with ${signal ?? code}\n${stdout}${stderr}`;
}

function environmentOf(pid: number): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");
  } catch {
    // Gone by now, or somebody else's.
    return [];
  }
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // Gone by now.
  }
}

async function unmountLazily(point: string): Promise<void> {
  const child = spawn("umount", ["-l", point], { stdio: "ignore" });
  await new Promise<void>((resolve) => {
    child.on("error", () => resolve());
    child.on("close", () => resolve());
  });
}
