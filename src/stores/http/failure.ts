// Translates answers that are no object into faults. The text of an answer is not repeated: servers
// put into it what they like.

import type { FaultKind } from "../../model/fault.js";
import { Fault } from "../../model/fault.js";
import { readRetryAfter } from "../object-answer.js";
import type { HttpAnswer } from "./connection.js";

export interface FailureContext {
  readonly subject: string;
  /** "Cannot list" or "Cannot read". */
  readonly what: string;
  /** What a missing object means here. */
  readonly missing: "not-found" | "drifted";
}

/** The part of an answer that says what went wrong. */
export type Failure = Pick<HttpAnswer, "status" | "headers" | "credentials" | "elsewhere">;

/** The fault for an answer that is neither 200 nor 206. */
export function failureFault(answer: Failure, context: FailureContext): Fault {
  const { subject } = context;
  const [kind, why] = judge(answer, context);
  const retryAfterMs =
    kind === "unavailable" ? readRetryAfter(answer.headers["retry-after"]) : undefined;
  return new Fault(kind, `${context.what} ${subject}: ${why} (HTTP ${answer.status})`, {
    subject,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });
}

function judge(answer: Failure, { missing }: FailureContext): readonly [FaultKind, string] {
  const { status } = answer;
  switch (status) {
    case 401:
    case 403:
      return ["denied", `access was refused; ${credentialsText(answer)}`];
    case 404:
    case 410:
      return missing === "not-found"
        ? [missing, "there is no such object"]
        : [missing, "the object is gone; it was removed since it was logged"];
    case 407:
      return ["denied", "the proxy wants a user and a password in its address"];
    case 412:
      return ["drifted", "the object was changed since it was logged"];
    // Something between here and the server waits for it to become ready.
    case 202:
    case 408:
    case 425:
    case 429:
      return ["unavailable", "the server is not ready"];
  }
  if (status >= 500 && status !== 501 && status !== 505) {
    return ["unavailable", "the server is overloaded or failing"];
  }
  return ["denied", "the server refused the request, or answered with what is no object"];
}

function credentialsText({ credentials, elsewhere }: Failure): string {
  if (elsewhere !== undefined) {
    return `it redirects to ${elsewhere}, where no credentials are sent: reference what it leads to`;
  }
  return credentials === undefined
    ? "no credentials were sent: .netrc has no entry for the host, REFMOUNT_HTTP_HEADERS no header"
    : `the credentials that were sent come from ${credentials}: check them`;
}
