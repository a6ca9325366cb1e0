// One HTTP request over a keep-alive pool, with a deadline that counts progress. Follows no
// redirect, retries nothing, decodes nothing; a status is not its business.

import { lookup } from "node:dns";
import { setMaxListeners } from "node:events";
import type { ClientRequest, IncomingHttpHeaders, IncomingMessage } from "node:http";
import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import type { LookupFunction } from "node:net";
import { Fault } from "../model/fault.js";
import { requestFault } from "./network-fault.js";
import type { Destination, Pool } from "./pool.js";

/** Received but not yet taken bytes at which a transfer is held back, and let go on again. */
const HIGH_WATER_BYTES = 1_048_576;
const LOW_WATER_BYTES = 262_144;

export interface TransferRequest extends Destination {
  readonly method: "GET" | "HEAD";
  /** Percent-encoded, with the query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Named in faults. */
  readonly subject: string;
  /**
   * Why a host may not be connected to, as a clause; undefined when it may. Asked about `hostname`,
   * and about every address that it resolves to unless a proxy does that.
   */
  readonly refuses?: (host: string) => string | undefined;
}

export interface TransferLimits {
  readonly connectTimeoutMs: number;
  readonly stallTimeoutMs: number;
}

export interface Transfer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** The address it is connected to; undefined through a proxy. */
  readonly peer: string | undefined;
  /**
   * The next bytes, or null at the end.
   * @throws Fault `unavailable` when the transfer breaks or stalls; the signal's reason.
   */
  read(): Promise<Buffer | null>;
  /** Ends the transfer and gives back its connection, which is closed unless everything was read. */
  close(): void;
}

/**
 * Sends a request and waits for the head of its answer.
 * @throws Fault `unavailable` or `denied` (TLS, an address that it refuses); the signal's reason when
 * it fires.
 */
export async function send(
  request: TransferRequest,
  pool: Pool,
  limits: TransferLimits,
  signal: AbortSignal,
): Promise<Transfer> {
  signal.throwIfAborted();
  const endpoint = endpointOf(request);
  const hostname = request.hostname.replace(/^\[|\]$/g, "");
  const refused = refusalOf(request, hostname);
  if (refused !== null) throw refused;
  const direct = pool.isDirect(request);
  const options = {
    method: request.method,
    hostname,
    path: request.path,
    headers: request.headers,
    agent: pool.agentFor(request),
    ...(request.port === undefined ? {} : { port: request.port }),
    ...(request.refuses === undefined ? {} : { lookup: lookupFor(request) }),
  };
  return new Promise((resolve, reject) => {
    const client = request.protocol === "https:" ? httpsRequest(options) : httpRequest(options);
    const fail = (error: Error): void => {
      deadline.clear();
      signal.removeEventListener("abort", onAbort);
      reject(error);
    };
    // As long as it has no socket (its agent is full, or waits for a proxy) to destroy it tells nobody.
    const giveUp = (error: Error): void => {
      client.destroy(error);
      fail(error);
    };
    const onAbort = (): void => {
      giveUp(reasonOf(signal));
    };
    const deadline = new Deadline((message) => {
      giveUp(unavailable(request, `${message} (${endpoint})`));
    });
    // One signal may end any number of transfers.
    setMaxListeners(0, signal);
    signal.addEventListener("abort", onAbort);
    // A host that is connected to directly is waited for from then on: its turn may take its time.
    if (!direct) {
      const { connectTimeoutMs } = limits;
      deadline.set(connectTimeoutMs, `no way through the proxy within ${connectTimeoutMs} ms`);
    }
    watchConnecting(client, request.protocol, deadline, limits);
    if (direct) refuseReused(client, request);
    client.once("response", (message) => {
      deadline.clear();
      const peer = direct ? message.socket.remoteAddress : undefined;
      resolve(receive(message, client, { request, endpoint, peer, limits, signal, onAbort }));
    });
    // Stays for the life of the request: an error without a listener would end the process.
    client.on("error", (error) => {
      fail(
        signal.aborted ? reasonOf(signal) : asError(requestFault(error, request.subject, endpoint)),
      );
    });
    client.end();
  });
}

/** One timer that says what it waited for. */
class Deadline {
  #timer: NodeJS.Timeout | undefined;
  readonly #onExpired: (message: string) => void;

  constructor(onExpired: (message: string) => void) {
    this.#onExpired = onExpired;
  }

  set(timeoutMs: number, message: string): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#onExpired(message), timeoutMs);
  }

  clear(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}

