// Whoever gives access tokens: Google's token endpoint, its security token service, the service that
// lets one account speak for another, and a machine's metadata server. Checks what it is shown as they
// do, and keeps what was asked.

import { createVerify, type KeyObject } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";

const LIFETIME_SECONDS = 3_600;
/** How far a signed assertion's time may be from Google's. */
const SKEW_SECONDS = 600;

/** One token that was given. */
export interface Grant {
  readonly kind: "jwt" | "refresh" | "exchange" | "impersonation" | "machine";
  readonly token: string;
  readonly scope: string;
  /** Who it was given to, or for. */
  readonly principal: string;
}

export interface TokenAnswer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

export class Tokens {
  readonly grants: Grant[] = [];
  /** Public keys by the service account's address. */
  readonly accounts = new Map<string, KeyObject>();
  readonly refreshTokens = new Set<string>();
  readonly subjectTokens = new Set<string>();
  /** False: a machine without a service account. */
  machineHasAccount = true;
  /** Added to what the token endpoint holds for the time. */
  clockOffsetSeconds = 0;
  lifetimeSeconds = LIFETIME_SECONDS;
  readonly #valid = new Set<string>();

  isValid(token: string): boolean {
    return this.#valid.has(token);
  }

  /** No token that was given so far is worth anything any more. */
  revoke(): void {
    this.#valid.clear();
  }

  /** The answer of the token endpoint or the security token service. */
  exchange(form: URLSearchParams): TokenAnswer {
    switch (form.get("grant_type")) {
      case "urn:ietf:params:oauth:grant-type:jwt-bearer":
        return this.#assertion(form.get("assertion") ?? "");
      case "refresh_token": {
        const token = form.get("refresh_token") ?? "";
        return this.refreshTokens.has(token)
          ? this.#give("refresh", form.get("client_id") ?? "", "")
          : refuse("invalid_grant", "Token has been expired or revoked.");
      }
      case "urn:ietf:params:oauth:grant-type:token-exchange": {
        const token = form.get("subject_token") ?? "";
        return this.subjectTokens.has(token) || isSignedCallerIdentity(token)
          ? this.#give("exchange", form.get("audience") ?? "", form.get("scope") ?? "")
          : refuse("invalid_grant", "The subject token is not valid.");
      }
      default:
        return refuse("unsupported_grant_type", "Invalid grant_type.");
    }
  }

  impersonate(account: string, headers: IncomingHttpHeaders, body: unknown): TokenAnswer {
    const bearer = bearerIn(headers);
    if (bearer === undefined || !this.isValid(bearer)) {
      return { status: 401, body: { error: { code: 401, message: "Invalid credentials." } } };
    }
    const { scope = [] } = body as { readonly scope?: readonly string[] };
    const given = this.#give("impersonation", account, scope.join(" "));
    return {
      status: 200,
      body: {
        accessToken: given.body["access_token"],
        expireTime: new Date(Date.now() + this.lifetimeSeconds * 1_000).toISOString(),
      },
    };
  }

  machine(headers: IncomingHttpHeaders): TokenAnswer {
    if (headers["metadata-flavor"] !== "Google") return { status: 403, body: {} };
    if (!this.machineHasAccount) return { status: 404, body: {} };
    return this.#give("machine", "default", "");
  }

  #assertion(assertion: string): TokenAnswer {
    const [header = "", payload = "", signature = ""] = assertion.split(".");
    const claims = JSON.parse(Buffer.from(payload, "base64url").toString()) as {
      readonly iss: string;
      readonly scope: string;
      readonly iat: number;
      readonly exp: number;
    };
    const key = this.accounts.get(claims.iss);
    if (key === undefined) return refuse("invalid_grant", "Invalid grant: account not found");
    const signed = createVerify("RSA-SHA256").update(`${header}.${payload}`);
    if (!signed.verify(key, signature, "base64url")) {
      return refuse("invalid_grant", "Invalid JWT Signature.");
    }
    const nowSeconds = Date.now() / 1_000 + this.clockOffsetSeconds;
    if (Math.abs(claims.iat - nowSeconds) > SKEW_SECONDS || claims.exp < nowSeconds) {
      return refuse(
        "invalid_grant",
        "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. " +
          "Check your iat and exp values in the JWT claim.",
      );
    }
    return this.#give("jwt", claims.iss, claims.scope);
  }

  #give(kind: Grant["kind"], principal: string, scope: string): TokenAnswer {
    const token = `ya29.double-${kind}-${this.grants.length + 1}`;
    this.#valid.add(token);
    this.grants.push({ kind, token, scope, principal });
    const body = { access_token: token, expires_in: this.lifetimeSeconds, token_type: "Bearer" };
    return {
      status: 200,
      body: kind === "exchange" ? { ...body, issued_token_type: "access_token" } : body,
    };
  }
}

export function bearerIn({ authorization }: IncomingHttpHeaders): string | undefined {
  return /^Bearer (\S+)$/.exec(authorization ?? "")?.[1];
}

/** What AWS's signature of a request for its caller's identity looks like. */
function isSignedCallerIdentity(token: string): boolean {
  return /GetCallerIdentity.*AWS4-HMAC-SHA256 Credential=/s.test(decodeURIComponent(token));
}

function refuse(error: string, description: string): TokenAnswer {
  return { status: 400, body: { error, error_description: description } };
}
