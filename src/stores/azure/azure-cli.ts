// Tokens of whoever is logged in with `az login`. The SDK's credential runs `az` in the environment of
// this process, which is not the mount's; here it gets the mount's own.

import { execFile } from "node:child_process";
import { Fault } from "../../model/fault.js";
import type { Environment } from "../store.js";
import { nonEmpty } from "../store.js";
import type { Token, TokenSource } from "./token.js";
import { Absent, STORAGE_RESOURCE } from "./token.js";

const NAME = "the Azure CLI's login";
const TIMEOUT_MS = 20_000;
/** Where `az` is looked for when the environment names no folders. */
const USUAL_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

export function azureCli(environment: Environment): TokenSource {
  const tenant = nonEmpty(environment["AZURE_TENANT_ID"]);
  return {
    name: NAME,
    async get(tenantId, signal) {
      const wanted = tenantId ?? tenant;
      const output = await run(
        environment,
        [
          ...["account", "get-access-token", "--output", "json", "--resource", STORAGE_RESOURCE],
          ...(wanted === undefined ? [] : ["--tenant", wanted]),
        ],
        signal,
      );
      return readToken(output);
    },
  };
}

function run(
  environment: Environment,
  args: readonly string[],
  signal: AbortSignal,
): Promise<string> {
  const path = nonEmpty(environment["PATH"]) ?? USUAL_PATH;
  return new Promise((resolve, reject) => {
    execFile(
      "az",
      args,
      { cwd: "/", env: { ...environment, PATH: path }, timeout: TIMEOUT_MS, signal },
      (error, stdout) => {
        if (error === null) resolve(stdout);
        else if (signal.aborted) reject(signal.reason as Error);
        else if (error.killed === true) {
          reject(new Fault("unavailable", `az gave no token within ${TIMEOUT_MS / 1_000} s`));
        }
        // Not installed, or nobody is logged in.
        else reject(new Absent(`${NAME}: az ended with ${error.code ?? "an error"}`));
      },
    );
  });
}

function readToken(output: string): Token {
  try {
    const {
      accessToken: value,
      expires_on: seconds,
      expiresOn: local,
    } = JSON.parse(output) as Readonly<Record<string, unknown>>;
    // Older versions tell the local time only.
    const expiresAtMs = seconds === undefined ? Date.parse(String(local)) : Number(seconds) * 1_000;
    if (typeof value === "string" && value !== "" && !Number.isNaN(expiresAtMs)) {
      return { value, expiresAtMs };
    }
  } catch {
    // No JSON: told below.
  }
  throw new Absent(`${NAME}: az printed no token`);
}
