// The SDK's default credential chain, built from a passed environment instead of the process's own:
// keys, profile files (with SSO, roles and processes), a web identity, a container, the instance.
// The links that need an SDK are loaded when their turn comes.

import { setMaxListeners } from "node:events";
import type { AwsCredentialIdentity } from "@smithy/types";
import { Fault } from "../../model/fault.js";
import type { Environment } from "../store.js";
import { nonEmpty } from "../store.js";
import type { S3Settings } from "./settings.js";

type Link = () => Promise<AwsCredentialIdentity>;

/** Credentials are renewed when they end within this time. */
const RENEW_BEFORE_MS = 300_000;
/** Whoever is asked for credentials (a process, a server) is given up after this time. */
const LOAD_TIMEOUT_MS = 30_000;

export interface Credentials {
  /**
   * @throws Fault `denied` when no link of the chain has any, `unavailable` when one does not answer;
   * the signal's reason when it fires.
   */
  get(signal?: AbortSignal): Promise<AwsCredentialIdentity>;
  /** Forgets `stale`, which a server refused as expired. False when there are no others to get. */
  renew(stale: AwsCredentialIdentity): boolean;
}

export function openCredentials(environment: Environment, settings: S3Settings): Credentials {
  const fixed = fromKeys(environment);
  let current: Promise<AwsCredentialIdentity> | undefined;
  let known: AwsCredentialIdentity | undefined;

  const load = async (): Promise<AwsCredentialIdentity> => {
    known = fixed ?? (await inTime(firstOf(linksOf(environment, settings))));
    return known;
  };
  return {
    async get(signal) {
      if (
        known?.expiration !== undefined &&
        known.expiration.getTime() - Date.now() < RENEW_BEFORE_MS
      ) {
        current = undefined;
        known = undefined;
      }
      if (current === undefined) {
        const loading = load();
        current = loading;
        // The next one asks anew, whether or not somebody still waits for this one.
        loading.catch(() => {
          if (current === loading) current = undefined;
        });
      }
      return await (signal === undefined ? current : unlessAborted(current, signal));
    },
    renew(stale) {
      if (fixed !== undefined) return false;
      if (known === stale) {
        current = undefined;
        known = undefined;
      }
      return true;
    },
  };
}

function fromKeys(environment: Environment): AwsCredentialIdentity | undefined {
  const accessKeyId = nonEmpty(environment["AWS_ACCESS_KEY_ID"]);
  const secretAccessKey = nonEmpty(environment["AWS_SECRET_ACCESS_KEY"]);
  const sessionToken = nonEmpty(environment["AWS_SESSION_TOKEN"]);
  if (accessKeyId === undefined || secretAccessKey === undefined) return undefined;
  return { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) };
}

function linksOf(environment: Environment, settings: S3Settings): readonly Link[] {
  const region = settings.region;
  const profile: Link = async () => {
    const { fromIni } = await import("@aws-sdk/credential-provider-ini");
    return fromIni({ ...settings.profile, clientConfig: { region } })();
  };
  // A profile asked for by name is the answer or an error, never a reason to try something else.
  if (nonEmpty(environment["AWS_PROFILE"]) !== undefined) return [profile];
  return [profile, ...webIdentity(environment, region), ...machine(environment)];
}

function webIdentity(environment: Environment, region: string): readonly Link[] {
  const webIdentityTokenFile = nonEmpty(environment["AWS_WEB_IDENTITY_TOKEN_FILE"]);
  const roleArn = nonEmpty(environment["AWS_ROLE_ARN"]);
  const roleSessionName = nonEmpty(environment["AWS_ROLE_SESSION_NAME"]) ?? "refmount";
  if (webIdentityTokenFile === undefined || roleArn === undefined) return [];
  return [
    async () => {
      const { fromTokenFile } = await import("@aws-sdk/credential-provider-web-identity");
      return fromTokenFile({
        webIdentityTokenFile,
        roleArn,
        roleSessionName,
        clientConfig: { region },
      })();
    },
  ];
}

/** The container's own credentials, else the instance's: each is asked only where it may exist. */
function machine(environment: Environment): readonly Link[] {
  const relative = nonEmpty(environment["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"]);
  const full = nonEmpty(environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"]);
  const tokenFile = nonEmpty(environment["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"]);
  const token = nonEmpty(environment["AWS_CONTAINER_AUTHORIZATION_TOKEN"]);
  if (relative !== undefined || full !== undefined) {
    return [
      async () => {
        const { fromHttp } = await import("@aws-sdk/credential-provider-http");
        return fromHttp({
          ...(relative === undefined ? {} : { awsContainerCredentialsRelativeUri: relative }),
          ...(full === undefined ? {} : { awsContainerCredentialsFullUri: full }),
          ...(tokenFile === undefined ? {} : { awsContainerAuthorizationTokenFile: tokenFile }),
          ...(token === undefined ? {} : { awsContainerAuthorizationToken: token }),
        })();
      },
    ];
  }
  const disabled = nonEmpty(environment["AWS_EC2_METADATA_DISABLED"]);
  if (disabled !== undefined && disabled.toLowerCase() !== "false") return [];
  return [
    async () => {
      const { fromInstanceMetadata } = await import("@smithy/credential-provider-imds");
      return fromInstanceMetadata()();
    },
  ];
}

/** A provider has no deadline of its own, and the worker must not wait for one for ever. */
async function inTime(loading: Promise<AwsCredentialIdentity>): Promise<AwsCredentialIdentity> {
  const signal = AbortSignal.timeout(LOAD_TIMEOUT_MS);
  try {
    return await unlessAborted(loading, signal);
  } catch (error) {
    if (!signal.aborted || error !== signal.reason) throw error;
    throw new Fault(
      "unavailable",
      `No AWS credentials within ${LOAD_TIMEOUT_MS / 1_000} s: their source (a process, a profile's ` +
        "server, the machine's metadata) does not answer",
    );
  }
}

/** Settles as `promise` does, unless `signal` fires before. */
function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    // One signal may wait for any number of requests.
    setMaxListeners(0, signal);
    const abort = (): void => reject(signal.reason as Error);
    signal.addEventListener("abort", abort);
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}

async function firstOf(links: readonly Link[]): Promise<AwsCredentialIdentity> {
  const failures: Error[] = [];
  for (const link of links) {
    try {
      return await link();
    } catch (error) {
      failures.push(error instanceof Error ? error : new Error(String(error)));
    }
  }
  // The messages name files, profiles and hosts, never a key.
  const why = failures.map((failure) => failure.message.split("\n")[0]).join("; ");
  throw new Fault(
    "denied",
    "No AWS credentials found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE " +
      `(tried: ${why === "" ? "the environment" : why})`,
    { cause: failures[0] },
  );
}
