// Starts one of the S3 servers that are a single program, on loopback and in a folder of its own. They
// are optional: tests on them run where the program is on PATH.

import { S3Client } from "@aws-sdk/client-s3";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { freePort } from "./port.js";

const START_TIMEOUT_MS = 60_000;
const POLL_MS = 50;
const KEYS = { accessKeyId: "AKTESTTEST", secretAccessKey: "SKTESTTEST" };

export interface S3Server extends AsyncDisposable {
  readonly endpoint: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** What a shell would have to set to reach it. */
  readonly environment: Record<string, string>;
}

export interface Launch {
  readonly command: string;
  readonly args: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
}

/** True when `command` is on PATH. */
export function isInstalled(command: string): boolean {
  return spawnSync("sh", ["-c", `command -v ${command}`], { stdio: "ignore" }).status === 0;
}

/** @param launchOf What to run for a free port, a folder, and the keys to let in. */
export async function startServer(
  launchOf: (port: number, dir: string, keys: typeof KEYS) => Launch | Promise<Launch>,
): Promise<S3Server> {
  const dir = await mkdtemp(join(tmpdir(), "refmount-s3-"));
  const port = await freePort();
  const { command, args, environment = {} } = await launchOf(port, dir, KEYS);
  const child = spawn(command, args, {
    cwd: dir,
    env: { ...process.env, ...environment },
    stdio: "ignore",
  });
  const stop = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) {
      const exited = once(child, "exit");
      child.kill("SIGKILL");
      await exited;
    }
    await rm(dir, { recursive: true, force: true });
  };
  const endpoint = `http://127.0.0.1:${port}`;
  try {
    await once(child, "spawn");
    const endMs = performance.now() + START_TIMEOUT_MS;
    // Any answer will do.
    while (
      !(await fetch(endpoint).then(
        () => true,
        () => false,
      ))
    ) {
      if (performance.now() > endMs || child.exitCode !== null) {
        throw new Error(`${command} did not start`);
      }
      await delay(POLL_MS);
    }
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    endpoint,
    ...KEYS,
    environment: {
      AWS_S3_ENDPOINT_URL: endpoint,
      AWS_REGION: "us-east-1",
      AWS_ACCESS_KEY_ID: KEYS.accessKeyId,
      AWS_SECRET_ACCESS_KEY: KEYS.secretAccessKey,
    },
    [Symbol.asyncDispose]: stop,
  };
}

/** A client for what a test puts there. */
export function clientOf(server: S3Server): S3Client {
  return new S3Client({
    endpoint: server.endpoint,
    region: "us-east-1",
    forcePathStyle: true,
    credentials: server,
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
  });
}
