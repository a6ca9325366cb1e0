// The two ends of the control socket: `call` asks, `listen` answers. Knows no verb.

import { chmodSync, rmSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { Fault } from "../model/fault.js";
import { openAnswer, type Answer, type Envelope, type Requests, type Verb } from "./protocol.js";

/** A request of a million characters is no request of ours. */
const MAX_LINE_CHARACTERS = 1_000_000;

/**
 * Asks the daemon behind `socketPath` and waits for its answer, however long that takes.
 * @returns the answer, or null when nobody listens there.
 * @throws Fault as the daemon answered it; `unavailable` when the daemon goes away meanwhile.
 */
export function call<V extends Verb>(
  socketPath: string,
  verb: V,
  request: Requests[V]["request"],
): Promise<{ readonly answer: Requests[V]["answer"] } | null> {
  return new Promise((resolve, reject) => {
    const socket = connect(socketPath);
    let connected = false;
    readLine(socket, (line) => {
      socket.destroy();
      try {
        resolve({ answer: openAnswer<V>(line) });
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

/** Listens on `socketPath`, replacing a socket left there by a dead daemon; the caller holds its lock. */
export async function listen(
  socketPath: string,
  answer: Answering,
  onBug: (error: unknown) => void,
): Promise<Server> {
  rmSync(socketPath, { force: true });
  const server = createServer((socket) => {
    // A client that goes away is no concern of ours.
    socket.on("error", () => socket.destroy());
    readLine(socket, (line) => {
      void respond(line, answer, onBug).then((text) => socket.end(`${text}\n`));
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(socketPath, resolve);
  });
  chmodSync(socketPath, 0o600);
  return server;
}

async function respond(
  line: string,
  answer: Answering,
  onBug: (error: unknown) => void,
): Promise<string> {
  try {
    return JSON.stringify({ ok: (await answer(JSON.parse(line) as Envelope)) ?? null });
  } catch (error) {
    if (error instanceof Fault) return JSON.stringify({ fault: error.toJSON() });
    onBug(error);
    const bug: Answer<Verb> = { bug: error instanceof Error ? error.message : String(error) };
    return JSON.stringify(bug);
  }
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
