// An access token from a credentials file of Google's: service accounts, gcloud's users, workload
// identities, impersonation. Google's library knows how; it is told everything that it would else look
// up in the environment of this process, and each token is asked for with the file as it is then.

import { readFile } from "node:fs/promises";
import type { AuthClient, AwsSecurityCredentialsSupplier, gaxios } from "google-auth-library";
import {
  AwsClient,
  BaseExternalAccountClient,
  GoogleAuth,
  IdentityPoolClient,
  Impersonated,
  JWT,
  UserRefreshClient,
} from "google-auth-library";
import { Fault } from "../../model/fault.js";
import type { Pool } from "../pool.js";
import { credentialChain } from "../s3/credential-chain.js";
import { readSettings as readAwsSettings } from "../s3/settings.js";
import type { Environment } from "../store.js";
import type { TransferLimits } from "../transfer.js";
import type { Identity } from "./credentials.js";
import { tokenFault } from "./token-fault.js";

export interface CredentialFile {
  readonly path: string;
  /** How it was found, for people. */
  readonly named: string;
}

/** Enough to list and read; nothing that is asked for can write. */
const READ_ONLY = "https://www.googleapis.com/auth/devstorage.read_only";
/** What a service account needs to ask for another's token. */
const IMPERSONATE = "https://www.googleapis.com/auth/cloud-platform";

type Json = Readonly<Record<string, unknown>>;
type TransporterOptions = gaxios.GaxiosOptions;

interface Context {
  readonly file: CredentialFile;
  readonly environment: Environment;
  readonly pool: Pool;
  readonly transporterOptions: TransporterOptions;
}

/** @throws Fault `denied` for a file or credentials that cannot be used, `unavailable`. */
export async function fromFile(
  file: CredentialFile,
  environment: Environment,
  pool: Pool,
  limits: TransferLimits,
): Promise<Identity> {
  const json = await readJson(file);
  const transporterOptions: TransporterOptions = {
    agent: ({ protocol, hostname, port }) =>
      pool.agentFor({ protocol, hostname, port: port === "" ? undefined : Number(port) }),
    timeout: limits.stallTimeoutMs,
    // Retries are retry.ts's alone.
    retryConfig: { retry: 0, noResponseRetries: 0 },
  };
  const description = `${principalOf(json)} (${file.named})`;
  const client = clientFor(json, READ_ONLY, { file, environment, pool, transporterOptions });
  try {
    const { token } = await client.getAccessToken();
    if (typeof token !== "string" || token === "") throw new Error("the answer holds no token");
    return {
      token,
      expiresAtMs: client.credentials.expiry_date ?? null,
      description,
      quotaProject: client.quotaProjectId,
    };
  } catch (error) {
    throw tokenFault(error, description);
  }
}

async function readJson(file: CredentialFile): Promise<Json> {
  try {
    const value: unknown = JSON.parse(await readFile(file.path, "utf8"));
    if (typeof value === "object" && value !== null) return value as Json;
    throw new Error("it holds no JSON object");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // The parser's message may quote a key.
    const why = code ?? "it is no JSON of a credentials file";
    throw new Fault(
      "denied",
      `Cannot read the credentials in ${file.path} (${file.named}): ${why}`,
    );
  }
}

/** Who the credentials are for, as far as the file says. */
function principalOf(json: Json): string {
  switch (json["type"]) {
    case "service_account":
      return `service account ${textIn(json, "client_email") ?? "without a name"}`;
    case "authorized_user":
      return "the user who logged in with gcloud";
    case "impersonated_service_account":
      return `service account ${targetIn(json) ?? "without a name"}, impersonated`;
    default:
      return "the workload identity";
  }
}

function clientFor(json: Json, scope: string, context: Context): AuthClient {
  const { file, transporterOptions } = context;
  try {
    switch (json["type"]) {
      case "service_account": {
        const client = new JWT({ scopes: [scope], transporterOptions });
        client.fromJSON(json);
        return client;
      }
      case "authorized_user": {
        const client = new UserRefreshClient({ transporterOptions });
        client.fromJSON(json);
        return client;
      }
      case "impersonated_service_account":
        return impersonated(json, scope, context);
      case "external_account":
        return external(json, scope, context);
      case "external_account_authorized_user":
        return new GoogleAuth({ scopes: [scope] }).fromJSON(json, { transporterOptions });
    }
  } catch (error) {
    if (error instanceof Fault) throw error;
    throw unusable(file, (error as Error).message);
  }
  throw unusable(file, `credentials of this type are not known: ${String(json["type"])}`);
}

function impersonated(json: Json, scope: string, context: Context): AuthClient {
  const source = json["source_credentials"];
  if (typeof source !== "object" || source === null) {
    throw new Error("it has no source_credentials");
  }
  const targetPrincipal = targetIn(json);
  if (targetPrincipal === undefined) {
    throw new Error("its service_account_impersonation_url names no account");
  }
  const delegates = json["delegates"];
  return new Impersonated({
    sourceClient: clientFor(source as Json, IMPERSONATE, context),
    targetPrincipal,
    targetScopes: [scope],
    delegates: Array.isArray(delegates) ? delegates.map(String) : [],
    transporterOptions: context.transporterOptions,
  });
}

function external(json: Json, scope: string, context: Context): AuthClient {
  const { environment, pool, file, transporterOptions } = context;
  const { credential_source: source, ...rest } = json;
  const from = typeof source === "object" && source !== null ? (source as Json) : {};
  if (from["executable"] !== undefined) {
    throw unusable(
      file,
      "credentials from an executable are not supported; use a file or a url as their source",
    );
  }
  const common = { ...rest, scopes: [scope], transporterOptions };
  const client =
    from["environment_id"] === undefined
      ? new IdentityPoolClient({ ...common, credential_source: from } as never)
      : // The library would look for AWS's variables in the environment of this process.
        new AwsClient({
          ...common,
          aws_security_credentials_supplier: awsSupplier(environment, pool),
        } as never);
  passTransport(client, transporterOptions);
  return client;
}

/** The library's exchange of tokens has a transport of its own, which its options do not reach. */
function passTransport(client: BaseExternalAccountClient, options: TransporterOptions): void {
  const { stsCredential } = client as unknown as {
    readonly stsCredential: { readonly transporter: { defaults: TransporterOptions } };
  };
  stsCredential.transporter.defaults = options;
}

/** AWS's own credentials, found as the S3 store finds them. */
function awsSupplier(environment: Environment, pool: Pool): AwsSecurityCredentialsSupplier {
  return {
    getAwsRegion: async () => (await readAwsSettings(environment)).region,
    getAwsSecurityCredentials: async () => {
      const settings = await readAwsSettings(environment);
      const { identity, source } = await credentialChain(environment, settings, pool).find();
      if (identity === null) throw new Fault("denied", source);
      const { accessKeyId, secretAccessKey, sessionToken } = identity;
      return {
        accessKeyId,
        secretAccessKey,
        ...(sessionToken === undefined ? {} : { token: sessionToken }),
      };
    },
  };
}

function targetIn(json: Json): string | undefined {
  const url = textIn(json, "service_account_impersonation_url")?.slice(0, 512) ?? "";
  return /([^/]+):generateAccessToken$/.exec(url)?.[1];
}

function textIn(json: Json, name: string): string | undefined {
  const value = json[name];
  return typeof value === "string" ? value : undefined;
}

function unusable({ path, named }: CredentialFile, why: string): Fault {
  return new Fault("denied", `Cannot use the credentials in ${path} (${named}): ${why}`);
}
