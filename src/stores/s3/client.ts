// The SDK's clients, told everything that they would else look up in the environment of this process.

import type { Agent as HttpAgent } from "node:http";
import type { Agent as HttpsAgent } from "node:https";
import { S3Client } from "@aws-sdk/client-s3";
import type { Pool } from "../pool.js";
import type { TransferLimits } from "../transfer.js";
import type { Credentials } from "./credentials.js";
import { CONNECT_TIMEOUT_MS } from "../store.js";
import type { AwsService, S3Settings } from "./settings.js";

const SERVICE_TIMEOUT_MS = 10_000;

/** What every client is told, so that it asks neither the environment nor a file. */
const TOLD = {
  ignoreConfiguredEndpointUrls: true,
  defaultsMode: "standard",
  retryMode: "standard",
  authSchemePreference: [] as string[],
  sigv4aSigningRegionSet: [] as string[],
  userAgentAppId: "refmount",
} as const;

/** The SDK's client for S3. An unsigned one is for requests that nobody makes. */
export function makeClient(
  settings: S3Settings,
  region: string,
  { credentials, unsigned }: { readonly credentials: Credentials; readonly unsigned: boolean },
  pool: Pool,
  limits: TransferLimits,
): S3Client {
  const address = settings.endpoint ?? `https://s3.${region}.amazonaws.com`;
  return new S3Client({
    ...TOLD,
    region,
    credentials: async () => (await credentials.get()).identity ?? NOBODY,
    ...(unsigned ? { signer: { sign: (request) => Promise.resolve(request) } } : {}),
    forcePathStyle: settings.pathStyle,
    useFipsEndpoint: settings.useFips,
    useDualstackEndpoint: settings.useDualstack,
    disableS3ExpressSessionAuth: true,
    useArnRegion: false,
    // Retries are retry.ts's alone.
    maxAttempts: 1,
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    requestHandler: handlerFor(address, pool, limits),
    ...(settings.endpoint === undefined ? {} : { endpoint: settings.endpoint }),
  });
}

const NOBODY = { accessKeyId: "", secretAccessKey: "" };

/** The configuration, but for the region, of a client of a service that hands out credentials. */
export function serviceConfig(settings: S3Settings, pool: Pool, service: AwsService) {
  const { region, useFips, useDualstack, serviceEndpoints } = settings;
  const endpoint = serviceEndpoints[service];
  const address = endpoint ?? `https://${service.toLowerCase()}.${region}.amazonaws.com`;
  return {
    ...TOLD,
    useFipsEndpoint: useFips,
    useDualstackEndpoint: useDualstack,
    maxAttempts: 2,
    requestHandler: handlerFor(address, pool, {
      connectTimeoutMs: CONNECT_TIMEOUT_MS,
      stallTimeoutMs: SERVICE_TIMEOUT_MS,
    }),
    ...(endpoint === undefined ? {} : { endpoint }),
  };
}

function handlerFor(address: string, pool: Pool, limits: TransferLimits) {
  const { hostname, port } = new URL(address);
  const agentFor = (protocol: string): HttpAgent =>
    pool.agentFor({ protocol, hostname, port: port === "" ? undefined : Number(port) });
  return {
    httpAgent: agentFor("http:"),
    httpsAgent: agentFor("https:") as unknown as HttpsAgent,
    connectionTimeout: limits.connectTimeoutMs,
    socketTimeout: limits.stallTimeoutMs,
    requestTimeout: limits.stallTimeoutMs,
    throwOnRequestTimeout: true,
  };
}
