// Translates what goes wrong while a token is asked for. The library's errors hold the whole request,
// keys and assertions included: nothing of them is passed on but a status, a code and a sentence.

import { Fault } from "../../model/fault.js";
import { networkFault } from "../network-fault.js";
import { readRetryAfter } from "../object-answer.js";

/** What is read of the library's errors. */
interface TokenError {
  readonly message: string;
  readonly code?: unknown;
  readonly type?: unknown;
  readonly config?: { readonly url?: unknown };
  readonly response?: {
    readonly status: number;
    readonly headers?: Readonly<Record<string, unknown>>;
    readonly data?: unknown;
  };
}

const SUBJECT = "an access token";

/** @param description Whose credentials they are. */
export function tokenFault(thrown: unknown, description: string): Fault {
  if (thrown instanceof Fault) return thrown;
  const error = thrown as TokenError;
  const { response } = error;
  if (response !== undefined) return refusal(response, description);
  const endpoint = endpointOf(error);
  const bare = Object.assign(new Error(error.message), { code: error.code });
  const fault = networkFault(bare, SUBJECT, endpoint);
  if (fault instanceof Fault) return fault;
  // What the library uses below names its own deadline, and an answer that breaks off, by words.
  if (/timeout|premature close/i.test(error.message)) {
    const why = /timeout/i.test(error.message) ? "no answer in time" : "the answer broke off";
    return new Fault("unavailable", `Cannot get ${SUBJECT} from ${endpoint}: ${why}`);
  }
  return denied(description, error.message);
}

function refusal(response: NonNullable<TokenError["response"]>, description: string): Fault {
  const { status } = response;
  const why = reasonIn(response.data);
  if (status === 408 || status === 429 || status >= 500) {
    const header = response.headers?.["retry-after"];
    const retryAfterMs = readRetryAfter(typeof header === "string" ? header : undefined);
    return new Fault(
      "unavailable",
      `Cannot get ${SUBJECT} for ${description}: whoever gives it is overloaded or failing (HTTP ${status})`,
      retryAfterMs === undefined ? {} : { retryAfterMs },
    );
  }
  if (/reasonable timeframe|\biat\b|token used too early|clock/i.test(why)) {
    return denied(description, `this machine's clock is wrong; set it and try again (${why})`);
  }
  return denied(description, why === "" ? `HTTP ${status}` : why);
}

function denied(description: string, why: string): Fault {
  return new Fault(
    "denied",
    `The credentials of ${description} give no access: ${why.replace(/\s+/g, " ").slice(0, 300)}`,
  );
}

/** OAuth's `error` and `error_description`, or a Google API's error message. */
function reasonIn(data: unknown): string {
  if (typeof data !== "object" || data === null) return "";
  const { error, error_description: description } = data as {
    readonly error?: unknown;
    readonly error_description?: unknown;
  };
  if (typeof error === "object" && error !== null) {
    const { message } = error as { readonly message?: unknown };
    return typeof message === "string" ? message : "";
  }
  return [error, description].filter((part) => typeof part === "string").join(": ");
}

function endpointOf({ config }: TokenError): string {
  const url = config?.url;
  const text = typeof url === "string" || url instanceof URL ? String(url) : "";
  return URL.canParse(text) ? new URL(text).origin : "Google";
}
