// The storage account that the environment names: its endpoint, and the secrets that belong to it and
// to no other. Pure text, read from the passed environment: no SDK is loaded, nothing is looked up.

import { Fault } from "../../model/fault.js";
import type { Environment } from "../store.js";
import { nonEmpty } from "../store.js";

export interface AccountKey {
  readonly kind: "key";
  /** Base64. */
  readonly key: string;
  /** What holds it, for messages. */
  readonly source: string;
}

export interface AccountSas {
  readonly kind: "sas";
  /** The query of a shared access signature, without "?". */
  readonly query: string;
  readonly source: string;
}

export interface NamedAccount {
  readonly account: string;
  /** http(s) address without "/" at its end; undefined when only the account's name is told. */
  readonly endpoint: string | undefined;
  readonly secret: AccountKey | AccountSas | undefined;
}

const CONNECTION_STRING = "AZURE_STORAGE_CONNECTION_STRING";
/** The Azure CLI's name of each variable first, then that of adlfs and object_store. */
const ACCOUNT = ["AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_ACCOUNT_NAME"];
const KEY = ["AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCOUNT_KEY"];
const SAS = ["AZURE_STORAGE_SAS_TOKEN"];
const ENDPOINT = ["AZURE_STORAGE_BLOB_ENDPOINT", "AZURE_STORAGE_SERVICE_ENDPOINT"];

/** The account and the key of every emulator, which Microsoft publishes: they protect nothing. */
const EMULATOR = {
  account: "devstoreaccount1",
  endpoint: "http://127.0.0.1:10000/devstoreaccount1",
  key: "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
};

/**
 * The accounts that `environment` names, the one of the connection string first.
 * @throws Fault `usage` for a connection string or an endpoint that is none; neither is repeated.
 */
export function namedAccounts(environment: Environment): readonly NamedAccount[] {
  return [fromConnectionString(environment), fromVariables(environment)].filter(
    (account) => account !== undefined,
  );
}

/** A SAS token that is told without its account: it goes to whichever Azure account is asked. */
export function looseSas(environment: Environment): AccountSas | undefined {
  return fromVariables(environment) === undefined ? sasOf(environment) : undefined;
}

function fromConnectionString(environment: Environment): NamedAccount | undefined {
  const text = nonEmpty(environment[CONNECTION_STRING]);
  if (text === undefined) return undefined;
  const parts = partsOf(text);
  if (parts.get("usedevelopmentstorage")?.toLowerCase() === "true") {
    const { account, endpoint, key } = EMULATOR;
    return { account, endpoint, secret: { kind: "key", key, source: CONNECTION_STRING } };
  }
  const name = parts.get("accountname");
  const endpoint = connectionEndpoint(parts, name);
  const account =
    name ?? (endpoint === undefined ? undefined : accountOfEndpoint(new URL(endpoint)));
  if (account === undefined || endpoint === undefined) {
    throw new Fault("usage", `${CONNECTION_STRING} names no account: AccountName= is missing`);
  }
  const key = nonEmpty(parts.get("accountkey"));
  const sas = nonEmpty(parts.get("sharedaccesssignature"));
  return {
    account,
    endpoint,
    secret:
      key !== undefined
        ? { kind: "key", key, source: CONNECTION_STRING }
        : sas === undefined
          ? undefined
          : { kind: "sas", query: withoutMark(sas), source: CONNECTION_STRING },
  };
}

function fromVariables(environment: Environment): NamedAccount | undefined {
  const endpoint = first(environment, ENDPOINT);
  const address = endpoint && addressOf(endpoint.value, endpoint.name);
  const name =
    first(environment, ACCOUNT)?.value ??
    (address === undefined ? undefined : accountOfEndpoint(new URL(address)));
  if (name === undefined) return undefined;
  const key = first(environment, KEY);
  return {
    account: name,
    endpoint: address,
    secret:
      key === undefined ? sasOf(environment) : { kind: "key", key: key.value, source: key.name },
  };
}

function sasOf(environment: Environment): AccountSas | undefined {
  const sas = first(environment, SAS);
  return sas && { kind: "sas", query: withoutMark(sas.value), source: sas.name };
}

/** `Name=value` pairs; a value may hold "=". */
function partsOf(text: string): ReadonlyMap<string, string> {
  return new Map(
    text
      .split(";")
      .map((part) => part.trim())
      .filter((part) => part !== "")
      .map((part) => {
        const equals = part.indexOf("=");
        if (equals <= 0) {
          throw new Fault("usage", `${CONNECTION_STRING} is no list of Name=value parts`);
        }
        return [part.slice(0, equals).toLowerCase(), part.slice(equals + 1)] as const;
      }),
  );
}

function connectionEndpoint(
  parts: ReadonlyMap<string, string>,
  account: string | undefined,
): string | undefined {
  const endpoint = nonEmpty(parts.get("blobendpoint"));
  if (endpoint !== undefined) return addressOf(endpoint, CONNECTION_STRING);
  if (account === undefined) return undefined;
  const protocol = parts.get("defaultendpointsprotocol") ?? "https";
  const suffix = parts.get("endpointsuffix") ?? "core.windows.net";
  return addressOf(`${protocol}://${account}.blob.${suffix}`, CONNECTION_STRING);
}

function addressOf(text: string, variable: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (
    url === undefined ||
    !/^https?:$/.test(url.protocol) ||
    url.username !== "" ||
    url.search !== ""
  ) {
    throw new Fault(
      "usage",
      `${variable} must name the blob endpoint as an http:// or https:// address without query`,
    );
  }
  return (url.origin + url.pathname).replace(/\/+$/, "");
}

/** The account is the first label of the host, or, where the host is bare, the first of the path. */
function accountOfEndpoint(url: URL): string | undefined {
  const [inPath = ""] = url.pathname.slice(1).split("/");
  if (inPath !== "") return inPath;
  return nonEmpty(/^([a-z0-9]{3,24})\./.exec(url.hostname)?.[1]);
}

function first(
  environment: Environment,
  names: readonly string[],
): { readonly name: string; readonly value: string } | undefined {
  for (const name of names) {
    const value = nonEmpty(environment[name]);
    if (value !== undefined) return { name, value };
  }
  return undefined;
}

function withoutMark(sas: string): string {
  return sas.trim().replace(/^\?/, "");
}
