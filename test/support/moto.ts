// moto: `pip install 'moto[server]'`. Everything in memory; it checks no signatures.

import type { S3Server } from "./s3-server.js";
import { startServer } from "./s3-server.js";

export function startMoto(): Promise<S3Server> {
  return startServer((port) => ({
    command: "moto_server",
    args: ["-H", "127.0.0.1", "-p", String(port)],
  }));
}
