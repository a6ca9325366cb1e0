// Google Cloud Storage's refusals in one shape, whether of a listing or of bytes, and their
// translation into faults.

import type { FaultKind } from "../../model/fault.js";
import { Fault } from "../../model/fault.js";
import { readRetryAfter, readText } from "../object-answer.js";
import { codeText, overloadFault } from "../refusal.js";
import type { Transfer } from "../transfer.js";

/** An answer that is not the one asked for. */
export interface Refusal {
  readonly status: number;
  /** The reason of the first error in the answer; "" when the answer is no JSON, as for bytes. */
  readonly reason: string;
  readonly message: string;
  readonly retryAfterMs: number | undefined;
}

/** Thrown for a request refused for good; translated by whoever knows what was asked. */
export class Refused extends Error {
  readonly refusal: Refusal;
  /** Which credentials were sent, as words; null when there were none. */
  readonly credentials: string | null;

  constructor(refusal: Refusal, credentials: string | null) {
    super(`Google Cloud Storage refused: ${reasonText(refusal)}`);
    this.name = "Refused";
    this.refusal = refusal;
    this.credentials = credentials;
  }
}

/** Reads the error document of an answer that is not a success. */
export async function readRefusal(transfer: Transfer): Promise<Refusal> {
  const text = await readText(transfer);
  const error = errorIn(text);
  return {
    status: transfer.status,
    reason: error?.errors?.[0]?.reason ?? "",
    // Bytes are refused in plain text.
    message: oneLine(error?.message ?? text),
    retryAfterMs: readRetryAfter(transfer.headers["retry-after"]),
  };
}

interface ErrorDocument {
  readonly message?: string;
  readonly errors?: readonly { readonly reason?: string }[];
}

function errorIn(text: string): ErrorDocument | undefined {
  try {
    return (JSON.parse(text) as { readonly error?: ErrorDocument } | null)?.error;
  } catch {
    return undefined;
  }
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, " ").trim().slice(0, 200);
}

/** True for a bucket whose requester pays, asked without saying who that is. */
export function isRequesterPays({ status, message, reason }: Refusal): boolean {
  if (status !== 400 && status !== 401) return false;
  return reason === "UserProjectMissing" || /requester pays/i.test(message);
}

/** True when other credentials than those sent may make a difference. */
export function isUnauthorized({ status }: Refusal): boolean {
  return status === 401 || status === 403;
}

/** The fault for a store that is only overloaded or failing now; null for any other refusal. */
export function transientFault(failure: Refusal, subject: string): Fault | null {
  const busy = /^(rateLimitExceeded|userRateLimitExceeded|usageLimits\.rateLimitExceeded)$/;
  const refusal = { ...failure, code: failure.reason };
  return overloadFault(refusal, busy, subject, causeOf(failure));
}

export interface FaultContext {
  /** The object or prefix. */
  readonly subject: string;
  /** "Cannot list" or "Cannot read". */
  readonly what: string;
  /** What a missing object or bucket means here. */
  readonly missing: "not-found" | "drifted";
  /** Said of an object or generation that is not there. */
  readonly missingText: string;
  /** The least right that the request needs. */
  readonly permission: string;
}

/** The fault for a request that was refused for good. */
export function refusalFault({ refusal, credentials }: Refused, context: FaultContext): Fault {
  const [kind, why] = judge(refusal, credentials, context);
  return new Fault(kind, `${context.what} ${context.subject}: ${why} (${reasonText(refusal)})`, {
    subject: context.subject,
    cause: causeOf(refusal),
  });
}

function reasonText({ status, reason }: Refusal): string {
  return codeText({ status, code: reason });
}

function causeOf(failure: Refusal): Error {
  return new Error(`Google Cloud Storage answered ${reasonText(failure)}: ${failure.message}`);
}

export const HOW_TO_GIVE_CREDENTIALS =
  "set GOOGLE_APPLICATION_CREDENTIALS to a credentials file, or run `gcloud auth application-default login`";

function judge(
  failure: Refusal,
  credentials: string | null,
  context: FaultContext,
): readonly [FaultKind, string] {
  const { status, reason, message } = failure;
  if (isRequesterPays(failure)) {
    return credentials === null
      ? ["denied", `its requester pays, so it needs credentials: ${HOW_TO_GIVE_CREDENTIALS}`]
      : ["denied", "its requester pays: set GOOGLE_CLOUD_QUOTA_PROJECT to the project to bill"];
  }
  if (/^userProject|accountDisabled/i.test(reason)) {
    return [
      "denied",
      "the project to bill cannot be billed: check GOOGLE_CLOUD_QUOTA_PROJECT, its billing account, " +
        `and the right serviceusage.services.use on it for ${credentials ?? "everybody"}`,
    ];
  }
  if (/encryptedWithCustomerEncryptionKey/i.test(reason) || /customer-supplied/i.test(message)) {
    return ["denied", "it is encrypted with a key of the customer's own, which refmount has not"];
  }
  if (status === 401 || status === 403) {
    return credentials === null
      ? [
          "denied",
          `access was refused, and no credentials were found: ${HOW_TO_GIVE_CREDENTIALS}; ` +
            `without any, everybody needs ${context.permission}`,
        ]
      : ["denied", `access was refused; ${credentials} needs ${context.permission}`];
  }
  if (status === 404 && /bucket does not exist/i.test(message)) {
    return [context.missing, "the bucket does not exist"];
  }
  if (status === 404 || status === 410) return [context.missing, context.missingText];
  if (status === 412) return ["drifted", "the object was overwritten since it was logged"];
  if (status === 501) return ["denied", "the store does not implement this request"];
  if (status >= 300 && status < 400) {
    return ["denied", "the store names another place, and redirects are not followed"];
  }
  return ["denied", `the store refused the request: ${message || "it gave no reason"}`];
}

/** For an answer that somebody else must have given: a proxy, a login page, another server. */
export function strange(subject: string, cause?: unknown): Fault {
  return new Fault(
    "unavailable",
    `Cannot list ${subject}: the answer is not Google Cloud Storage's; check STORAGE_EMULATOR_HOST and the proxies`,
    { subject, ...(cause === undefined ? {} : { cause }) },
  );
}
