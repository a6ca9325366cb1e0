// Google's Application Default Credentials, looked up from a passed environment instead of the
// process's own: a credentials file, gcloud's file, the machine's own; none at all is anonymous. Keeps
// one access token and renews it before it ends.

import { existsSync } from "node:fs";
import { Fault } from "../../model/fault.js";
import type { Pool } from "../pool.js";
import type { Environment } from "../store.js";
import type { TransferLimits } from "../transfer.js";
import { unlessAborted } from "../wait.js";
import type { GcsSettings } from "./settings.js";

export interface Identity {
  /** Sent as a bearer token. */
  readonly token: string;
  readonly expiresAtMs: number | null;
  /** Whose they are and where they come from, for people. Holds no secret. */
  readonly description: string;
  /** The project to bill that the credentials name themselves. */
  readonly quotaProject: string | undefined;
}

export interface Credentials {
  /**
   * The identity to ask with; null: nobody's, which reads public buckets.
   * @throws Fault `denied` for credentials that are there but cannot be used, `unavailable` when
   * whoever gives tokens does not answer; the signal's reason when it fires.
   */
  get(signal: AbortSignal): Promise<Identity | null>;
  /** Forgets `stale`, which was refused with `status`. False when looking again makes no sense. */
  renew(stale: Identity | null, status: number): boolean;
}

/**
 * Tokens are renewed when they end within this time. Not earlier: the metadata server goes on giving
 * the same token until it has less than five minutes.
 */
const RENEW_BEFORE_MS = 225_000;
/** Whoever is asked for a token is given up after this time. */
const LOAD_TIMEOUT_MS = 30_000;

export function openCredentials(
  environment: Environment,
  settings: GcsSettings,
  pool: Pool,
  limits: TransferLimits,
): Credentials {
  let current: Promise<Identity | null> | undefined;
  /** Undefined until loaded. */
  let known: Identity | null | undefined;
  /** Set while the next token replaces one that was refused. */
  let refused = false;
  let afterRefusal: Identity | null | undefined;

  const forget = (): void => {
    current = undefined;
    known = undefined;
  };
  const load = async (): Promise<Identity | null> => {
    known = await inTime(find(environment, settings, pool, limits));
    afterRefusal = refused ? known : undefined;
    refused = false;
    return known;
  };
  return {
    async get(signal) {
      if (known && known.expiresAtMs !== null && known.expiresAtMs - Date.now() < RENEW_BEFORE_MS) {
        forget();
      }
      if (current === undefined) {
        const loading = load();
        current = loading;
        // The next one asks anew, whether or not somebody still waits for this one.
        loading.catch(() => {
          if (current === loading) forget();
        });
      }
      return await unlessAborted(current, signal);
    },
    renew(stale, status) {
      if (settings.emulator) return false;
      // Another request was refused with the same and has renewed it already.
      if (known !== stale) return true;
      // A right that is missing is missing with every new token, too: one is enough to know.
      if (status === 403 && (stale === null || afterRefusal === stale)) return false;
      forget();
      refused = true;
      return true;
    },
  };
}

/** The first that there is. One that is there and cannot be used is an error, never passed over. */
async function find(
  environment: Environment,
  settings: GcsSettings,
  pool: Pool,
  limits: TransferLimits,
): Promise<Identity | null> {
  if (settings.emulator) return null;
  const { credentialsFile, wellKnownFile } = settings;
  const from = (path: string, named: string): Promise<Identity> =>
    import("./credential-file.js").then(({ fromFile }) =>
      fromFile({ path, named }, environment, pool, limits),
    );
  if (credentialsFile !== undefined) {
    return await from(credentialsFile, "GOOGLE_APPLICATION_CREDENTIALS");
  }
  if (existsSync(wellKnownFile)) return await from(wellKnownFile, "gcloud's default credentials");
  const { fromMachine } = await import("./machine.js");
  return await fromMachine(settings, limits);
}

/** A file's source may hang without a deadline, and the worker must not wait for it for ever. */
async function inTime<T>(loading: Promise<T>): Promise<T> {
  const signal = AbortSignal.timeout(LOAD_TIMEOUT_MS);
  try {
    return await unlessAborted(loading, signal);
  } catch (error) {
    if (!signal.aborted || error !== signal.reason) throw error;
    throw new Fault(
      "unavailable",
      `No Google credentials within ${LOAD_TIMEOUT_MS / 1_000} s: whoever gives the token does not answer`,
    );
  }
}
