// The chain of those who may give access tokens, in the order of the SDK's DefaultAzureCredential but
// from a passed environment: an application of the environment, a workload identity, the machine's
// identity, the Azure CLI. The first that is here is asked from then on.

import { Fault } from "../../model/fault.js";
import type { Pool } from "../pool.js";
import type { Environment } from "../store.js";
import { nonEmpty } from "../store.js";
import type { TransferLimits } from "../transfer.js";
import { unlessAborted } from "../wait.js";
import { azureCli } from "./azure-cli.js";
import { entraApplication, workloadIdentity } from "./entra.js";
import { managedIdentity } from "./managed-identity.js";
import type { Token, TokenSource } from "./token.js";
import { Absent } from "./token.js";

/** Tokens are renewed when they end within this time. */
const RENEW_BEFORE_MS = 300_000;
/** Whoever is asked for a token (a process, a server) is given up after this time. */
const LOAD_TIMEOUT_MS = 30_000;
/** How long it is believed that nobody here gives tokens. */
const ABSENCE_MS = 60_000;

/** A token, and who gave it. */
export interface Issued extends Token {
  readonly source: string;
  /** True when it took the place of one that was refused. */
  readonly renewed: boolean;
}

export interface Tokens {
  /**
   * Null when nobody here gives tokens.
   * @throws Fault `denied` or `unavailable` when somebody should and does not; the signal's reason.
   */
  get(signal: AbortSignal): Promise<Issued | null>;
  /** Forgets `stale`, which was refused. @param tenantId Where the account takes tokens from. */
  renew(stale: Issued, tenantId: string | undefined): void;
}

export function openTokens(
  environment: Environment,
  authorityHost: string,
  pool: Pool,
  limits: TransferLimits,
): Tokens {
  let chosen: TokenSource | undefined;
  let current: Promise<Issued | null> | undefined;
  let known: Issued | null | undefined;
  let tenant: string | undefined;
  let renewed = false;
  let absentUntilMs = 0;

  const load = async (): Promise<Issued | null> => {
    const sources =
      chosen === undefined ? chain(environment, authorityHost, pool, limits) : [chosen];
    const asked = { tenant, renewed };
    const found = await inTime((signal) => firstToken(sources, asked.tenant, signal));
    chosen = found?.source;
    const issued =
      found === null ? null : { ...found.token, source: found.source.name, renewed: asked.renewed };
    absentUntilMs = issued === null ? performance.now() + ABSENCE_MS : 0;
    known = issued;
    return issued;
  };
  const outdated = (): boolean =>
    known === null
      ? performance.now() > absentUntilMs
      : known !== undefined && known.expiresAtMs - Date.now() < RENEW_BEFORE_MS;
  const forget = (): void => {
    current = undefined;
    known = undefined;
  };
  return {
    async get(signal) {
      if (outdated()) {
        forget();
        renewed = false;
      }
      if (current === undefined) {
        const loading = load();
        current = loading;
        // The next one asks anew, whether or not somebody still waits for this one.
        loading.catch(() => {
          if (current === loading) current = undefined;
        });
      }
      return await unlessAborted(current, signal);
    },
    renew(stale, tenantId) {
      tenant = tenantId ?? tenant;
      // Another request may have had it renewed before.
      if (known !== stale) return;
      renewed = true;
      forget();
    },
  };
}

/** The credentials by their names in AZURE_TOKEN_CREDENTIALS, which may also say "dev" or "prod". */
function chain(
  environment: Environment,
  authorityHost: string,
  pool: Pool,
  limits: TransferLimits,
): readonly TokenSource[] {
  const wanted = nonEmpty(environment["AZURE_TOKEN_CREDENTIALS"])?.trim().toLowerCase();
  const links: readonly (readonly [string, "dev" | "prod", () => TokenSource | undefined])[] = [
    ["environmentcredential", "prod", () => entraApplication(environment, authorityHost, pool)],
    [
      "workloadidentitycredential",
      "prod",
      () => workloadIdentity(environment, authorityHost, pool),
    ],
    ["managedidentitycredential", "prod", () => managedIdentity(environment, limits)],
    ["azureclicredential", "dev", () => azureCli(environment)],
  ];
  return links
    .filter(([name, group]) => wanted === undefined || wanted === name || wanted === group)
    .map(([, , make]) => make())
    .filter((source) => source !== undefined);
}

async function firstToken(
  sources: readonly TokenSource[],
  tenantId: string | undefined,
  signal: AbortSignal,
): Promise<{ readonly token: Token; readonly source: TokenSource } | null> {
  for (const source of sources) {
    try {
      return { token: await source.get(tenantId, signal), source };
    } catch (error) {
      if (!(error instanceof Absent)) throw error;
    }
  }
  return null;
}

async function inTime<T>(ask: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const signal = AbortSignal.timeout(LOAD_TIMEOUT_MS);
  try {
    return await unlessAborted(ask(signal), signal);
  } catch (error) {
    if (!signal.aborted || error !== signal.reason) throw error;
    throw new Fault(
      "unavailable",
      `No Azure access token within ${LOAD_TIMEOUT_MS / 1_000} s: its source does not answer`,
    );
  }
}