function watchConnecting(
  client: ClientRequest,
  protocol: string,
  deadline: Deadline,
  limits: TransferLimits,
): void {
  const waitForAnswer = (): void =>
    deadline.set(limits.stallTimeoutMs, `no answer within ${limits.stallTimeoutMs} ms`);
  client.once("socket", (socket) => {
    if (!socket.connecting) {
      waitForAnswer();
      return;
    }
    deadline.set(limits.connectTimeoutMs, `no connection within ${limits.connectTimeoutMs} ms`);
    socket.once(protocol === "https:" ? "secureConnect" : "connect", waitForAnswer);
  });
}

/** Finds addresses as the system does, without those that are refused; none left is a fault. */
function lookupFor(request: TransferRequest): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, addresses) => {
      if (error !== null) {
        callback(error, []);
        return;
      }
      const refusals = addresses.map(({ address }) => refusalOf(request, address));
      const allowed = addresses.filter((_address, index) => refusals[index] === null);
      const [first] = allowed;
      if (first === undefined) callback(refusals[0] ?? null, []);
      else if (options.all === true) callback(null, allowed);
      else callback(null, first.address, first.family);
    });
  };
}

/** A kept connection was looked up by an earlier request, which may have refused less. */
function refuseReused(client: ClientRequest, request: TransferRequest): void {
  client.once("socket", (socket) => {
    const { connecting, remoteAddress } = socket;
    const refused =
      connecting || remoteAddress === undefined ? null : refusalOf(request, remoteAddress);
    if (refused !== null) client.destroy(refused);
  });
}

function refusalOf(request: TransferRequest, host: string): Fault | null {
  const why = request.refuses?.(host);
  if (why === undefined) return null;
  const { hostname, subject } = request;
  const where = hostname.includes(host) ? hostname : `${hostname} (${host})`;
  return new Fault("denied", `Cannot get ${subject}: ${where} is not connected to: ${why}`, {
    subject,
  });
}

interface Receiving {
  readonly request: TransferRequest;
  readonly endpoint: string;
  readonly peer: string | undefined;
  readonly limits: TransferLimits;
  readonly signal: AbortSignal;
  readonly onAbort: () => void;
}

function receive(message: IncomingMessage, client: ClientRequest, context: Receiving): Transfer {
  const { request, endpoint, limits, signal } = context;
  const queue: Buffer[] = [];
  let queuedBytes = 0;
  let state: "open" | "complete" | "failed" = "open";
  let failure: () => unknown = () => undefined;
  let wake: (() => void) | undefined;
  const deadline = new Deadline((text) =>
    message.destroy(unavailable(request, `${text} (${endpoint})`)),
  );

  // Errors are made when they are thrown: most transfers pass here without one.
  const settle = (to: "complete" | "failed", error: () => unknown): void => {
    if (state !== "open") return;
    state = to;
    failure = error;
    signal.removeEventListener("abort", context.onAbort);
    wake?.();
  };
  message.on("data", (chunk: Buffer) => {
    if (state !== "open") return;
    queue.push(chunk);
    queuedBytes += chunk.length;
    if (queuedBytes > HIGH_WATER_BYTES) message.pause();
    wake?.();
  });
  const broken = (): Fault => unavailable(request, `the transfer ended early (${endpoint})`);
  message.once("end", () => settle(message.complete ? "complete" : "failed", broken));
  message.on("error", (error) =>
    settle("failed", () => requestFault(error, request.subject, endpoint)),
  );
  message.once("close", () => settle("failed", broken));

  return {
    status: message.statusCode ?? 0,
    headers: message.headers,
    peer: context.peer,
    async read() {
      while (queue.length === 0 && state === "open") {
        deadline.set(limits.stallTimeoutMs, `no byte for ${limits.stallTimeoutMs} ms`);
        await new Promise<void>((resolve) => (wake = resolve));
        wake = undefined;
        deadline.clear();
      }
      if (signal.aborted) throw reasonOf(signal);
      const chunk = queue.shift();
      if (chunk !== undefined) {
        queuedBytes -= chunk.length;
        if (queuedBytes < LOW_WATER_BYTES && message.isPaused()) message.resume();
        return chunk;
      }
      if (state === "failed") throw asError(failure());
      return null;
    },
    close() {
      deadline.clear();
      settle("failed", () => new Error("the transfer was closed"));
      queue.length = 0;
      if (!message.complete) client.destroy();
      else message.resume();
    },
  };
}

function unavailable(request: TransferRequest, why: string): Fault {
  return new Fault("unavailable", `Cannot get ${request.subject}: ${why}`, {
    subject: request.subject,
  });
}

function endpointOf(request: TransferRequest): string {
  const port = request.port === undefined ? "" : `:${request.port}`;
  return `${request.protocol}//${request.hostname}${port}`;
}

function reasonOf(signal: AbortSignal): Error {
  return asError(signal.reason);
}

function asError(value: unknown): Error {
  return value instanceof Error ? value : new Error(String(value));
}
