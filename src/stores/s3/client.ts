// The SDK's client for one region, told everything that it would else look up in the environment of
// this process.

import { S3Client } from "@aws-sdk/client-s3";
import type { Pool, TransferLimits } from "../transfer.js";
import type { Credentials } from "./credentials.js";
import type { S3Settings } from "./settings.js";

export function makeClient(
  settings: S3Settings,
  region: string,
  credentials: Credentials,
  pool: Pool,
  limits: TransferLimits,
): S3Client {
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
      httpAgent: pool.http,
      httpsAgent: pool.https,
      connectionTimeout: limits.connectTimeoutMs,
      socketTimeout: limits.stallTimeoutMs,
      requestTimeout: limits.stallTimeoutMs,
      throwOnRequestTimeout: true,
    },
    ...(settings.endpoint === undefined ? {} : { endpoint: settings.endpoint }),
  });
}
