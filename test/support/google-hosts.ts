// A way for a test to be Google: an HTTP proxy that ends TLS for Google's own hosts with a certificate
// made for the test, and hands their requests to a double. What reaches it took the proxies and the
// authorities of the environment, as on a machine behind a company's proxy.

import { createServer as createHttpServer, type RequestListener } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import type { AddressInfo, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeCertificate } from "./certificate.js";

const HOSTS = [
  "storage.googleapis.com",
  "www.googleapis.com",
  "oauth2.googleapis.com",
  "sts.googleapis.com",
  "iamcredentials.googleapis.com",
];

export class GoogleHosts implements AsyncDisposable {
  /** The hosts that were asked for, in the order of their connections. */
  readonly connected: string[];
  /** What a shell has to set to take this way. */
  readonly environment: Readonly<Record<string, string>>;
  readonly #close: () => Promise<void>;

  private constructor(
    connected: string[],
    environment: Record<string, string>,
    close: () => Promise<void>,
  ) {
    this.connected = connected;
    this.environment = environment;
    this.#close = close;
  }

  static async start(handle: RequestListener): Promise<GoogleHosts> {
    const dir = await mkdtemp(join(tmpdir(), "refmount-google-"));
    const { key, cert, certPath } = makeCertificate(
      dir,
      HOSTS.map((host) => `DNS:${host}`),
    );
    const tls = createHttpsServer({ key, cert }, handle);
    const sockets = new Set<Socket>();
    const connected: string[] = [];
    const proxy = createHttpServer((_request, response) => {
      response.statusCode = 405;
      response.end();
    });
    proxy.on("connection", (socket: Socket) => {
      sockets.add(socket);
      socket.on("close", () => sockets.delete(socket));
    });
    proxy.on("connect", (request, socket: Socket) => {
      const [host = ""] = (request.url ?? "").split(":");
      connected.push(host);
      socket.on("error", () => undefined);
      if (!HOSTS.includes(host)) {
        socket.end("HTTP/1.1 502 Bad Gateway\r\n\r\n");
        return;
      }
      socket.write("HTTP/1.1 200 Connection Established\r\n\r\n");
      tls.emit("connection", socket);
    });
    proxy.listen(0, "127.0.0.1");
    await once(proxy, "listening");
    const { port } = proxy.address() as AddressInfo;
    const environment = {
      https_proxy: `http://127.0.0.1:${port}`,
      SSL_CERT_FILE: certPath,
      // The machine that runs the tests is not asked for its own credentials.
      NO_GCE_CHECK: "true",
    };
    return new GoogleHosts(connected, environment, async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => proxy.close(resolve));
      await rm(dir, { recursive: true });
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
  }
}
