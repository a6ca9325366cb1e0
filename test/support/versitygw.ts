// versitygw: `go install github.com/versity/versitygw/cmd/versitygw@latest`. Objects are files of a
// folder, old versions those of another one; both need extended attributes.

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { S3Server } from "./s3-server.js";
import { startServer } from "./s3-server.js";

export function startVersitygw(): Promise<S3Server> {
  return startServer(async (port, dir, keys) => {
    const [objects, versions] = [join(dir, "objects"), join(dir, "versions")];
    await mkdir(objects);
    await mkdir(versions);
    return {
      command: "versitygw",
      args: ["--port", `127.0.0.1:${port}`, "posix", "--versioning-dir", versions, objects],
      environment: {
        ROOT_ACCESS_KEY: keys.accessKeyId,
        ROOT_SECRET_KEY: keys.secretAccessKey,
      },
    };
  });
}
