// Which uris name Azure blobs, and their parts. Pure text: nothing is looked up, no SDK is loaded.
//
//   https://ACCOUNT.blob.core.windows.net/CONTAINER/BLOB   also dfs., other clouds, DNS zones
//   ENDPOINT/CONTAINER/BLOB                                the endpoint that the environment names
//   az://CONTAINER/BLOB                                    the account that the environment names
//   az://CONTAINER@ACCOUNT.blob.core.windows.net/BLOB      Hadoop's form, also with dfs.
//   az://ACCOUNT.blob.core.windows.net/CONTAINER/BLOB      DuckDB's form
//
// abfs, abfss, wasb and wasbs are read as az is. `az://NAME/...` names a container, never an account:
// that is how adlfs (fsspec) and object_store read it; a name with a dot can only be a host.
// `?versionId=` or `?snapshot=` may follow a blob; a shared access signature is refused.
//
// What is listed has one spelling, `ENDPOINT/CONTAINER/BLOB`, with the name written plainly, as W&B
// writes it. Only what would be ambiguous is percent-encoded: "?", "#", control characters, and a "%"
// that two hex digits follow. Reading undoes every escape, so that an address copied from a browser
// (`my%20file`) names the blob it shows; W&B would look for a blob with a "%" in its name. A blob that
// really has one is written `my%2520file`.

import { Fault } from "../../model/fault.js";
import type { Environment } from "../store.js";
import type { NamedAccount } from "./account.js";
import { namedAccounts } from "./account.js";

/** A container and where it is. */
export interface AzurePlace {
  readonly account: string;
  /** http(s) address of the account's blobs, without "/" at its end. */
  readonly endpoint: string;
  readonly container: string;
}

export interface AzureName extends AzurePlace {
  /** Raw; "" names the whole container. */
  readonly blob: string;
  readonly versionId: string | undefined;
  readonly snapshot: string | undefined;
}

const HOST =
  /^([a-z0-9]{3,24})(-secondary)?\.(z\d\d\.)?(?:blob|dfs)\.(core\.windows\.net|core\.chinacloudapi\.cn|core\.usgovcloudapi\.net|core\.cloudapi\.de|storage\.azure\.net)$/;
