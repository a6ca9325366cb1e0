// One environment's way to HTTP servers: requests with the credentials of their origin, over a
// keep-alive pool, along redirects. Judges no answer but redirects and refused credentials.

import { readText } from "../object-answer.js";
import { openPool } from "../pool.js";
import type { Environment, StoreOptions } from "../store.js";
import { CONNECT_TIMEOUT_MS, RETRY_TIMEOUT_MS, STALL_TIMEOUT_MS } from "../store.js";
import type { Transfer } from "../transfer.js";
import { send } from "../transfer.js";
import type { Identity } from "./credentials.js";
import { openCredentials } from "./credentials.js";
import { nextTrail, refusal, startTrail } from "./redirect.js";
import type { HttpName } from "./uri.js";

export interface HttpRequest {
  readonly method: "GET" | "HEAD";
  readonly name: HttpName;
  readonly headers: Readonly<Record<string, string>>;
}

/** An answer that is no redirect. */
export interface HttpAnswer extends Transfer {
  /** Where the credentials that it was asked with come from; undefined when there were none. */
  readonly credentials: string | undefined;
  /** The origin that answered, when a redirect led to another one. */
  readonly elsewhere: string | undefined;
}

export interface HttpConnection {
  /** @throws Fault `unavailable`, `denied` (TLS, a redirect), or `usage` (the environment). */
  request(request: HttpRequest, signal: AbortSignal): Promise<HttpAnswer>;
  /** How long a listing tries again while a server is unavailable. */
  readonly retryTimeoutMs: number;
  close(): void;
}

/**
 * Reads the environment; opens no connection yet.
 * @throws Fault `usage` for a proxy, certificates or headers that cannot be understood.
 */
export function connect(environment: Environment, options: StoreOptions): HttpConnection {
  const credentials = openCredentials(environment);
  const pool = openPool(environment);
  const limits = {
    connectTimeoutMs: options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
    stallTimeoutMs: options.stallTimeoutMs ?? STALL_TIMEOUT_MS,
  };

  const follow = async (
    { method, name, headers }: HttpRequest,
    identity: Identity,
    signal: AbortSignal,
  ): Promise<HttpAnswer> => {
    const subject = name.uri;
    for (let trail = startTrail(name.url); ;) {
      const at = trail;
      const { protocol, hostname, port, pathname, search, origin } = at.url;
      const transfer = await send(
        {
          method,
          protocol,
          hostname,
          port: port === "" ? undefined : Number(port),
          path: pathname + search,
          headers: { ...ALWAYS, ...(at.strayed ? {} : identity.headers), ...headers },
          subject,
          refuses: (host) => refusal(at, host),
        },
        pool,
        limits,
        signal,
      );
      const next = await nextOr(transfer, () => nextTrail(at, transfer, subject));
      if (next === null) {
        const sent = at.strayed ? undefined : identity.source;
        return { ...transfer, credentials: sent, elsewhere: at.strayed ? origin : undefined };
      }
      trail = next;
    }
  };

  return {
    retryTimeoutMs: options.retryTimeoutMs ?? RETRY_TIMEOUT_MS,
    async request(request, signal) {
      const identity = await credentials.identityFor(request.name.url);
      const answer = await follow(request, identity, signal);
      const refused = answer.status === 401 || answer.status === 403;
      if (!refused || answer.elsewhere !== undefined) return answer;
      const renewed = await credentials.renew(request.name.url, identity);
      if (renewed === null) return answer;
      answer.close();
      return follow(request, renewed, signal);
    },
    close() {
      pool.close();
    },
  };
}

/** Some servers refuse whoever does not say what it is. */
const ALWAYS = { "accept-encoding": "identity", accept: "*/*", "user-agent": "refmount" };

/** The next trail; the redirect's own body is read over, so that its connection can be kept. */
async function nextOr<T>(transfer: Transfer, next: () => T | null): Promise<T | null> {
  try {
    const trail = next();
    if (trail !== null) await readText(transfer);
    return trail;
  } catch (error) {
    transfer.close();
    throw error;
  }
}
