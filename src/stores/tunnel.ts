// The way through a proxy to an https host: CONNECT, then TLS with the host itself. What the proxy
// answers but 200 fails the request: no caller, an SDK included, sees it as the host's answer.

import type { ClientRequest } from "node:http";
import type { Socket } from "node:net";
import { HttpsProxyAgent } from "https-proxy-agent";
import { Fault } from "../model/fault.js";
import { isMistake, networkFault, ProxyFault } from "./network-fault.js";

type ConnectOptions = Parameters<HttpsProxyAgent<string>["connect"]>[1];

/** Longer than `send` waits: for SDKs, and so that a silent proxy does not use up the pool. */
const ANSWER_MS = 10_000;

export class ProxyTunnel extends HttpsProxyAgent<string> {
  readonly #answerMs: number;

  /**
   * @param options For connections of either kind.
   * @param trust The authorities that count for the proxy as well as for the host behind it.
   */
  constructor(proxy: URL, options: object, trust: object, answerMs: number = ANSWER_MS) {
    super(proxy, { ...options, ...trust });
    // What the constructor takes it uses for the proxy alone.
    Object.assign(this.options, trust);
    this.#answerMs = answerMs;
  }

  /** @throws ProxyFault, which names the proxy without its password. */
  override async connect(request: ClientRequest, options: ConnectOptions): Promise<Socket> {
    const host = `${options.host ?? ""}:${options.port}`;
    const silence = new AbortController();
    const timer = setTimeout(() => {
      silence.abort();
    }, this.#answerMs);
    let status = 0;
    request.once("proxyConnect", (answer: { readonly statusCode: number }) => {
      status = answer.statusCode;
    });
    // Taken up by the call below before it waits: it is the signal of this connection only.
    this.connectOpts = { ...this.connectOpts, signal: silence.signal };
    try {
      const socket = await super.connect(request, options);
      if (status === 200) return socket;
      // The connection to the proxy is closed by now; the answer would be read from this one.
      socket.destroy();
    } catch (error) {
      throw this.#failure(error, host, silence.signal);
    } finally {
      clearTimeout(timer);
    }
    throw this.#refusal(status, host);
  }

  #refusal(status: number, host: string): ProxyFault {
    const proxy = `The proxy at ${this.proxy.host}`;
    switch (status) {
      case 407:
        return new ProxyFault(
          "denied",
          `${proxy} refused the way to ${host} (HTTP 407): check the user and password in https_proxy`,
        );
      case 403:
        return new ProxyFault(
          "denied",
          `${proxy} refused the way to ${host} (HTTP 403): ask whoever runs it to let it through`,
        );
      default:
        return new ProxyFault(
          "unavailable",
          `${proxy} did not open the way to ${host} (HTTP ${status})`,
        );
    }
  }

  #failure(error: unknown, host: string, silence: AbortSignal): unknown {
    const proxy = `the proxy at ${this.proxy.host}`;
    const unavailable = (why: string): ProxyFault =>
      new ProxyFault("unavailable", `Cannot reach ${host} through ${proxy}: ${why}`, {
        cause: error,
      });
    if (silence.aborted) return unavailable(`no answer within ${this.#answerMs} ms`);
    const fault = networkFault(error, host, proxy);
    if (!(fault instanceof Fault)) {
      if (isMistake(error)) return error;
      return unavailable("it closed the connection, or what it answers to CONNECT cannot be read");
    }
    const kind = fault.kind === "denied" ? "denied" : "unavailable";
    return new ProxyFault(kind, fault.message, { cause: error });
  }
}
