// Azure's refusals in one shape and their translation into faults. A refusal's own text is never
// repeated: for a bad signature it holds what was signed.

import type { FaultKind } from "../../model/fault.js";
import { Fault } from "../../model/fault.js";
import { readRetryAfter, readText } from "../object-answer.js";
import { codeText, firstValue, overloadFault, xmlElement } from "../refusal.js";
import type { Transfer } from "../transfer.js";

/** How far the clocks may be apart for a signature to be taken. */
const LARGEST_SKEW_MS = 900_000;

/** An answer that is not the one asked for. */
export interface Refusal {
  readonly status: number;
  /** Azure's error code; "" when the answer has none. */
  readonly code: string;
  /** True when the signature was made, or is good, at another time than the store's. */
  readonly wrongTime: "clock" | "time frame" | undefined;
  /** The tenant whose tokens the account takes, where the answer tells. */
  readonly tenantId: string | undefined;
  readonly retryAfterMs: number | undefined;
}

/** Thrown for a request refused for good; translated by whoever knows what was asked. */
export class Refused extends Error {
  readonly refusal: Refusal;
  /** What the request was sent with, for messages. */
  readonly credential: string;

  constructor(refusal: Refusal, credential: string) {
    super(`Azure refused: ${codeText(refusal)}`);
    this.name = "Refused";
    this.refusal = refusal;
    this.credential = credential;
  }
}

/** Reads the error document of an answer that is not a success. */
export async function readRefusal(transfer: Transfer): Promise<Refusal> {
  const { status, headers } = transfer;
  const text = await readText(transfer);
  const code = firstValue(headers["x-ms-error-code"]) ?? xmlElement(text, "Code");
  return {
    status,
    code: /^[A-Za-z0-9.]{1,100}$/.test(code) ? code : "",
    wrongTime: wrongTimeOf(xmlElement(text, "AuthenticationErrorDetail"), headers.date),
    tenantId: tenantOf(headers["www-authenticate"]),
    retryAfterMs: readRetryAfter(headers["retry-after"]),
  };
}

/** The fault for a store that is only overloaded or failing now; null for any other refusal. */
export function transientFault(refusal: Refusal, subject: string): Fault | null {
  const busy = /^(ServerBusy|OperationTimedOut|InternalError)$/;
  return overloadFault(refusal, busy, subject);
}

export interface FaultContext {
  /** The blob or prefix, without a query. */
  readonly subject: string;
  /** "Cannot list" or "Cannot read". */
  readonly what: string;
  /** What a missing blob or container means here. */
  readonly missing: "not-found" | "drifted";
}

/** The fault for a request that was refused for good. */
export function refusalFault({ refusal, credential }: Refused, context: FaultContext): Fault {
  const [kind, why] = judge(refusal, credential, context);
  return new Fault(kind, `${context.what} ${context.subject}: ${why} (${codeText(refusal)})`, {
    subject: context.subject,
  });
}

/** What a credential must be allowed, for every store of this kind. */
const RIGHTS =
  'it needs the role "Storage Blob Data Reader", an account key, or a SAS with the permissions r and l';

/** What single codes mean, whatever was asked. */
const DENIALS: Readonly<Record<string, string>> = {
  BlobArchived: "the blob is in the archive tier and cannot be read; rehydrate it first",
  BlobBeingRehydrated:
    "the blob is being rehydrated from the archive tier; try again when it is done",
  BlobUsesCustomerSpecifiedEncryption:
    "the blob is encrypted with a key that its writer kept (customer-provided), which refmount has not",
  KeyBasedAuthenticationNotPermitted:
    "the account takes no account keys; use an identity (az login, a service principal)",
  PublicAccessNotPermitted: "the account allows no anonymous access; give credentials",
  AuthorizationSourceIPMismatch: "the SAS is not valid for this machine's address",
  AuthorizationProtocolMismatch: "the SAS is not valid for this protocol (http or https)",
  AccountIsDisabled: "the storage account is disabled",
};

function judge(
  refusal: Refusal,
  credential: string,
  { missing }: FaultContext,
): readonly [FaultKind, string] {
  const { status, code } = refusal;
  const denial = DENIALS[code];
  if (denial !== undefined) return ["denied", denial];
  if (status === 401 || status === 403) return ["denied", accessText(refusal, credential)];
  // A private container does not exist for somebody who gives no credentials.
  if (code === "ResourceNotFound" && credential === ANONYMOUS) {
    return ["denied", `it is not there, or not for everybody: ${credential} were sent; ${RIGHTS}`];
  }
  if (code === "ContainerNotFound" || code === "ContainerBeingDeleted") {
    return [missing, "the container does not exist"];
  }
  if (status === 404 || status === 410) {
    return [
      missing,
      missing === "drifted"
        ? "the blob or its pinned version is gone; it was deleted since it was logged"
        : "there is no such blob",
    ];
  }
  if (status === 412) return ["drifted", "the blob was overwritten since it was logged"];
  // A version or a snapshot that Azure cannot even read is as gone as one that it does not know.
  if (status === 400 && code === "InvalidQueryParameterValue") {
    return [missing, "the store knows no such version or snapshot"];
  }
  return ["denied", "the store refused the request"];
}

/** How a request without any credentials is called. */
export const ANONYMOUS = "no credentials";

function accessText({ code, wrongTime }: Refusal, credential: string): string {
  if (wrongTime === "clock") return "this machine's clock is wrong; set it and try again";
  if (wrongTime === "time frame") {
    return `${credential} is not valid at this time; renew it`;
  }
  if (credential === ANONYMOUS) {
    return (
      "no credentials were found, and it is not public; set AZURE_STORAGE_CONNECTION_STRING, " +
      "AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN for this account, or log in with az login"
    );
  }
  return code === "AuthenticationFailed" || code === "InvalidAuthenticationInfo"
    ? `${credential} was not accepted; check it, and that it belongs to this account`
    : `access was refused to ${credential}; ${RIGHTS}`;
}

/** The detail is in the body, which an answer to HEAD has not; its date is in every answer. */
function wrongTimeOf(detail: string, date: string | undefined): Refusal["wrongTime"] {
  if (/date header/i.test(detail)) return "clock";
  if (/time frame/i.test(detail)) return "time frame";
  const aheadMs = Math.abs(Date.parse(date ?? "") - Date.now());
  return aheadMs > LARGEST_SKEW_MS ? "clock" : undefined;
}

/** From `Bearer authorization_uri=https://login.../TENANT/oauth2/authorize ...`. */
function tenantOf(challenge: string | undefined): string | undefined {
  return /^Bearer\b.*authorization_uri="?https:\/\/[^/"\s]+\/([0-9A-Za-z.-]{1,100})[/"\s,]/i.exec(
    challenge ?? "",
  )?.[1];
}
