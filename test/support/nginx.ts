// Debian's nginx on 127.0.0.1, serving a folder of its own, with what a test writes into its server
// block. Ask `needs("nginx")` first.

import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rename, rm, utimes, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { freePort } from "./port.js";

const START_TIMEOUT_MS = 10_000;

export interface Nginx extends AsyncDisposable {
  /** Without a slash at the end. */
  readonly origin: string;
  /** The folder of its own; what it serves is below `root`, a test's own files go beside that. */
  readonly dir: string;
  /** Puts a file in place in one step, as a deployment does. */
  put(path: string, bytes: string | Uint8Array): Promise<void>;
  remove(path: string): Promise<void>;
  /** The lines of its access log: method, uri, status, range, accept-encoding. */
  requests(): Promise<readonly string[]>;
}

/** @param server Directives for the server block, which has a root and listens already. */
export async function startNginx(server: (dir: string) => string = () => ""): Promise<Nginx> {
  const dir = await mkdtemp(join(tmpdir(), "refmount-nginx-"));
  const root = join(dir, "root");
  const port = await freePort();
  await mkdir(root);
  const conf = join(dir, "nginx.conf");
  await writeFile(conf, configuration(dir, port, server(dir)));
  const child = spawn("nginx", ["-p", dir, "-c", conf, "-e", join(dir, "error.log")], {
    stdio: "ignore",
  });
  const stop = async (): Promise<void> => {
    await end(child);
    await rm(dir, { recursive: true, force: true });
  };
  try {
    await untilListening(port, child, dir);
  } catch (error) {
    await stop();
    throw error;
  }
  let files = 0;
  return {
    origin: `http://127.0.0.1:${port}`,
    dir,
    async put(path, bytes) {
      const target = join(root, path);
      await mkdir(dirname(target), { recursive: true });
      files += 1;
      const fresh = join(dir, `fresh-${files}`);
      await writeFile(fresh, bytes);
      // nginx makes its ETag of size and seconds: no two files are of one second.
      const second = Math.floor(Date.now() / 1_000) - 10_000 + files;
      await utimes(fresh, second, second);
      await rename(fresh, target);
    },
    remove: (path) => rm(join(root, path)),
    async requests() {
      const log = await readFile(join(dir, "access.log"), "utf8").catch(() => "");
      return log.split("\n").filter((line) => line !== "");
    },
    [Symbol.asyncDispose]: stop,
  };
}

function configuration(dir: string, port: number, server: string): string {
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  return `
daemon off;
worker_processes 1;
pid ${dir}/nginx.pid;
error_log ${dir}/error.log;
${process.getuid?.() === 0 ? "user root;" : ""}
events { worker_connections 512; }
http {
  log_format test '$request_method $request_uri $status $http_range $http_accept_encoding';
  access_log ${dir}/access.log test;
  ${temporary.map((name) => `${name}_temp_path ${dir}/${name};`).join("\n  ")}
  types { text/plain txt; application/json json; }
  default_type application/octet-stream;
  sendfile on;
  server {
    listen 127.0.0.1:${port};
    root ${dir}/root;
    autoindex off;
    ${server}
  }
}
`;
}

async function untilListening(port: number, child: ChildProcess, dir: string): Promise<void> {
  const endMs = performance.now() + START_TIMEOUT_MS;
  while (!(await answers(port))) {
    if (child.exitCode !== null || performance.now() > endMs) {
      const log = await readFile(join(dir, "error.log"), "utf8").catch(() => "");
      throw new Error(`nginx did not start:\n${log.slice(-2_000)}`);
    }
    await delay(10);
  }
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

/** SIGTERM: the master ends its worker, too. */
async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGTERM");
  await exited;
}
