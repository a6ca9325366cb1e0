// S3's refusals in one shape, whether they came from the SDK (listing) or as a bare HTTP answer
// (fetching), and their translation into faults.

import { S3ServiceException } from "@aws-sdk/client-s3";
import type { FaultKind } from "../../model/fault.js";
import { Fault } from "../../model/fault.js";
import { readRetryAfter, readText } from "../object-answer.js";
import { codeText, firstValue, overloadFault, xmlElement } from "../refusal.js";
import type { Transfer } from "../transfer.js";

/** Who was refused, and what would have been needed. */
export interface Asker {
  /** As `Holder.source` says. */
  readonly source: string;
  readonly unsigned: boolean;
  /** `s3:GetObject`. */
  readonly permission: string;
}

/** An answer that is not the one asked for. */
export interface Refusal {
  readonly status: number;
  /** S3's error code; "" when the answer had no body (HEAD). */
  readonly code: string;
  readonly message: string;
  /** The region the bucket is really in, where the answer tells. */
  readonly region: string | undefined;
  readonly deleteMarker: boolean;
  readonly retryAfterMs: number | undefined;
}

type Headers = Readonly<Record<string, string | readonly string[] | undefined>>;

/** Reads the error document of an answer that is not a success. */
export async function readRefusal(transfer: Transfer): Promise<Refusal> {
  const text = await readText(transfer);
  return refusal(transfer.status, transfer.headers, {
    code: xmlElement(text, "Code"),
    message: xmlElement(text, "Message"),
    region: xmlElement(text, "Region"),
  });
}

/** The refusal in an error of the SDK; null for one that is no answer of S3. */
export function refusalOf(error: unknown): Refusal | null {
  if (!(error instanceof S3ServiceException)) return null;
  const status = error.$metadata.httpStatusCode;
  if (status === undefined) return null;
  const { Region: region } = error as { Region?: unknown };
  const headers = (error.$response as { headers?: Headers } | undefined)?.headers ?? {};
  const nameless = /^(Unknown|UnknownError|\d+)$/.test(error.name);
  return refusal(status, headers, {
    code: nameless ? "" : error.name,
    message: error.message,
    region: typeof region === "string" ? region : "",
  });
}

function refusal(
  status: number,
  headers: Headers,
  body: { code: string; message: string; region: string },
): Refusal {
  const region = firstValue(headers["x-amz-bucket-region"]) ?? body.region;
  return {
    status,
    code: body.code,
    message: body.message,
    region: /^[a-z0-9-]{1,64}$/.test(region) ? region : undefined,
    deleteMarker: firstValue(headers["x-amz-delete-marker"]) === "true",
    retryAfterMs: readRetryAfter(firstValue(headers["retry-after"])),
  };
}

/** True when the bucket is in another region than the request was signed for. */
export function isWrongRegion(failure: Refusal): boolean {
  return (
    failure.status === 301 ||
    failure.status === 307 ||
    failure.code === "AuthorizationHeaderMalformed" ||
    failure.code === "IllegalLocationConstraintException" ||
    (failure.status === 400 && failure.code === "" && failure.region !== undefined)
  );
}

export function isExpired(failure: Refusal): boolean {
  return /^(ExpiredToken|ExpiredTokenException|TokenRefreshRequired)$/.test(failure.code);
}

/** True when the credentials themselves were refused, whatever the operation. */
export function isBadCredentials(failure: Refusal): boolean {
  return /^(InvalidAccessKeyId|SignatureDoesNotMatch|InvalidToken|RequestTimeTooSkewed|RequestExpired|AccountProblem|InvalidSecurity)$/.test(
    failure.code,
  );
}

/** True when other credentials might be let in. */
export function isDenied(failure: Refusal): boolean {
  const { status, code } = failure;
  if (code === "InvalidObjectState" || code === "RequestTimeTooSkewed") return false;
  return status === 401 || status === 403 || isBadCredentials(failure);
}

/** The fault for a store that is only overloaded or failing now; null for any other refusal. */
export function transientFault(failure: Refusal, subject: string): Fault | null {
  const busy = /^(RequestTimeout|SlowDown|Throttling|ThrottlingException|RequestLimitExceeded)$/;
  return overloadFault(failure, busy, subject, causeOf(failure));
}

export interface FaultContext {
  /** The object or prefix, without a query. */
  readonly subject: string;
  /** "Cannot list" or "Cannot read". */
  readonly what: string;
  /** What a missing object or bucket means here. */
  readonly missing: "not-found" | "drifted";
  readonly region: string;
  readonly asker: Asker;
}

/** The fault for a request that was refused for good. */
export function refusalFault(failure: Refusal, context: FaultContext): Fault {
  const [kind, why] = judge(failure, context);
  return new Fault(kind, `${context.what} ${context.subject}: ${why} (${codeText(failure)})`, {
    subject: context.subject,
    cause: causeOf(failure),
  });
}

function causeOf(failure: Refusal): Error {
  return new Error(`S3 answered ${codeText(failure)}: ${failure.message}`);
}

function judge(failure: Refusal, context: FaultContext): readonly [FaultKind, string] {
  const { status, code } = failure;
  if (isWrongRegion(failure)) {
    const where = failure.region === undefined ? "another region" : `region ${failure.region}`;
    return ["denied", `the bucket is in ${where}, asked was ${context.region}; set AWS_REGION`];
  }
  if (isExpired(failure)) {
    const { source } = context.asker;
    return [
      "denied",
      `the AWS credentials have expired; renew them and mount again (from ${source})`,
    ];
  }
  switch (code) {
    case "RequestTimeTooSkewed":
      return ["denied", "this machine's clock is wrong; set it and try again"];
    case "InvalidObjectState":
      return [
        "denied",
        "the object is archived (Glacier or Deep Archive) and cannot be read; restore it first",
      ];
    case "NoSuchBucket":
      return [context.missing, "the bucket does not exist"];
  }
  if (failure.deleteMarker || status === 405) {
    return [context.missing, "it was deleted: this version is a delete marker"];
  }
  if (status === 404 || status === 410) return [context.missing, missingText(code, context)];
  if (status === 412) return ["drifted", "the object was overwritten since it was logged"];
  if (status === 401 || status === 403) {
    return ["denied", refusedText(failure, context)];
  }
  if (status === 501) return ["denied", "the store does not implement this request"];
  // A version id that S3 cannot even read is as gone as one that it does not know.
  if (status === 400 && context.missing === "drifted" && code === "InvalidArgument") {
    return ["drifted", "the store knows no such version"];
  }
  return ["denied", `the store refused the request: ${failure.message || "it gave no reason"}`];
}

function refusedText({ message }: Refusal, { asker, region }: FaultContext): string {
  if (/requester.?pays/i.test(message)) {
    return "the bucket's owner does not pay for requests; set AWS_REQUEST_PAYER=requester to pay for them";
  }
  const { source, unsigned, permission } = asker;
  if (unsigned) {
    return (
      `access was refused to an unsigned request: ${source}; ` +
      "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
    );
  }
  return `access was refused; check the credentials (from ${source}), their right ${permission}, and the region (${region})`;
}

function missingText(code: string, context: FaultContext): string {
  if (context.missing === "not-found") return "there is no such object";
  return code === "NoSuchVersion"
    ? "the pinned version is gone; it was deleted or has expired"
    : "the object is gone; it was deleted since it was logged";
}
