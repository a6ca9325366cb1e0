// Starts azurite, Microsoft's emulator of Azure Storage, on loopback and in memory. It has snapshots,
// conditions and ranges, but no versions: it ignores `versionid` and answers with what is current.

import { BlobServiceClient } from "@azure/storage-blob";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { dirname, join } from "node:path";

const ACCOUNT = "devstoreaccount1";
/** The key of every emulator; Microsoft publishes it. */
const KEY =
  "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
const START_TIMEOUT_MS = 30_000;

export interface Azurite extends AsyncDisposable {
  /** http://127.0.0.1:PORT/devstoreaccount1 */
  readonly endpoint: string;
  readonly account: string;
  readonly key: string;
  readonly connectionString: string;
  /** What a shell would have to set to reach it. */
  readonly environment: Record<string, string>;
  /** For what a test puts there. */
  readonly client: BlobServiceClient;
}

export async function startAzurite(): Promise<Azurite> {
  const package_ = createRequire(import.meta.url).resolve("azurite/package.json");
  const main = join(dirname(package_), "dist/src/blob/main.js");
  const child = spawn(
    process.execPath,
    [
      ...[main, "--blobHost", "127.0.0.1", "--blobPort", "0"],
      ...["--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry"],
    ],
    { stdio: ["ignore", "pipe", "pipe"], cwd: fileURLToPath(new URL(".", import.meta.url)) },
  );
  const stop = (): Promise<void> => end(child);
  try {
    const port = await portOf(child);
    const endpoint = `http://127.0.0.1:${port}/${ACCOUNT}`;
    const connectionString = `DefaultEndpointsProtocol=http;AccountName=${ACCOUNT};AccountKey=${KEY};BlobEndpoint=${endpoint};`;
    return {
      endpoint,
      account: ACCOUNT,
      key: KEY,
      connectionString,
      environment: { AZURE_STORAGE_CONNECTION_STRING: connectionString },
      client: BlobServiceClient.fromConnectionString(connectionString),
      [Symbol.asyncDispose]: stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The port that it says it listens on, having picked a free one. */
async function portOf(child: ChildProcess): Promise<number> {
  let output = "";
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error(`azurite did not start: ${output}`)),
      START_TIMEOUT_MS,
    );
    const heard = (text: Buffer): void => {
      output += String(text);
      const port = /successfully listen(?:ing|s)? on http:\/\/127\.0\.0\.1:(\d+)/.exec(output)?.[1];
      if (port === undefined) return;
      clearTimeout(timer);
      resolve(Number(port));
    };
    child.stdout?.on("data", heard);
    child.stderr?.on("data", heard);
    child.once("exit", () => {
      clearTimeout(timer);
      reject(new Error(`azurite ended: ${output}`));
    });
  });
}

/** Nothing here is worth saving: the fastest end is the best. */
async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
}