const CONTAINER = /^(?:\$root|\$web|\$logs|[a-z0-9](?:-?[a-z0-9]){2,62})$/;
const ESCAPES = /(?:%[0-9A-Fa-f]{2})+/g;
const READS_AS_ESCAPE = /%(?=[0-9A-Fa-f]{2})/g;
// eslint-disable-next-line no-control-regex -- control characters are what it looks for.
const AMBIGUOUS = /[?#\u0000-\u001f\u007f]/g;
/** Parameters that only a shared access signature has. */
const SAS_PARAMETER = /(?:^|&)(?:sig|sv|se|st|sp|sr|spr|ss|srt|skoid|sktid|ske|skt|sks|skv)=/i;

/** True when `uri` names a blob or a container of Azure Blob Storage. */
export function isAzureUri(uri: string, environment: Environment): boolean {
  if (/^(?:az|abfss?|wasbs?):\/\//i.test(uri)) return true;
  const [, scheme = "", authority = ""] = /^(https?):\/\/([^/?#]*)/i.exec(uri) ?? [];
  if (HOST.test(hostOf(authority))) return true;
  if (scheme === "") return false;
  try {
    return endpointIn(uri, namedAccounts(environment)) !== undefined;
  } catch (error) {
    // Variables that say nothing must not keep anybody from an address of plain HTTP.
    if (error instanceof Fault) return false;
    throw error;
  }
}

/**
 * Takes a uri apart for which `isAzureUri` is true.
 * @throws Fault `usage` for another query, no or an impossible container, a broken escape, and where
 * the environment names no account for a uri without one. No query is ever repeated.
 */
export function parseAzureUri(uri: string, environment: Environment): AzureName {
  const mark = uri.indexOf("?");
  const address = mark < 0 ? uri : uri.slice(0, mark);
  const shown = address.replace(/\/\/[^/]*:[^/]*@/, "//");
  const { endpoint, account, path } = locate(address, shown, environment);
  const [, container = "", rawBlob = ""] = /^\/*([^/]*)\/?(.*)$/s.exec(path) ?? [];
  if (container === "") {
    throw new Fault("usage", `"${shown}" names no container: write ENDPOINT/CONTAINER/BLOB`);
  }
  if (!CONTAINER.test(container)) {
    throw new Fault("usage", `"${container}" cannot be the name of an Azure container (${shown})`);
  }
  const blob = unescapeName(rawBlob, shown);
  const { versionId, snapshot } = queryOf(mark < 0 ? "" : uri.slice(mark + 1), shown);
  return { endpoint, account, container, blob, versionId, snapshot };
}

/** The uri of exactly `blob`, without a query. */
export function formatAzureUri({ endpoint, container }: AzurePlace, blob: string): string {
  const name = blob
    .replace(READS_AS_ESCAPE, "%25")
    .replace(AMBIGUOUS, (character) => encodeURIComponent(character));
  return `${endpoint}/${container}/${name}`;
}

interface Located {
  readonly endpoint: string;
  readonly account: string;
  /** From the container on. */
  readonly path: string;
}

function locate(address: string, shown: string, environment: Environment): Located {
  const [, scheme = "", authority = "", path = ""] =
    /^([a-z]+):\/\/([^/]*)(.*)$/is.exec(address) ?? [];
  if (/^https?$/i.test(scheme)) {
    if (authority.includes("@")) {
      throw new Fault("usage", `"${shown}": an Azure uri takes no user name and no password`);
    }
    const named = endpointIn(address, namedAccounts(environment));
    if (named !== undefined) return named;
    const known = knownEndpoint(hostOf(authority));
    if (known !== undefined) return { ...known, path };
    throw new Fault("usage", `"${shown}" names no Azure account`);
  }
  const [before, host = before] = authority.split(/@(.*)/s, 2) as [string, string | undefined];
  if (!host.includes(".") && !authority.includes("@")) {
    // The authority is the container; its account is the environment's.
    return { ...ownEndpoint(environment, shown), path: `/${authority}${path}` };
  }
  const known = knownEndpoint(hostOf(host)) ?? endpointOfHost(host, namedAccounts(environment));
  if (known === undefined) {
    throw new Fault(
      "usage",
      `"${shown}" names no Azure account: write CONTAINER@ACCOUNT.blob.core.windows.net, or only ` +
        "CONTAINER for the account that AZURE_STORAGE_ACCOUNT names",
    );
  }
  return { ...known, path: authority.includes("@") ? `/${before}${path}` : path };
}

/** Over TLS, whatever the uri says: Microsoft's hosts have it, and a token must not go without. */
function knownEndpoint(host: string): Omit<Located, "path"> | undefined {
  const match = HOST.exec(host);
  if (match === null) return undefined;
  const [, account = "", secondary = "", zone = "", domain = ""] = match;
  return { account, endpoint: `https://${account}${secondary}.${zone}blob.${domain}` };
}

function ownEndpoint(environment: Environment, shown: string): Omit<Located, "path"> {
  const [own] = namedAccounts(environment);
  if (own === undefined) {
    throw new Fault(
      "usage",
      `"${shown}" names no account: set AZURE_STORAGE_ACCOUNT or AZURE_STORAGE_CONNECTION_STRING, ` +
        "or write https://ACCOUNT.blob.core.windows.net/CONTAINER/BLOB",
    );
  }
  const { account, endpoint = `https://${account}.blob.core.windows.net` } = own;
  return { account, endpoint };
}

/** The named account whose endpoint `address` begins with. */
function endpointIn(address: string, accounts: readonly NamedAccount[]): Located | undefined {
  const [, origin = "", path = ""] = /^(https?:\/\/[^/?#]*)([^?]*)/is.exec(address) ?? [];
  const plain = URL.canParse(origin) ? new URL(origin).origin + path : "";
  for (const { account, endpoint } of accounts) {
    if (endpoint !== undefined && (plain === endpoint || plain.startsWith(`${endpoint}/`))) {
      return { account, endpoint, path: plain.slice(endpoint.length) };
    }
  }
  return undefined;
}

function endpointOfHost(
  host: string,
  accounts: readonly NamedAccount[],
): Omit<Located, "path"> | undefined {
  const wanted = host.toLowerCase();
  for (const { account, endpoint } of accounts) {
    if (endpoint !== undefined && new URL(endpoint).host === wanted) return { account, endpoint };
  }
  return undefined;
}

function hostOf(authority: string): string {
  return authority.replace(/^.*@/s, "").replace(/:443$/, "").toLowerCase();
}

function unescapeName(text: string, shown: string): string {
  try {
    return text.replace(ESCAPES, (escapes) => decodeURIComponent(escapes));
  } catch (cause) {
    throw new Fault(
      "usage",
      `"${shown}" has a %-escape that is not UTF-8: write a "%" in a name as %25`,
      { cause },
    );
  }
}

function queryOf(query: string, shown: string): Pick<AzureName, "versionId" | "snapshot"> {
  if (query === "") return { versionId: undefined, snapshot: undefined };
  if (SAS_PARAMETER.test(query)) {
    throw new Fault(
      "usage",
      `"${shown}?...": a uri is stored and must hold no secret: take the shared access signature out ` +
        "of it and put it into AZURE_STORAGE_SAS_TOKEN",
    );
  }
  const [, name = "", raw = ""] = /^(versionid|snapshot)=([^&#]+)$/i.exec(query) ?? [];
  if (name === "") {
    throw new Fault(
      "usage",
      `"${shown}?...": only ?versionId=ID or ?snapshot=TIME may follow a blob; write a "?" in a name as %3F`,
    );
  }
  const value = unescapeName(raw, `${shown}?${name}=...`);
  return name.toLowerCase() === "snapshot"
    ? { versionId: undefined, snapshot: value }
    : { versionId: value, snapshot: undefined };
}
