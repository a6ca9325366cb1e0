// AWS keys as the environment, a profile, or the JSON of whoever hands them out spells them.

import type { AwsCredentialIdentity } from "@smithy/types";
import { Fault } from "../../model/fault.js";
import { nonEmpty } from "../store.js";

/** The identity of two keys and perhaps a session token; undefined when one of the keys is missing. */
export function identityOf(
  accessKeyId: string | undefined,
  secretAccessKey: string | undefined,
  sessionToken: string | undefined,
): AwsCredentialIdentity | undefined {
  const [id, secret, token] = [accessKeyId, secretAccessKey, sessionToken].map(nonEmpty);
  if (id === undefined || secret === undefined) return undefined;
  return {
    accessKeyId: id,
    secretAccessKey: secret,
    ...(token === undefined ? {} : { sessionToken: token }),
  };
}

/**
 * Reads the JSON of a credential process or a metadata service.
 * @param source Who gave it, for the message; the text itself is secret.
 * @throws Fault `denied` when it holds no keys, or keys that have expired.
 */
export function readKeys(text: string, source: string): AwsCredentialIdentity {
  const record = parse(text);
  const { AccessKeyId, SecretAccessKey, SessionToken, Token, Expiration } = record;
  const identity = identityOf(
    asText(AccessKeyId),
    asText(SecretAccessKey),
    asText(SessionToken) ?? asText(Token),
  );
  if (identity === undefined) {
    throw new Fault("denied", `No AWS keys in what came from ${source}`);
  }
  const expiration = asText(Expiration);
  if (expiration === undefined) return identity;
  const at = new Date(expiration);
  if (!(at.getTime() > Date.now())) {
    throw new Fault("denied", `The AWS keys from ${source} have expired already`);
  }
  return { ...identity, expiration: at };
}

function parse(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function asText(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
