// Keeps what the chain of credentials found: one search however many ask, renewed before it ends or
// once a server refuses it. Where nothing was found, requests go unsigned.

import { Fault } from "../../model/fault.js";
import { unlessAborted } from "../wait.js";
import type { Chain, Holder } from "./credential-chain.js";

/** Credentials are renewed so long before they end, or half-way when they are that short-lived. */
const RENEW_BEFORE_MS = 300_000;
/** Whoever is asked for credentials (a process, a server) is given up after this time. */
const LOAD_TIMEOUT_MS = 30_000;
/** What was renewed and refused again is not renewed for so long: the refusal is meant. */
const KEEP_REFUSED_MS = 60_000;

export interface Credentials {
  /**
   * @throws Fault `denied` when what should have credentials has none, `unavailable` when it does not
   * answer; the signal's reason when it fires.
   */
  get(signal?: AbortSignal): Promise<Holder>;
  /**
   * Forgets `stale`, which a server refused. False when there are no others to get.
   * @param why Of what has expired there are always new ones; a plain refusal is answered once.
   */
  renew(stale: Holder, why: "expired" | "refused"): boolean;
}

export function openCredentials(chain: Chain): Credentials {
  let current: Promise<Holder> | undefined;
  let known: Holder | undefined;
  let refusedMs = -Infinity;
  let renewMs = Infinity;

  const forget = (): void => {
    current = undefined;
    known = undefined;
  };
  const load = async (): Promise<Holder> => {
    known = await inTime(chain.find());
    const endMs = known.identity?.expiration?.getTime() ?? Infinity;
    const leftMs = endMs - Date.now();
    renewMs = endMs - Math.min(RENEW_BEFORE_MS, leftMs / 2);
    return known;
  };
  return {
    async get(signal) {
      if (known !== undefined && Date.now() > renewMs) forget();
      if (current === undefined) {
        const loading = load();
        current = loading;
        // The next one asks anew, whether or not somebody still waits for this one.
        loading.catch(() => {
          if (current === loading) current = undefined;
        });
      }
      return await (signal === undefined ? current : unlessAborted(current, signal));
    },
    renew(stale, why) {
      if (chain.fixed) return false;
      // Somebody else renewed them meanwhile.
      if (known !== stale) return true;
      if (why === "refused") {
        if (performance.now() - refusedMs < KEEP_REFUSED_MS) return false;
        refusedMs = performance.now();
      }
      forget();
      return true;
    },
  };
}

/** A provider has no deadline of its own, and the worker must not wait for one for ever. */
async function inTime(loading: Promise<Holder>): Promise<Holder> {
  const signal = AbortSignal.timeout(LOAD_TIMEOUT_MS);
  try {
    return await unlessAborted(loading, signal);
  } catch (error) {
    if (!signal.aborted || error !== signal.reason) throw error;
    throw new Fault(
      "unavailable",
      `No AWS credentials within ${LOAD_TIMEOUT_MS / 1_000} s: their source (a process, a profile's ` +
        "server, the machine's metadata) does not answer",
    );
  }
}
