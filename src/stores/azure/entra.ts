// Tokens of an application registered in Microsoft Entra: by its secret, its certificate, or the token
// of a Kubernetes service account. The SDK's credentials, told everything that they would else look up
// in the environment of this process.

import type { TokenCredential } from "@azure/core-auth";
import type { HttpClient } from "@azure/core-rest-pipeline";
import { Fault } from "../../model/fault.js";
import { networkFault } from "../network-fault.js";
import type { Pool } from "../pool.js";
import type { Environment } from "../store.js";
import { nonEmpty } from "../store.js";
import type { TokenSource } from "./token.js";
import { STORAGE_RESOURCE } from "./token.js";

/** Where an authority can be vouched for by Microsoft's own list of them. */
const LISTED = /^https:\/\/login\.(?:microsoftonline\.(?:com|us)|chinacloudapi\.cn)\/?$/;

/** The application that `environment` describes; undefined when it describes none. */
export function entraApplication(
  environment: Environment,
  authorityHost: string,
  pool: Pool,
): TokenSource | undefined {
  const tenantId = nonEmpty(environment["AZURE_TENANT_ID"]);
  const clientId = nonEmpty(environment["AZURE_CLIENT_ID"]);
  const secret = nonEmpty(environment["AZURE_CLIENT_SECRET"]);
  const certificatePath = nonEmpty(environment["AZURE_CLIENT_CERTIFICATE_PATH"]);
  const certificatePassword = nonEmpty(environment["AZURE_CLIENT_CERTIFICATE_PASSWORD"]);
  if (tenantId === undefined || clientId === undefined) return undefined;
  if (secret !== undefined) {
    return source(
      "the service principal of AZURE_CLIENT_SECRET",
      authorityHost,
      pool,
      async (options) => {
        const { ClientSecretCredential } = await import("@azure/identity");
        return new ClientSecretCredential(tenantId, clientId, secret, options);
      },
      environment,
    );
  }
  if (certificatePath !== undefined) {
    return source(
      "the service principal of AZURE_CLIENT_CERTIFICATE_PATH",
      authorityHost,
      pool,
      async (options) => {
        const { ClientCertificateCredential } = await import("@azure/identity");
        const certificate = {
          certificatePath,
          ...(certificatePassword === undefined ? {} : { certificatePassword }),
        };
        return new ClientCertificateCredential(tenantId, clientId, certificate, options);
      },
      environment,
    );
  }
  return undefined;
}

/** The workload identity of a pod; undefined when `environment` describes none. */
export function workloadIdentity(
  environment: Environment,
  authorityHost: string,
  pool: Pool,
): TokenSource | undefined {
  const tenantId = nonEmpty(environment["AZURE_TENANT_ID"]);
  const clientId = nonEmpty(environment["AZURE_CLIENT_ID"]);
  const tokenFilePath = nonEmpty(environment["AZURE_FEDERATED_TOKEN_FILE"]);
  if (tenantId === undefined || clientId === undefined || tokenFilePath === undefined) {
    return undefined;
  }
  return source(
    "the workload identity",
    authorityHost,
    pool,
    async (options) => {
      const { WorkloadIdentityCredential } = await import("@azure/identity");
      return new WorkloadIdentityCredential({ ...options, tenantId, clientId, tokenFilePath });
    },
    environment,
  );
}

interface CredentialOptions {
  readonly authorityHost: string;
  readonly httpClient: HttpClient;
  readonly disableInstanceDiscovery: boolean;
  readonly additionallyAllowedTenants: string[];
  readonly retryOptions: { readonly maxRetries: number };
}

/** How the last request to the authority ended; the SDK's errors do not tell. */
interface LastExchange {
  status?: number;
  error?: unknown;
}

function source(
  name: string,
  authorityHost: string,
  pool: Pool,
  make: (options: CredentialOptions) => Promise<TokenCredential>,
  environment: Environment,
): TokenSource {
  return {
    name,
    async get(tenantId, signal) {
      const last: LastExchange = {};
      try {
        // Made anew for each token, since it would give the last one again as long as it is valid.
        const credential = await make({
          authorityHost,
          httpClient: await throughPool(pool, last),
          disableInstanceDiscovery: !LISTED.test(authorityHost),
          additionallyAllowedTenants: (environment["AZURE_ADDITIONALLY_ALLOWED_TENANTS"] ?? "")
            .split(";")
            .filter((tenant) => tenant !== ""),
          // Retries are retry.ts's alone.
          retryOptions: { maxRetries: 0 },
        });
        const token = await credential.getToken(`${STORAGE_RESOURCE}.default`, {
          abortSignal: signal,
          ...(tenantId === undefined ? {} : { tenantId }),
        });
        if (token !== null) return { value: token.token, expiresAtMs: token.expiresOnTimestamp };
      } catch (error) {
        signal.throwIfAborted();
        throw tokenFault(error, last, name, authorityHost);
      }
      throw new Fault("denied", `Microsoft Entra gave no token for ${name}`);
    },
  };
}

/** The SDK's own client, over connections that know the mount's proxies and authorities. */
async function throughPool(pool: Pool, last: LastExchange): Promise<HttpClient> {
  const { createDefaultHttpClient } = await import("@azure/core-rest-pipeline");
  const client = createDefaultHttpClient();
  return {
    async sendRequest(request) {
      const { protocol, hostname, port } = new URL(request.url);
      request.agent = pool.agentFor({
        protocol,
        hostname,
        port: port === "" ? undefined : Number(port),
      });
      try {
        const response = await client.sendRequest(request);
        last.status = response.status;
        return response;
      } catch (error) {
        last.error = error;
        throw error;
      }
    },
  };
}

function tokenFault(
  error: unknown,
  last: LastExchange,
  name: string,
  authorityHost: string,
): unknown {
  const subject = `a token for ${name}`;
  const fault = networkFault(last.error, subject, authorityHost);
  if (fault instanceof Fault) return fault;
  const { status = 0 } = last;
  if (last.error !== undefined || status === 429 || status >= 500) {
    const why = last.error === undefined ? `HTTP ${status}` : "no answer";
    return new Fault("unavailable", `Cannot get ${subject} from ${authorityHost}: ${why}`);
  }
  // Only the code: the text may repeat what was sent.
  const code = /AADSTS\d+/.exec(error instanceof Error ? error.message : "")?.[0];
  return new Fault(
    "denied",
    `Microsoft Entra gave no token for ${name}${code === undefined ? "" : ` (${code})`}: check ` +
      "AZURE_TENANT_ID, AZURE_CLIENT_ID and its secret, certificate or token file",
  );
}
