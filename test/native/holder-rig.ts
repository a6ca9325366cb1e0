// A real holder whose worker is a small script that does what the test tells it over a socket of the
// test's own. Nothing here waits for time to pass.

import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { addon, holderPath, type HolderLink } from "../../src/native/addon.js";

const ADDON = fileURLToPath(new URL("../../native/build/Release/refmount.node", import.meta.url));

/** Reports its birth and every SIGTERM, then does as it is told: one JSON line each way. */
const WORKER = `
const { createInterface } = require("node:readline");
const addon = require(${JSON.stringify(ADDON)});
const fs = require("node:fs");
const socket = require("node:net").connect(process.argv[1]);
const tell = (message) => socket.write(JSON.stringify(message) + "\\n");
let obedient = true;
process.on("SIGTERM", () => { tell({ signal: "SIGTERM" }); if (obedient) socket.end(() => process.exit(0)); });
const link = addon.connectHolder(process.env.REFMOUNT_HOLDER);
const verbs = {
  exit: (code) => process.exit(code),
  disobey: () => { obedient = false; },
  call: (message) => {
    const { message: answer, fds } = link.call(message, []);
    return { answer, fds, files: fds.map((fd) => fs.fstatSync(fd).ino) };
  },
  write: ([fd, text]) => fs.writeSync(fd, text, 0),
  read: (fd) => { const bytes = Buffer.alloc(64); return bytes.toString("latin1", 0, fs.readSync(fd, bytes, 0, 64, 0)); },
  readDevice: (fd) => { const bytes = Buffer.alloc(1 << 17); return bytes.readUInt32LE(fs.readSync(fd, bytes) && 4); },
};
createInterface({ input: socket }).on("line", (line) => {
  const [verb, argument] = JSON.parse(line);
  tell({ result: verbs[verb](argument) ?? null });
});
socket.on("connect", () => tell({ pid: process.pid, arguments: process.argv.slice(2) }));
`;

export interface Taken {
  readonly answer: string;
  readonly fds: number[];
  /** Inode of what each descriptor refers to. */
  readonly files: number[];
}

/** One life of the worker. */
export class WorkerLife {
  readonly #socket: Socket;
  readonly #lines: AsyncIterator<string>;
  pid = 0;

  constructor(socket: Socket) {
    this.#socket = socket;
    // A worker that is killed resets its connection.
    socket.on("error", () => socket.destroy());
    this.#lines = createInterface({ input: socket })[Symbol.asyncIterator]();
  }

  async next(): Promise<Record<string, unknown>> {
    const line = await this.#lines.next();
    if (line.done === true) throw new Error("The worker has ended");
    return JSON.parse(line.value) as Record<string, unknown>;
  }

  send(verb: string, argument: unknown = null): void {
    this.#socket.write(`${JSON.stringify([verb, argument])}\n`);
  }

  async ask(verb: string, argument: unknown = null): Promise<unknown> {
    this.send(verb, argument);
    return (await this.next())["result"];
  }

  async call(message: string): Promise<Taken> {
    return (await this.ask("call", message)) as Taken;
  }

  /** Waits until its process has closed everything. */
  async gone(): Promise<void> {
    while ((await this.#lines.next()).done !== true);
  }
}

export class HolderRig implements AsyncDisposable {
  readonly dir = mkdtempSync(join(tmpdir(), "refmount-holder-"));
  readonly socketPath = join(this.dir, "holder.sock");
  readonly #server: Server = createServer();
  readonly #lives: Socket[] = [];
  readonly #waiting: ((socket: Socket) => void)[] = [];
  #process: ChildProcess | undefined;
  #links: HolderLink[] = [];
  stderr = "";

  static async start(options: readonly string[] = [], inherit: readonly number[] = []) {
    const rig = new HolderRig();
    const tests = join(rig.dir, "test.sock");
    rig.#server.on("connection", (socket) => {
      const taker = rig.#waiting.shift();
      if (taker === undefined) rig.#lives.push(socket);
      else taker(socket);
    });
    rig.#server.listen(tests);
    await once(rig.#server, "listening");
    const worker = [process.execPath, "-e", WORKER, tests, "an argument"];
    rig.#process = spawn(holderPath(), ["--socket", rig.socketPath, ...options, "--", ...worker], {
      stdio: ["ignore", "inherit", "pipe", ...inherit],
    });
    rig.#process.stderr?.on("data", (chunk: Buffer) => (rig.stderr += chunk.toString()));
    return rig;
  }

  get process(): ChildProcess {
    if (this.#process === undefined) throw new Error("The holder was never started");
    return this.#process;
  }

  /** The next worker that the holder starts, once it has connected. */
  async life(): Promise<WorkerLife> {
    const socket =
      this.#lives.shift() ?? (await new Promise<Socket>((resolve) => this.#waiting.push(resolve)));
    const life = new WorkerLife(socket);
    life.pid = (await life.next())["pid"] as number;
    return life;
  }

  link(): HolderLink {
    const link = addon().connectHolder(this.socketPath);
    this.#links.push(link);
    return link;
  }

  call(message: string, fds: readonly number[] = []): string {
    return this.link().call(message, fds).message;
  }

  /** The holder's exit code, or the signal that ended it. */
  async ended(): Promise<number | string> {
    const { process: child } = this;
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    return child.exitCode ?? child.signalCode ?? "";
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const link of this.#links) link.close();
    const child = this.#process;
    if (child?.exitCode === null && child.signalCode === null) {
      child.kill("SIGTERM");
      child.kill("SIGTERM");
      await this.ended();
    }
    this.#server.close();
    rmSync(this.dir, { recursive: true });
  }
}
