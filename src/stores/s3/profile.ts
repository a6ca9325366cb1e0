// The credentials of a profile of the AWS files: keys, roles, web identities, processes, SSO. The SDK's
// own reading of profiles would take half of it from the environment of this process.

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { parseKnownFiles } from "@smithy/core/config";
import type { AwsCredentialIdentity } from "@smithy/types";
import { Fault } from "../../model/fault.js";
import type { Pool } from "../pool.js";
import type { Environment } from "../store.js";
import { nonEmpty } from "../store.js";
import { serviceConfig } from "./client.js";
import { identityOf, readKeys } from "./keys.js";
import type { ProfileFiles, S3Settings } from "./settings.js";

type Profile = Readonly<Record<string, string | undefined>>;

/** What `credential_source` may name, by its name there; null: nothing is there. */
export type CredentialSources = Readonly<
  Record<
    "Environment" | "EcsContainer" | "Ec2InstanceMetadata",
    () => Promise<AwsCredentialIdentity | null>
  >
>;

interface Reading {
  readonly environment: Environment;
  readonly settings: S3Settings;
  readonly pool: Pool;
  readonly sources: CredentialSources;
  readonly profiles: Readonly<Record<string, Profile | undefined>>;
}

/**
 * The credentials of the profile that the environment names; null when it is the default one and has
 * none.
 * @throws Fault `denied` when the profile is not there or contradicts itself; errors of the SDK.
 */
export async function profileCredentials(
  environment: Environment,
  settings: S3Settings,
  pool: Pool,
  sources: CredentialSources,
): Promise<AwsCredentialIdentity | null> {
  const { files } = settings;
  // Not from the SDK's memory of earlier readings: the files may have changed since.
  const profiles = await parseKnownFiles({ ...files, ignoreCache: true });
  const reading = { environment, settings, pool, sources, profiles };
  const named = nonEmpty(environment["AWS_PROFILE"]) !== undefined;
  if (profiles[files.profile] === undefined) {
    if (!named) return null;
    throw new Fault(
      "denied",
      `there is no profile "${files.profile}" in ${files.configFilepath} or ${files.filepath}`,
    );
  }
  const identity = await resolve(reading, files.profile, []);
  if (identity !== null || !named) return identity;
  throw new Fault("denied", `profile "${files.profile}" names no credentials`);
}

async function resolve(
  reading: Reading,
  name: string,
  visited: readonly string[],
): Promise<AwsCredentialIdentity | null> {
  const profile = reading.profiles[name];
  if (profile === undefined) throw new Fault("denied", `there is no profile "${name}"`);
  const keys = identityOf(
    profile["aws_access_key_id"],
    profile["aws_secret_access_key"],
    profile["aws_session_token"],
  );
  // A profile may be its own source: then its keys are meant.
  if (keys !== undefined && (visited.length > 0 || profile["role_arn"] === undefined)) return keys;
  if (visited.includes(name)) {
    throw new Fault("denied", `profiles take each other as source: ${visited.join(", ")}`);
  }
  if (profile["role_arn"] !== undefined) return assumeRole(reading, name, profile, visited);
  const command = nonEmpty(profile["credential_process"]);
  if (command !== undefined) return runProcess(reading.environment, command, name);
  if (Object.keys(profile).some((key) => key.startsWith("sso_"))) return signOn(reading, name);
  if (profile["login_session"] !== undefined) return logIn(reading.settings.files, name);
  return null;
}

async function assumeRole(
  reading: Reading,
  name: string,
  profile: Profile,
  visited: readonly string[],
): Promise<AwsCredentialIdentity> {
  const { settings, pool } = reading;
  const roleArn = profile["role_arn"] ?? "";
  const roleSessionName = nonEmpty(profile["role_session_name"]) ?? "refmount";
  const clientConfig = {
    ...serviceConfig(settings, pool, "STS"),
    region: profile["region"] ?? settings.region,
  };
  const webIdentityTokenFile = profile["web_identity_token_file"];
  if (webIdentityTokenFile !== undefined) {
    const { fromTokenFile } = await import("@aws-sdk/credential-provider-web-identity");
    return fromTokenFile({ webIdentityTokenFile, roleArn, roleSessionName, clientConfig })();
  }
  if (profile["mfa_serial"] !== undefined) {
    throw new Fault(
      "denied",
      `profile "${name}" asks for a second factor, which nobody can give here`,
    );
  }
  const source = await sourceOf(reading, name, profile, visited);
  const { getDefaultRoleAssumer } = await import("@aws-sdk/nested-clients/sts");
  return getDefaultRoleAssumer(clientConfig)(source, {
    RoleArn: roleArn,
    RoleSessionName: roleSessionName,
    ExternalId: profile["external_id"],
    DurationSeconds: Number(profile["duration_seconds"] ?? 3_600),
  });
}

async function sourceOf(
  reading: Reading,
  name: string,
  profile: Profile,
  visited: readonly string[],
): Promise<AwsCredentialIdentity> {
  const { source_profile: profileName, credential_source: sourceName } = profile;
  if (profileName !== undefined) {
    const identity = await resolve(reading, profileName, [...visited, name]);
    if (identity !== null) return identity;
    throw new Fault("denied", `profile "${profileName}" names no credentials`);
  }
  const load = Object.entries(reading.sources).find(([known]) => known === sourceName)?.[1];
  if (load === undefined) {
    throw new Fault(
      "denied",
      `profile "${name}" has a role_arn, but no source_profile and no credential_source that is known`,
    );
  }
  const identity = await load();
  if (identity !== null) return identity;
  throw new Fault("denied", `credential_source ${sourceName ?? ""} has no credentials`);
}

/** Runs a credential process in the environment of the shell that asked, which has no PATH with it. */
async function runProcess(
  environment: Environment,
  command: string,
  name: string,
): Promise<AwsCredentialIdentity> {
  const own = Object.entries(process.env).filter(([key]) => !key.startsWith("AWS_"));
  const env = { ...Object.fromEntries(own), ...environment };
  const run = promisify(execFile);
  const { stdout } = await run("/bin/sh", ["-c", command], { env }).catch((error: unknown) => {
    // Its output may hold keys.
    const { code } = error as { code?: unknown };
    const why = typeof code === "number" ? `ended with ${code}` : "could not be run";
    throw new Fault("denied", `the credential_process of profile "${name}" ${why}`);
  });
  return readKeys(stdout, `the credential_process of profile "${name}"`);
}

/** SSO's tokens are in the cache of the AWS tools, below the home of whoever runs this process. */
async function signOn(
  { settings, pool }: Reading,
  profile: string,
): Promise<AwsCredentialIdentity> {
  const { fromSSO } = await import("@aws-sdk/credential-provider-sso");
  // Without a region: it is the one that the profile names for SSO.
  const clientConfig = serviceConfig(settings, pool, "SSO");
  return fromSSO({ ...settings.files, profile, ignoreCache: true, clientConfig })();
}

async function logIn(files: ProfileFiles, profile: string): Promise<AwsCredentialIdentity> {
  const { fromIni } = await import("@aws-sdk/credential-provider-ini");
  return fromIni({ ...files, profile, ignoreCache: true })();
}
