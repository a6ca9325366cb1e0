// The SDK's client for one region, told everything that it would else look up in the environment of
// this process.

import type { Agent as HttpAgent } from "node:http";
import type { Agent as HttpsAgent } from "node:https";
import { S3Client } from "@aws-sdk/client-s3";
import type { Pool } from "../pool.js";
import type { TransferLimits } from "../transfer.js";
import type { Credentials } from "./credentials.js";
import type { S3Settings } from "./settings.js";

export function makeClient(
  settings: S3Settings,
  region: string,
  credentials: Credentials,
  pool: Pool,
  limits: TransferLimits,
): S3Client {
  const { hostname, port } = new URL(settings.endpoint ?? `https://s3.${region}.amazonaws.com`);
  const agentFor = (protocol: string): HttpAgent =>
    pool.agentFor({ protocol, hostname, port: port === "" ? undefined : Number(port) });
  return new S3Client({
    region,
    credentials: () => credentials.get(),
    forcePathStyle: settings.pathStyle,
    useFipsEndpoint: settings.useFips,
    useDualstackEndpoint: settings.useDualstack,
    ignoreConfiguredEndpointUrls: true,
    disableS3ExpressSessionAuth: true,
    useArnRegion: false,
    defaultsMode: "standard",
    retryMode: "standard",
    authSchemePreference: [],
    sigv4aSigningRegionSet: [],
    userAgentAppId: "refmount",
    // Retries are retry.ts's alone.
    maxAttempts: 1,
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    requestHandler: {
      httpAgent: agentFor("http:"),
      httpsAgent: agentFor("https:") as unknown as HttpsAgent,
      connectionTimeout: limits.connectTimeoutMs,
      socketTimeout: limits.stallTimeoutMs,
      requestTimeout: limits.stallTimeoutMs,
      throwOnRequestTimeout: true,
    },
    ...(settings.endpoint === undefined ? {} : { endpoint: settings.endpoint }),
  });
}
