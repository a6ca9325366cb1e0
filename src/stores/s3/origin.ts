// Where the objects of a bucket are: the SDK's own rules say, with the bucket in host or path.

import type { S3Client } from "@aws-sdk/client-s3";
import type { S3Settings } from "./settings.js";

export interface Origin {
  readonly protocol: string;
  readonly hostname: string;
  readonly port: number | undefined;
  /** Ends without "/". */
  readonly basePath: string;
  readonly region: string;
}

export function resolveOrigin(
  client: S3Client,
  settings: S3Settings,
  bucket: string,
  region: string,
): Origin {
  const { url } = client.config.endpointProvider(
    {
      Bucket: bucket,
      Region: region,
      ForcePathStyle: settings.pathStyle,
      UseFIPS: settings.useFips,
      UseDualStack: settings.useDualstack,
      ...(settings.endpoint === undefined ? {} : { Endpoint: settings.endpoint }),
    },
    {},
  );
  return {
    protocol: url.protocol,
    hostname: url.hostname,
    port: url.port === "" ? undefined : Number(url.port),
    basePath: url.pathname.replace(/\/+$/, ""),
    region,
  };
}
