// Where AWS credentials may be, in the SDK's order, but from a passed environment: keys, a profile, a
// web identity, a container, the instance. The links that need an SDK are loaded when their turn comes.

import type { AwsCredentialIdentity } from "@smithy/types";
import { Fault } from "../../model/fault.js";
import { networkFault } from "../network-fault.js";
import type { Pool } from "../pool.js";
import type { Environment } from "../store.js";
import { nonEmpty } from "../store.js";
import { serviceConfig } from "./client.js";
import { instanceCredentials, mayBeInstance } from "./instance-metadata.js";
import { identityOf } from "./keys.js";
import { profileCredentials } from "./profile.js";
import type { S3Settings } from "./settings.js";

/** Whom a request is made as, and how that was found out. */
export interface Holder {
  /** Null: nobody; requests are not signed. */
  readonly identity: AwsCredentialIdentity | null;
  /** Where it comes from, as a phrase for people: `profile "x"`. Without an identity, why there is none. */
  readonly source: string;
}

/** One place to look. */
interface Link {
  readonly source: string;
  /** Null: there is nothing here. */
  readonly load: () => Promise<AwsCredentialIdentity | null>;
}

export interface Chain {
  /** True when the environment itself says who asks, so that asking again changes nothing. */
  readonly fixed: boolean;
  /**
   * @throws Fault `denied` when what should have credentials has none, `unavailable` when it cannot be
   * reached.
   */
  find(): Promise<Holder>;
}

export function credentialChain(environment: Environment, settings: S3Settings, pool: Pool): Chain {
  if (isYes(environment["AWS_NO_SIGN_REQUEST"])) {
    const holder = { identity: null, source: "AWS_NO_SIGN_REQUEST asks for unsigned requests" };
    return { fixed: true, find: () => Promise.resolve(holder) };
  }
  const keys = environmentKeys(environment);
  if (keys !== undefined && !settings.profileTakesKeys) {
    const holder = { identity: keys, source: "the environment" };
    return { fixed: true, find: () => Promise.resolve(holder) };
  }
  return { fixed: false, find: () => firstOf(linksOf(environment, settings, pool)) };
}

function linksOf(environment: Environment, settings: S3Settings, pool: Pool): readonly Link[] {
  const { files } = settings;
  const container = containerLink(environment);
  const instance: Link = {
    source: "the instance's role",
    load: () => instanceCredentials(environment),
  };
  const profile: Link = {
    source: `profile "${files.profile}"`,
    load: () =>
      profileCredentials(environment, settings, pool, {
        Environment: () => Promise.resolve(environmentKeys(environment) ?? null),
        EcsContainer: () => container?.load() ?? Promise.resolve(null),
        Ec2InstanceMetadata: () => instance.load(),
      }),
  };
  // A profile asked for by name is the answer or an error, never a reason to try something else.
  if (nonEmpty(environment["AWS_PROFILE"]) !== undefined) return [profile];
  const machine = container ?? (mayBeInstance(environment) ? instance : null);
  return [
    profile,
    ...webIdentity(environment, settings, pool),
    ...(machine === null ? [] : [machine]),
  ];
}

function environmentKeys(environment: Environment): AwsCredentialIdentity | undefined {
  return identityOf(
    environment["AWS_ACCESS_KEY_ID"],
    environment["AWS_SECRET_ACCESS_KEY"],
    environment["AWS_SESSION_TOKEN"],
  );
}

function webIdentity(environment: Environment, settings: S3Settings, pool: Pool): readonly Link[] {
  const webIdentityTokenFile = nonEmpty(environment["AWS_WEB_IDENTITY_TOKEN_FILE"]);
  const roleArn = nonEmpty(environment["AWS_ROLE_ARN"]);
  const roleSessionName = nonEmpty(environment["AWS_ROLE_SESSION_NAME"]) ?? "refmount";
  if (webIdentityTokenFile === undefined || roleArn === undefined) return [];
  const load = async (): Promise<AwsCredentialIdentity> => {
    const { fromTokenFile } = await import("@aws-sdk/credential-provider-web-identity");
    return fromTokenFile({
      webIdentityTokenFile,
      roleArn,
      roleSessionName,
      clientConfig: { ...serviceConfig(settings, pool, "STS"), region: settings.region },
    })();
  };
  return [{ source: "the web identity in AWS_WEB_IDENTITY_TOKEN_FILE", load }];
}

function containerLink(environment: Environment): Link | null {
  const relative = nonEmpty(environment["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"]);
  const full = nonEmpty(environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"]);
  const tokenFile = nonEmpty(environment["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"]);
  const token = nonEmpty(environment["AWS_CONTAINER_AUTHORIZATION_TOKEN"]);
  if (relative === undefined && full === undefined) return null;
  const load = async (): Promise<AwsCredentialIdentity> => {
    const { fromHttp } = await import("@aws-sdk/credential-provider-http");
    return fromHttp({
      // The SDK warns on the console when it gets both: the first one counts.
      ...(relative === undefined
        ? { awsContainerCredentialsFullUri: full ?? "" }
        : { awsContainerCredentialsRelativeUri: relative }),
      ...(tokenFile === undefined ? {} : { awsContainerAuthorizationTokenFile: tokenFile }),
      ...(token === undefined || tokenFile !== undefined
        ? {}
        : { awsContainerAuthorizationToken: token }),
    })();
  };
  return { source: "the container's role", load };
}

/** The first link that has something; one that should have and fails is not passed over. */
async function firstOf(links: readonly Link[]): Promise<Holder> {
  for (const { source, load } of links) {
    const identity = await load().catch((error: unknown) => {
      throw linkFault(error, source);
    });
    if (identity !== null) return { identity, source };
  }
  const tried = ["AWS_ACCESS_KEY_ID in the environment", ...links.map(({ source }) => source)];
  return { identity: null, source: `no AWS credentials were found (tried ${tried.join(", ")})` };
}

function linkFault(error: unknown, source: string): Fault {
  const fault = networkFault(error, source, "the server that gives AWS credentials");
  if (fault instanceof Fault) {
    if (fault.kind !== "denied") return fault;
    return new Fault("denied", `The AWS credentials of ${source} cannot be had: ${fault.message}`, {
      cause: fault,
    });
  }
  // The messages name files, profiles and hosts, never a key.
  const why = (error instanceof Error ? error.message : String(error)).split("\n")[0] ?? "";
  return new Fault("denied", `The AWS credentials of ${source} cannot be had: ${why}`, {
    cause: error,
  });
}

function isYes(value: string | undefined): boolean {
  return /^(true|yes|1)$/i.test(value ?? "");
}
