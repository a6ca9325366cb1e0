// MinIO: `go install github.com/minio/minio@latest`. One folder, which is enough for versions.

import { freePort } from "./port.js";
import type { S3Server } from "./s3-server.js";
import { startServer } from "./s3-server.js";

export function startMinio(): Promise<S3Server> {
  return startServer(async (port, dir, keys) => ({
    command: "minio",
    args: [
      ...["server", "--quiet", "--address", `127.0.0.1:${port}`],
      ...["--console-address", `127.0.0.1:${await freePort()}`, dir],
    ],
    environment: {
      MINIO_ROOT_USER: keys.accessKeyId,
      MINIO_ROOT_PASSWORD: keys.secretAccessKey,
      MINIO_BROWSER: "off",
      MINIO_UPDATE: "off",
    },
  }));
}
