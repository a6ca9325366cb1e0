// fake-gcs-server, somebody else's emulator of Google Cloud Storage, where there is one: on PATH, or
// named by FAKE_GCS_SERVER. `go install github.com/fsouza/fake-gcs-server@latest` makes it.

import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { freePort } from "./port.js";

export interface FakeGcs extends AsyncDisposable {
  readonly host: string;
}

/** The program to run; undefined where there is none. */
export function fakeGcsProgram(): string | undefined {
  const program = process.env["FAKE_GCS_SERVER"] ?? "fake-gcs-server";
  return spawnSync(program, ["-help"]).error === undefined ? program : undefined;
}

/** Starts it with everything in memory, which is where it keeps generations. */
export async function startFakeGcs(program: string): Promise<FakeGcs> {
  const port = await freePort();
  const host = `127.0.0.1:${port}`;
  const server = spawn(
    program,
    [
      ...["-backend", "memory", "-scheme", "http", "-host", "127.0.0.1", "-port", String(port)],
      ...["-public-host", host, "-external-url", `http://${host}`],
    ],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  const ended = once(server, "exit");
  await new Promise<void>((resolve, reject) => {
    const look = (text: string): void => {
      if (text.includes("server started")) resolve();
    };
    server.stdout.setEncoding("utf8").on("data", look);
    server.stderr.setEncoding("utf8").on("data", look);
    server.on("error", reject);
    server.on("exit", (code) => reject(new Error(`${program} ended with ${code ?? "a signal"}`)));
  });
  return {
    host,
    async [Symbol.asyncDispose]() {
      server.kill();
      await ended;
    },
  };
}
