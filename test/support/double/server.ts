// A server on loopback that can go away and come back where it was.

import { createServer, type RequestListener, type Server } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { Certificate } from "../certificate.js";

export class LoopbackServer {
  readonly scheme: "http" | "https";
  readonly #server: Server;
  #port = 0;

  /** Answers over TLS when there is a certificate. */
  constructor(serve: RequestListener, certificate?: Certificate) {
    this.scheme = certificate === undefined ? "http" : "https";
    this.#server =
      certificate === undefined ? createServer(serve) : createTlsServer(certificate, serve);
    this.#server.keepAliveTimeout = 60_000;
  }

  get port(): number {
    return this.#port;
  }

  /** At any free port when `port` is 0. */
  async listen(port: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(port, "127.0.0.1", resolve);
    });
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  /** Refuses connections, and ends those there are. */
  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}
