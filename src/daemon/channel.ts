// The two ends of the control socket: `call` asks, `listen` answers. Knows no verb.

import { chmodSync, rmSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { Fault } from "../model/fault.js";
import { openAnswer, type Answer, type Envelope, type Requests, type Verb } from "./protocol.js";

/** A request of a million characters is no request of ours. */
const MAX_LINE_CHARACTERS = 1_000_000;
const PATIENCE_MS = 500;

/**
 * Asks the daemon behind `socketPath` and waits for its answer, however long that takes, or until
 * `signal` ends the waiting.
 * @returns the answer, or null when nobody listens there.
 * @throws Fault as the daemon answered it; `unavailable` when the daemon goes away meanwhile.
 */
export function call<V extends Verb>(
  socketPath: string,
  verb: V,
  request: Requests[V]["request"],
  signal?: AbortSignal,
): Promise<{ readonly answer: Requests[V]["answer"] } | null> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path: socketPath, signal });
    let connected = false;
    readLine(socket, (line) => {
      socket.destroy();
      try {
        resolve({ answer: openAnswer(line) as Requests[V]["answer"] });
      } catch (error) {
        reject(error instanceof Error ? error : new Error(String(error)));
      }
    });
    socket.on("connect", () => {
      connected = true;
      socket.write(`${JSON.stringify({ verb, request })}\n`);
    });
    socket.on("error", (error: NodeJS.ErrnoException) => {
      if (!connected && (error.code === "ENOENT" || error.code === "ECONNREFUSED")) resolve(null);
      else reject(gone(verb, error));
    });
    socket.on("close", () => reject(gone(verb, undefined)));
  });
}

function gone(verb: string, cause: Error | undefined): Fault {
  return new Fault(
    "unavailable",
    `The daemon went away before it answered "${verb}"; its log says why (refmount status names it)`,
    { cause },
  );
}

export type Answering = (envelope: Envelope) => Promise<unknown>;

export interface Listening {
  /** Takes no more connections. */
  stop(): void;
  /**
   * Settles when every request has its answer and all connections are closed. Whoever has connected
   * and does not ask for `patienceMs` is not waited for.
   */
  answered(patienceMs?: number): Promise<void>;
}

/** Listens on `socketPath`, replacing a socket left there by a dead daemon; the caller holds its lock. */
export async function listen(
  socketPath: string,
  answer: Answering,
  onBug: (error: unknown) => void,
): Promise<Listening> {
  rmSync(socketPath, { force: true });
  const idle = new Set<Socket>();
  let onAsked: () => void = () => undefined;
  const asking = new Set<Promise<void>>();
  const server = createServer((socket) => {
    idle.add(socket);
    socket.on("close", () => {
      idle.delete(socket);
      onAsked();
    });
    // A client that goes away is no concern of ours.
    socket.on("error", () => socket.destroy());
    readLine(socket, (line) => {
      idle.delete(socket);
      const asked = respond(line, answer, onBug)
        // Closed from this side: a client that is stopped must not keep a daemon from ending.
        .then((text) => new Promise<void>((sent) => socket.end(`${text}\n`, () => sent())))
        .then(() => {
          socket.destroy();
          asking.delete(asked);
        });
      asking.add(asked);
      onAsked();
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(socketPath, resolve);
  });
  chmodSync(socketPath, 0o600);
  return {
    stop: () => {
      server.close();
    },
    answered: async (patienceMs = PATIENCE_MS) => {
      // A command that has just connected is about to ask.
      const timer = setTimeout(() => {
        for (const socket of idle) socket.destroy();
      }, patienceMs);
      while (asking.size > 0 || idle.size > 0) {
        const asked = new Promise<void>((resolve) => (onAsked = resolve));
        await (asking.size > 0 ? Promise.all(asking) : asked);
      }
      clearTimeout(timer);
    },
  };
}

async function respond(
  line: string,
  answer: Answering,
  onBug: (error: unknown) => void,
): Promise<string> {
  try {
    return JSON.stringify({ ok: (await answer(parseRequest(line))) ?? null });
  } catch (error) {
    if (error instanceof Fault) return JSON.stringify({ fault: error.toJSON() });
    onBug(error);
    const bug: Answer<Verb> = { bug: error instanceof Error ? error.message : String(error) };
    return JSON.stringify(bug);
  }
}

// What it is not is not told: the line may hold a shell's credentials.
function parseRequest(line: string): Envelope {
  try {
    const parsed: unknown = JSON.parse(line);
    if (parsed !== null && typeof parsed === "object" && "verb" in parsed && "request" in parsed) {
      return parsed as Envelope;
    }
  } catch {
    // Not JSON, so no request either.
  }
  throw new Fault("usage", "That is no request that a refmount daemon understands");
}

function readLine(socket: Socket, onLine: (line: string) => void): void {
  let text = "";
  socket.setEncoding("utf8");
  socket.on("data", (chunk: string) => {
    text += chunk;
    const end = text.indexOf("\n");
    if (end >= 0) {
      socket.removeAllListeners("data");
      onLine(text.slice(0, end));
    } else if (text.length > MAX_LINE_CHARACTERS) {
      socket.destroy();
    }
  });
}
