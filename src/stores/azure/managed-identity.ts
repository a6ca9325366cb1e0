// Tokens of the identity that the machine itself has: App Service, Functions and Container Apps, Azure
// Machine Learning, else the metadata service of a virtual machine. The SDK's credential finds these by
// the variables of this process, which are not the mount's, so the three requests are made here.

import { Fault } from "../../model/fault.js";
import { readText } from "../object-answer.js";
import { openPool } from "../pool.js";
import type { Environment } from "../store.js";
import { nonEmpty } from "../store.js";
import type { TransferLimits } from "../transfer.js";
import { send } from "../transfer.js";
import type { Token, TokenSource } from "./token.js";
import { Absent, STORAGE_RESOURCE } from "./token.js";

const NAME = "the managed identity";
/** The metadata service is one hop away or not there at all. */
const METADATA_CONNECT_MS = 1_000;

interface Endpoint {
  readonly address: string;
  readonly query: Readonly<Record<string, string>>;
  readonly headers: Readonly<Record<string, string>>;
  /** The name of the parameter that chooses a user-assigned identity. */
  readonly clientParameter: string;
  /** False: nothing says that it is there, and no connection means that it is not. */
  readonly configured: boolean;
}

export function managedIdentity(environment: Environment, limits: TransferLimits): TokenSource {
  const endpoint = endpointOf(environment);
  const clientId = nonEmpty(environment["AZURE_CLIENT_ID"]);
  // Never through a proxy: these addresses are the machine's own.
  const pool = openPool({});
  const timed = endpoint.configured
    ? limits
    : { ...limits, connectTimeoutMs: Math.min(METADATA_CONNECT_MS, limits.connectTimeoutMs) };
  return {
    name: NAME,
    async get(_tenantId, signal) {
      const url = new URL(endpoint.address);
      const query = new URLSearchParams({
        ...endpoint.query,
        resource: STORAGE_RESOURCE,
        ...(clientId === undefined ? {} : { [endpoint.clientParameter]: clientId }),
      });
      try {
        const transfer = await send(
          {
            method: "GET",
            protocol: url.protocol,
            hostname: url.hostname,
            port: url.port === "" ? undefined : Number(url.port),
            path: `${url.pathname}?${query.toString()}`,
            headers: endpoint.headers,
            subject: `a token of ${NAME}`,
          },
          pool,
          timed,
          signal,
        ).catch((error: unknown) => {
          if (error instanceof Fault && !endpoint.configured) throw new Absent(error.message);
          throw error;
        });
        const text = await readText(transfer);
        if (transfer.status === 200) return readToken(text);
        throw refusal(transfer.status, endpoint.configured);
      } finally {
        pool.close();
      }
    },
  };
}

function endpointOf(environment: Environment): Endpoint {
  const identity = nonEmpty(environment["IDENTITY_ENDPOINT"]);
  const header = nonEmpty(environment["IDENTITY_HEADER"]);
  if (identity !== undefined && header !== undefined) {
    return {
      address: addressOf("IDENTITY_ENDPOINT", identity),
      query: { "api-version": "2019-08-01" },
      headers: { "x-identity-header": header },
      clientParameter: "client_id",
      configured: true,
    };
  }
  const msi = nonEmpty(environment["MSI_ENDPOINT"]);
  const secret = nonEmpty(environment["MSI_SECRET"]);
  if (msi !== undefined && secret !== undefined) {
    return {
      address: addressOf("MSI_ENDPOINT", msi),
      query: { "api-version": "2017-09-01" },
      headers: { secret },
      clientParameter: "clientid",
      configured: true,
    };
  }
  const host = nonEmpty(environment["AZURE_POD_IDENTITY_AUTHORITY_HOST"]);
  const base =
    host === undefined
      ? "http://169.254.169.254"
      : addressOf("AZURE_POD_IDENTITY_AUTHORITY_HOST", host);
  return {
    address: `${base.replace(/\/+$/, "")}/metadata/identity/oauth2/token`,
    query: { "api-version": "2018-02-01" },
    headers: { metadata: "true" },
    clientParameter: "client_id",
    configured: host !== undefined,
  };
}

function addressOf(variable: string, text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url !== undefined && /^https?:$/.test(url.protocol)) return text;
  throw new Fault("usage", `${variable} must be an http:// or https:// address`);
}

function readToken(text: string): Token {
  try {
    const {
      access_token: value,
      expires_on: on,
      expires_in: within,
    } = JSON.parse(text) as Readonly<Record<string, unknown>>;
    const expiresAtMs = on === undefined ? Date.now() + Number(within) * 1_000 : timeOf(on);
    if (typeof value === "string" && value !== "" && !Number.isNaN(expiresAtMs)) {
      return { value, expiresAtMs };
    }
  } catch {
    // No JSON: told below.
  }
  throw new Fault("unavailable", `The answer of ${NAME} holds no token`);
}

/** Seconds since 1970, or, in the version of 2017, a date. */
function timeOf(value: unknown): number {
  const seconds = Number(value);
  return Number.isNaN(seconds) ? Date.parse(String(value)) : seconds * 1_000;
}

function refusal(status: number, configured: boolean): Error {
  if ([404, 408, 410, 429].includes(status) || status >= 500) {
    return new Fault("unavailable", `${capital(NAME)} gives no token now (HTTP ${status})`);
  }
  // The metadata service of a machine that has no identity.
  if (!configured) return new Absent(`${NAME} is not assigned (HTTP ${status})`);
  return new Fault(
    "denied",
    `${capital(NAME)} gives no token (HTTP ${status}): assign one to this machine, or name it in AZURE_CLIENT_ID`,
  );
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
