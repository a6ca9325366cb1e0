// One environment's way to Google Cloud Storage: authorised requests to the JSON API over a keep-alive
// pool, for listing and for bytes. Knows which buckets' requesters pay, as it learns it. Knows no
// objects.

import { openPool } from "../pool.js";
import type { Environment, StoreOptions } from "../store.js";
import { CONNECT_TIMEOUT_MS, RETRY_TIMEOUT_MS, STALL_TIMEOUT_MS } from "../store.js";
import type { Transfer } from "../transfer.js";
import { send } from "../transfer.js";
import type { Identity } from "./credentials.js";
import { openCredentials } from "./credentials.js";
import {
  isRequesterPays,
  isUnauthorized,
  readRefusal,
  Refused,
  transientFault,
  type Refusal,
} from "./failure.js";
import { readSettings } from "./settings.js";

/** A GET. */
export interface GcsRequest {
  readonly bucket: string;
  /** Percent-encoded, below the API's own path; begins with "/". */
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly headers: Readonly<Record<string, string>>;
  /** Named in faults. */
  readonly subject: string;
}

export interface GcsConnection {
  /** Where the JSON API is, without a "/" at the end. */
  readonly api: URL;
  /**
   * Sends a request and waits for the head of a success.
   * @throws Refused; Fault `unavailable` or `denied`.
   */
  request(request: GcsRequest, signal: AbortSignal): Promise<Transfer>;
  /** How long a listing tries again while the store is unavailable. */
  readonly retryTimeoutMs: number;
  close(): void;
}

/** Opens no connection yet. @throws Fault `usage` for settings that cannot be. */
export function connect(environment: Environment, options: StoreOptions): GcsConnection {
  const settings = readSettings(environment);
  const limits = {
    connectTimeoutMs: options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
    stallTimeoutMs: options.stallTimeoutMs ?? STALL_TIMEOUT_MS,
  };
  const pool = openPool(environment);
  const credentials = openCredentials(environment, settings, pool, limits);
  const { api } = settings;
  const { protocol, hostname, port } = api;
  /** Whose requester pays. Nobody is billed for a bucket that did not ask. */
  const billed = new Set<string>();

  const projectOf = (identity: Identity | null): string | undefined =>
    settings.quotaProject ?? identity?.quotaProject;

  /** Does what can be done about a refusal; "" when asking again makes no sense. */
  const recover = (
    refusal: Refusal,
    { bucket }: GcsRequest,
    identity: Identity | null,
  ): "" | "project" | "credentials" => {
    if (isRequesterPays(refusal) && projectOf(identity) !== undefined) {
      billed.add(bucket);
      return "project";
    }
    if (isUnauthorized(refusal) && credentials.renew(identity, refusal.status)) {
      return "credentials";
    }
    return "";
  };

  return {
    api,
    retryTimeoutMs: options.retryTimeoutMs ?? RETRY_TIMEOUT_MS,
    async request(request, signal) {
      // Each remedy is tried once.
      const tried = new Set<string>([""]);
      for (;;) {
        const identity = await credentials.get(signal);
        const project = billed.has(request.bucket) ? projectOf(identity) : undefined;
        const query = new URLSearchParams({
          ...request.query,
          ...(project === undefined ? {} : { userProject: project }),
        });
        const transfer = await send(
          {
            method: "GET",
            protocol,
            hostname,
            port: port === "" ? undefined : Number(port),
            path: `${api.pathname}${request.path}?${query.toString().replaceAll("+", "%20")}`,
            headers: {
              ...request.headers,
              ...(identity === null ? {} : { authorization: `Bearer ${identity.token}` }),
            },
            subject: request.subject,
          },
          pool,
          limits,
          signal,
        );
        if (transfer.status === 200 || transfer.status === 206) return transfer;
        const refusal = await readRefusal(transfer);
        const remedy = recover(refusal, request, identity);
        if (tried.has(remedy)) {
          throw (
            transientFault(refusal, request.subject) ??
            new Refused(refusal, identity?.description ?? null)
          );
        }
        tried.add(remedy);
      }
    },
    close() {
      pool.close();
    },
  };
}
