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
  /** The caller pays for requests to buckets whose owner does not. */
  readonly requesterPays: boolean;
  readonly files: ProfileFiles;
  /** AWS_PROFILE names a profile whose role is taken on with the keys in the environment. */
  readonly profileTakesKeys: boolean;
  /** Addresses of the services that hand out credentials, where they are not AWS's own. */
  readonly serviceEndpoints: Readonly<Partial<Record<AwsService, string>>>;
}

/** A service besides S3, as environment variables name it. */
export type AwsService = "STS" | "SSO";

export interface ProfileFiles {
  /** The profile's name; "default" unless AWS_PROFILE names one. */
  readonly profile: string;
  readonly filepath: string;
  readonly configFilepath: string;
}

const DEFAULT_REGION = "us-east-1";

/** @throws Fault `usage` for an address, an addressing style or a payer that there is not. */
export async function readSettings(environment: Environment): Promise<S3Settings> {
  const files = profileFiles(environment);
  const profile = await readProfile(files);
  const endpoint = endpointOf(environment, profile);
  const [sts, sso] = (["STS", "SSO"] as const).map((service) =>
    configuredEndpoint(environment, profile, service),
  );
  return {
    endpoint,
    region:
      nonEmpty(environment["AWS_REGION"]) ??
      nonEmpty(environment["AWS_DEFAULT_REGION"]) ??
      profile.settings["region"] ??
      DEFAULT_REGION,
    pathStyle: pathStyleOf(endpoint, profile),
    useFips: environment["AWS_USE_FIPS_ENDPOINT"] === "true",
    useDualstack: environment["AWS_USE_DUALSTACK_ENDPOINT"] === "true",
    requesterPays: paysOf(environment),
    files,
    profileTakesKeys:
      nonEmpty(environment["AWS_PROFILE"]) !== undefined &&
      profile.settings["credential_source"] === "Environment",
    serviceEndpoints: {
      ...(sts === undefined ? {} : { STS: sts }),
      ...(sso === undefined ? {} : { SSO: sso }),
    },
  };
}

function paysOf(environment: Environment): boolean {
  const payer = nonEmpty(environment["AWS_REQUEST_PAYER"]);
  if (payer === undefined || payer === "requester") return payer !== undefined;
  throw new Fault("usage", `AWS_REQUEST_PAYER can only be "requester", not "${payer}"`);
}

/** W&B's variable first, which no other setting turns off, then what the AWS SDKs read. */
function endpointOf(environment: Environment, profile: Profile): string | undefined {
  const own = nonEmpty(environment["AWS_S3_ENDPOINT_URL"]);
  return own === undefined
    ? configuredEndpoint(environment, profile, "S3")
    : parseEndpoint("AWS_S3_ENDPOINT_URL", own);
}

/** The service's address before the general one, the environment's before the profile's. */
function configuredEndpoint(
  environment: Environment,
  { settings, services, name }: Profile,
  service: AwsService | "S3",
): string | undefined {
  const ignored =
    nonEmpty(environment["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"]) ??
    settings["ignore_configured_endpoint_urls"];
  if (ignored?.toLowerCase() === "true") return undefined;
  const places = [
    ...[`AWS_ENDPOINT_URL_${service}`, "AWS_ENDPOINT_URL"].map(
      (variable) => [variable, environment[variable]] as const,
    ),
    [`endpoint_url of profile "${name}"`, services[`${service.toLowerCase()}.endpoint_url`]],
    [`endpoint_url of profile "${name}"`, settings["endpoint_url"]],
  ] as const;
  for (const [place, value] of places) {
    const text = nonEmpty(value);
    if (text !== undefined) return parseEndpoint(place, text);
  }
  return undefined;
}

function parseEndpoint(place: string, text: string): string {
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
      `${place} must be an http:// or https:// address without user name and query`,
    );
  }
  return url.href.replace(/\/+$/, "");
}

function pathStyleOf(endpoint: string | undefined, { settings, name }: Profile): boolean {
  const style = settings["s3.addressing_style"];
  if (style === "path") return true;
  if (style !== undefined && style !== "virtual" && style !== "auto") {
    throw new Fault(
      "usage",
      `s3.addressing_style of profile "${name}" can be path, virtual or auto, not "${style}"`,
    );
  }
  if (endpoint === undefined) return false;
  if (style === "virtual") return isBareHost(new URL(endpoint).hostname);
  return needsPathStyle(endpoint);
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

/** A profile's settings; both files may have some. */
interface Profile {
  readonly name: string;
  readonly settings: Readonly<Record<string, string | undefined>>;
  /** What the `services` section that the profile names holds. */
  readonly services: Readonly<Record<string, string | undefined>>;
}

async function readProfile(files: ProfileFiles): Promise<Profile> {
  // Not from the SDK's memory of earlier readings: the files may have changed since.
  const { configFile, credentialsFile } = await loadSharedConfigFiles({
    ...files,
    ignoreCache: true,
  });
  const settings = { ...credentialsFile[files.profile], ...configFile[files.profile] };
  const services = settings["services"];
  return {
    name: files.profile,
    settings,
    services: services === undefined ? {} : (configFile[`services.${services}`] ?? {}),
  };
}
