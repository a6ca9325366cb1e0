// The credentials of the machine itself: the service account that Google's metadata server has a
// token for. Asked only where there can be such a server.

import { Fault } from "../../model/fault.js";
import { readRetryAfter, readText } from "../object-answer.js";
import { openPool } from "../pool.js";
import type { TransferLimits } from "../transfer.js";
import { send } from "../transfer.js";
import type { Identity } from "./credentials.js";
import type { GcsSettings } from "./settings.js";

const DEFAULT_HOST = "metadata.google.internal";
const TOKEN_PATH = "/computeMetadata/v1/instance/service-accounts/default/token";
const SUBJECT = "an access token from Google's metadata server";
const DESCRIPTION = "the machine's service account (metadata server)";

/** Null where there is no metadata server, or the machine has no service account. */
export async function fromMachine(
  settings: GcsSettings,
  limits: TransferLimits,
): Promise<Identity | null> {
  const host = settings.metadataHost ?? (await defaultHost(settings));
  if (host === undefined) return null;
  const url = URL.canParse(`http://${host}`) ? new URL(`http://${host}`) : undefined;
  if (url === undefined) throw new Fault("usage", "GCE_METADATA_HOST must be HOST or HOST:PORT");
  // The server is the machine's own: never behind a proxy.
  const pool = openPool({});
  try {
    const transfer = await send(
      {
        method: "GET",
        protocol: url.protocol,
        hostname: url.hostname,
        port: url.port === "" ? undefined : Number(url.port),
        path: TOKEN_PATH,
        headers: { "metadata-flavor": "Google" },
        subject: SUBJECT,
      },
      pool,
      limits,
      new AbortController().signal,
    );
    const text = await readText(transfer);
    if (transfer.status === 404) return null;
    if (transfer.status !== 200) {
      throw refusal(transfer.status, readRetryAfter(transfer.headers["retry-after"]));
    }
    return identityIn(text, transfer.headers["metadata-flavor"]);
  } finally {
    pool.close();
  }
}

/** The usual address, on a machine that looks like Google's. */
async function defaultHost(settings: GcsSettings): Promise<string | undefined> {
  if (settings.noMetadata) return undefined;
  const { gcpMetadata } = await import("google-auth-library");
  return gcpMetadata.isGoogleComputeEngine() ? DEFAULT_HOST : undefined;
}

function refusal(status: number, retryAfterMs: number | undefined): Fault {
  const passing = status === 408 || status === 429 || status >= 500;
  return new Fault(
    passing ? "unavailable" : "denied",
    `Cannot get ${SUBJECT}: it answered HTTP ${status}`,
    retryAfterMs === undefined ? {} : { retryAfterMs },
  );
}

function identityIn(text: string, flavor: string | string[] | undefined): Identity {
  const { access_token: token, expires_in: seconds } = parse(text);
  if (flavor !== "Google" || typeof token !== "string" || token === "") {
    throw new Fault(
      "denied",
      `Cannot get ${SUBJECT}: what answers there is none (GCE_METADATA_HOST)`,
    );
  }
  return {
    token,
    expiresAtMs: typeof seconds === "number" ? Date.now() + seconds * 1_000 : null,
    description: DESCRIPTION,
    quotaProject: undefined,
  };
}

function parse(text: string): { readonly access_token?: unknown; readonly expires_in?: unknown } {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : {};
  } catch {
    return {};
  }
}
