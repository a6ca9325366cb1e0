// A proxy that answers CONNECT, or whatever comes, with the bytes it is told to, and opens no way.

import { once } from "node:events";
import { createServer, type AddressInfo, type Socket } from "node:net";

export class RawProxy implements AsyncDisposable {
  /** With a password in it. */
  readonly url: string;
  /** The heads of the requests that came, in order. */
  readonly requests: string[];
  readonly sockets: ReadonlySet<Socket>;
  readonly #close: () => Promise<void>;

  private constructor(
    url: string,
    requests: string[],
    sockets: ReadonlySet<Socket>,
    close: () => Promise<void>,
  ) {
    this.url = url;
    this.requests = requests;
    this.sockets = sockets;
    this.#close = close;
  }

  /** @param onRequest Called with each connection whose request has come. */
  static async start(onRequest: (socket: Socket) => void): Promise<RawProxy> {
    const requests: string[] = [];
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.on("error", () => undefined);
      socket.once("close", () => sockets.delete(socket));
      socket.once("data", (head) => {
        requests.push(head.toString("latin1"));
        onRequest(socket);
      });
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    return new RawProxy(`http://user:secret@127.0.0.1:${port}`, requests, sockets, async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
  }
}
