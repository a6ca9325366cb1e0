// Serves a mount with the fuse-native driver in another process, since whoever reads a mount must not
// be the one that serves it. The test answers the driver's upcalls from here.

import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import ts from "typescript";
import { deferred } from "../../src/model/deferred.js";
import { Fault } from "../../src/model/fault.js";
import type { FuseNativeOptions } from "../../src/mount/fuse-native.js";
import type { Negotiated, ProvidedBlob, SessionStats } from "../../src/native/addon.js";
import { distFile } from "./dist.js";

interface FaultText {
  readonly kind: string;
  readonly message: string;
}

export type ChildMessage =
  | { kind: "ask"; id: number; ask: "fill"; node: number }
  | { kind: "ask"; id: number; ask: "xattr"; node: number; name: string }
  | { kind: "disposed"; node: number }
  | { kind: "damaged"; node: number; sha256: string }
  | { kind: "ready"; negotiated: Negotiated }
  | { kind: "failed"; fault: FaultText }
  | { kind: "detached"; fault?: FaultText }
  | { kind: "stats"; stats: SessionStats }
  | { kind: "ended"; reason: string; message: string };

export type ParentMessage =
  | { kind: "answer"; id: number; value?: unknown; fault?: FaultText }
  | { kind: "forget"; sha256: string }
  | { kind: "stop" }
  | { kind: "detach"; lazy: boolean }
  | { kind: "stats" };

export interface ServerOptions extends Omit<FuseNativeOptions, "upcalls"> {
  readonly fill: (node: number) => Promise<ProvidedBlob>;
  readonly xattr?: (node: number, name: string) => Promise<string | null>;
  readonly damaged?: (node: number, sha256: string) => void;
  readonly disposed?: (node: number) => void;
  readonly env?: NodeJS.ProcessEnv;
}

export class FuseNativeServer implements AsyncDisposable {
  readonly negotiated: Negotiated;
  /** Settles when the driver says so. */
  readonly ended: Promise<{ readonly reason: string; readonly message: string }>;
  readonly exited: Promise<unknown>;
  readonly #child: ChildProcess;

  private constructor(
    child: ChildProcess,
    negotiated: Negotiated,
    ended: FuseNativeServer["ended"],
    exited: Promise<unknown>,
  ) {
    this.#child = child;
    this.negotiated = negotiated;
    this.ended = ended;
    this.exited = exited;
  }

  /** @throws the driver's Fault when it cannot mount. */
  static async start(options: ServerOptions): Promise<FuseNativeServer> {
    const { fill, xattr, damaged, disposed, env, ...rest } = options;
    const folder = mkdtempSync(join(tmpdir(), "refmount-child-"));
    const script = join(folder, "fuse-native-child.mjs");
    writeFileSync(script, compiledChild());
    const modules = ["mount/fuse-native.js", "model/fault.js"].map(
      (path) => pathToFileURL(distFile(path)).href,
    );
    const child = fork(script, [...modules, JSON.stringify(rest)], {
      env: { ...process.env, ...env },
    });
    const ready = deferred<Negotiated>();
    const ended = deferred<{ reason: string; message: string }>();
    const exited = once(child, "exit").finally(() => rmSync(folder, { recursive: true }));
    const answer = (id: number, value: Promise<unknown>): void => {
      value.then(
        (result: unknown) => send(child, { kind: "answer", id, value: result }),
        (error: unknown) => send(child, { kind: "answer", id, fault: faultText(error) }),
      );
    };
    child.on("message", (message: ChildMessage) => {
      switch (message.kind) {
        case "ask":
          if (message.ask === "fill") answer(message.id, fill(message.node).then(plainBlob));
          else answer(message.id, xattr?.(message.node, message.name) ?? Promise.resolve(null));
          return;
        case "disposed":
          disposed?.(message.node);
          return;
        case "damaged":
          damaged?.(message.node, message.sha256);
          return;
        case "ready":
          ready.resolve(message.negotiated);
          return;
        case "failed":
          ready.reject(faultOf(message.fault));
          return;
        case "detached":
        case "stats":
          // Whoever asked listens for it.
          return;
        case "ended":
          ended.resolve({ reason: message.reason, message: message.message });
      }
    });
    void exited.then(() =>
      ready.reject(new Error("The serving process ended before it was ready")),
    );
    return new FuseNativeServer(child, await ready.promise, ended.promise, exited);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  forget(sha256: string): void {
    send(this.#child, { kind: "forget", sha256 });
  }

  stop(): void {
    send(this.#child, { kind: "stop" });
  }

  async detach(lazy: boolean): Promise<void> {
    const { fault } = await this.#call("detached", { kind: "detach", lazy });
    if (fault !== undefined) throw faultOf(fault);
  }

  async stats(): Promise<SessionStats> {
    return (await this.#call("stats", { kind: "stats" })).stats;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      this.stop();
      await Promise.race([this.exited, this.ended]);
      this.#child.kill("SIGKILL");
      await this.exited;
    }
  }

  async #call<Kind extends ChildMessage["kind"]>(
    kind: Kind,
    message: ParentMessage,
  ): Promise<Extract<ChildMessage, { kind: Kind }>> {
    const answered = new Promise<ChildMessage>((resolve) => {
      const listen = (received: ChildMessage): void => {
        if (received.kind !== kind) return;
        this.#child.off("message", listen);
        resolve(received);
      };
      this.#child.on("message", listen);
    });
    send(this.#child, message);
    return (await answered) as Extract<ChildMessage, { kind: Kind }>;
  }
}

/** What is sent to a process that has just ended is lost, and nothing depends on it. */
function send(child: ChildProcess, message: ParentMessage): void {
  if (child.connected) child.send(message, () => undefined);
}

let compiled: string | undefined;

/** The child as JavaScript: Node runs no TypeScript, and a test's file is in no compiled program. */
function compiledChild(): string {
  if (compiled !== undefined) return compiled;
  const source = fileURLToPath(new URL("fuse-native-child.ts", import.meta.url));
  const { outputText } = ts.transpileModule(readFileSync(source, "utf8"), {
    compilerOptions: { target: ts.ScriptTarget.ES2023, module: ts.ModuleKind.ESNext },
  });
  compiled = outputText;
  return outputText;
}

function plainBlob(blob: ProvidedBlob): object {
  const { blockCrcs } = blob;
  return {
    ...blob,
    blockCrcs: blockCrcs === null ? null : Buffer.from(blockCrcs).toString("base64"),
  };
}

function faultText(error: unknown): FaultText {
  if (error instanceof Fault) return { kind: error.kind, message: error.message };
  return { kind: "bug", message: String(error) };
}

function faultOf({ kind, message }: FaultText): Error {
  return kind === "bug" ? new Error(message) : new Fault(kind as Fault["kind"], message);
}
