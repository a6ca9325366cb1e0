// What the environment says about S3: endpoint, region, addressing. Reads the passed
// environment only, never the process's own.

import { homedir } from "node:os";
import { join } from "node:path";
import { loadSharedConfigFiles } from "@smithy/core/config";
import { Fault } from "../../model/fault.js";
import type { Environment } from "../store.js";
import { nonEmpty } from "../store.js";
import { isBareHost } from "../uri.js";

export interface S3Settings {
  /** An S3-compatible server's address; undefined for AWS itself. */
  readonly endpoint: string | undefined;
  readonly region: string;
  /** False: buckets are named in the host. */
  readonly pathStyle: boolean;
  readonly useFips: boolean;
  readonly useDualstack: boolean;
  readonly profile: ProfileFiles;
}

export interface ProfileFiles {
  /** The profile's name; "default" unless AWS_PROFILE names one. */
  readonly profile: string;
  readonly filepath: string;
  readonly configFilepath: string;
}

const DEFAULT_REGION = "us-east-1";

export async function readSettings(environment: Environment): Promise<S3Settings> {
  const profile = profileFiles(environment);
  const endpoint = endpointOf(environment);
  return {
    endpoint,
    region:
      nonEmpty(environment["AWS_REGION"]) ??
      nonEmpty(environment["AWS_DEFAULT_REGION"]) ??
      (await profileRegion(profile)) ??
      DEFAULT_REGION,
    pathStyle: endpoint !== undefined && needsPathStyle(endpoint),
    useFips: environment["AWS_USE_FIPS_ENDPOINT"] === "true",
    useDualstack: environment["AWS_USE_DUALSTACK_ENDPOINT"] === "true",
    profile,
  };
}

/** W&B's variable first, then those of the AWS SDKs. */
function endpointOf(environment: Environment): string | undefined {
  const [name, text] =
    ["AWS_S3_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]
      .map((variable) => [variable, nonEmpty(environment[variable])] as const)
      .find(([, value]) => value !== undefined) ?? [];
  if (name === undefined || text === undefined) return undefined;
  const withScheme = text.includes("://") ? text : `https://${text}`;
  const url = URL.canParse(withScheme) ? new URL(withScheme) : undefined;
  if (
    url === undefined ||
    !/^https?:$/.test(url.protocol) ||
    url.username !== "" ||
    url.search !== ""
  ) {
    throw new Fault(
      "usage",
      `${name} must be an http:// or https:// address without user name and query`,
    );
  }
  return url.href.replace(/\/+$/, "");
}

/**
 * S3-compatible servers are addressed by path, which every one understands, except where the
 * provider asks for the bucket in the host: AWS's own endpoints and CoreWeave's.
 */
export function needsPathStyle(endpoint: string): boolean {
  const { hostname } = new URL(endpoint);
  if (isBareHost(hostname)) return true;
  return !isAws(hostname) && !isCoreWeave(endpoint);
}

function isAws(hostname: string): boolean {
  return /\.amazonaws\.com(\.cn)?$/.test(hostname);
}

function isCoreWeave(endpoint: string): boolean {
  const { protocol, hostname, port } = new URL(endpoint);
  if (port !== "") return false;
  if (hostname === "cwobject.com") return protocol === "https:";
  if (hostname === "cwlota.com") return protocol === "http:";
  return protocol === "https:" && /^(accel-)?object\.[a-z0-9-]+\.coreweave\.com$/.test(hostname);
}

function profileFiles(environment: Environment): ProfileFiles {
  const aws = join(nonEmpty(environment["HOME"]) ?? homedir(), ".aws");
  return {
    profile: nonEmpty(environment["AWS_PROFILE"]) ?? "default",
    filepath: nonEmpty(environment["AWS_SHARED_CREDENTIALS_FILE"]) ?? join(aws, "credentials"),
    configFilepath: nonEmpty(environment["AWS_CONFIG_FILE"]) ?? join(aws, "config"),
  };
}

async function profileRegion(files: ProfileFiles): Promise<string | undefined> {
  const { configFile, credentialsFile } = await loadSharedConfigFiles(files);
  return (
    nonEmpty(configFile[files.profile]?.["region"]) ??
    nonEmpty(credentialsFile[files.profile]?.["region"])
  );
}
