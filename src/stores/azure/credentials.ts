// Which credential a request is sent with: the first of a connection string, an account key, a SAS
// token, an access token, none. A key or a token that names its account is never sent to another one.

import { StorageSharedKeyCredential } from "@azure/storage-blob";
import type { Pool } from "../pool.js";
import type { Environment } from "../store.js";
import { nonEmpty } from "../store.js";
import type { TransferLimits } from "../transfer.js";
import type { AccountKey, AccountSas, NamedAccount } from "./account.js";
import { looseSas, namedAccounts } from "./account.js";
import type { Refusal } from "./failure.js";
import { ANONYMOUS } from "./failure.js";
import type { BlobRequest } from "./sign.js";
import { sharedKey } from "./sign.js";
import type { Issued, Tokens } from "./tokens.js";
import { openTokens } from "./tokens.js";
import type { AzurePlace } from "./uri.js";

/** What makes a request one that is allowed. */
export interface Authorisation {
  /** The Authorization header; undefined with a SAS token or nothing. */
  readonly header: string | undefined;
  /** Joined to the query; "" unless there is a SAS token. */
  readonly sas: string;
  /** What it is, for messages. */
  readonly source: string;
  readonly token: Issued | undefined;
}

export interface Credential {
  /** @throws Fault `denied` or `unavailable` when there is no token where one should be. */
  authorise(request: BlobRequest, signal: AbortSignal): Promise<Authorisation>;
  /** True when a refused request may be sent again, with another token. */
  renew(refused: Authorisation, refusal: Refusal): boolean;
}

/** The credential for requests to an account; the same object for the same account. */
export type CredentialFor = (place: AzurePlace) => Credential;

export function openCredentials(
  environment: Environment,
  pool: Pool,
  limits: TransferLimits,
): CredentialFor {
  const accounts = namedAccounts(environment);
  const loose = looseSas(environment);
  const tokens = new Map<string, Tokens>();
  const credentials = new Map<string, Credential>();

  const tokensOf = (authorityHost: string): Tokens => {
    let opened = tokens.get(authorityHost);
    if (opened === undefined) {
      opened = openTokens(environment, authorityHost, pool, limits);
      tokens.set(authorityHost, opened);
    }
    return opened;
  };
  const choose = (place: AzurePlace): Credential => {
    const secrets = accounts
      .filter((named) => belongs(named, place))
      .map(({ secret }) => secret)
      .filter((secret) => secret !== undefined);
    const secret = secrets[0] ?? loose;
    if (secret !== undefined) return fixed(secret, place.account);
    // A token opens every account of its owner: it is never sent where others can read it.
    return place.endpoint.startsWith("https:")
      ? bearer(tokensOf(authorityOf(environment, place)))
      : NOTHING;
  };
  return (place) => {
    let credential = credentials.get(place.endpoint);
    if (credential === undefined) {
      credential = choose(place);
      credentials.set(place.endpoint, credential);
    }
    return credential;
  };
}

/** An account told by its name alone may be in any of Microsoft's clouds, but nowhere else. */
function belongs(named: NamedAccount, { account, endpoint }: AzurePlace): boolean {
  if (named.account !== account) return false;
  if (named.endpoint === undefined) return /^https:\/\/[a-z0-9-]+\.(z\d\d\.)?blob\./.test(endpoint);
  return named.endpoint === endpoint.replace("-secondary.", ".") || named.endpoint === endpoint;
}

/** Where the tokens of a cloud come from. */
function authorityOf(environment: Environment, { endpoint }: AzurePlace): string {
  const set = nonEmpty(environment["AZURE_AUTHORITY_HOST"]);
  if (set !== undefined) return set.includes("://") ? set : `https://${set}`;
  if (endpoint.endsWith(".chinacloudapi.cn")) return "https://login.chinacloudapi.cn";
  if (endpoint.endsWith(".usgovcloudapi.net")) return "https://login.microsoftonline.us";
  return "https://login.microsoftonline.com";
}

const NONE: Authorisation = { header: undefined, sas: "", source: ANONYMOUS, token: undefined };

const NOTHING: Credential = {
  authorise: () => Promise.resolve(NONE),
  renew: () => false,
};

function fixed(secret: AccountKey | AccountSas, account: string): Credential {
  if (secret.kind === "sas") return signature(secret);
  const signer = new StorageSharedKeyCredential(account, secret.key);
  const source = `the account key in ${secret.source}`;
  return {
    authorise: (request) =>
      Promise.resolve({ ...NONE, source, header: sharedKey(request, signer) }),
    renew: () => false,
  };
}

function signature({ query, source }: AccountSas): Credential {
  const endsMs = Date.parse(new URLSearchParams(query).get("se") ?? "");
  return {
    authorise() {
      // Said here, since the answer to a HEAD does not say why.
      const ended = endsMs < Date.now() ? ", which has expired," : "";
      return Promise.resolve({ ...NONE, source: `the SAS token in ${source}${ended}`, sas: query });
    },
    renew: () => false,
  };
}

function bearer(tokens: Tokens): Credential {
  return {
    async authorise(_request, signal) {
      const token = await tokens.get(signal);
      return token === null
        ? NONE
        : { header: `Bearer ${token.value}`, sas: "", source: token.source, token };
    },
    renew({ token }, { status, tenantId }) {
      if (token === undefined) return false;
      // A new token after 403 is worth one try, since rights may have come with it; more would only
      // burden those who give them, once per file.
      if (status !== 401 && (status !== 403 || token.renewed)) return false;
      tokens.renew(token, tenantId);
      return true;
    },
  };
}
