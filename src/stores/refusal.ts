// What the refusals of all clouds have alike: how they are read, how messages name them, and which of
// them will pass. What a code means, each cloud's own failure.ts says.

import { Fault } from "../model/fault.js";

/** An answer that is not the one asked for. */
export interface CloudRefusal {
  readonly status: number;
  /** The cloud's own code; "" when the answer has none. */
  readonly code: string;
  readonly retryAfterMs: number | undefined;
}

export function codeText({ status, code }: Pick<CloudRefusal, "status" | "code">): string {
  return code === "" ? `HTTP ${status}` : `${status} ${code}`;
}

/**
 * The fault for a store that is only overloaded or failing now; null for any other refusal.
 * @param busy The codes that say so, whatever the status.
 */
export function overloadFault(
  refusal: CloudRefusal,
  busy: RegExp,
  subject: string,
  cause?: Error,
): Fault | null {
  const { status, code, retryAfterMs } = refusal;
  const passes = status === 408 || status === 429 || (status >= 500 && status !== 501);
  if (!passes && !busy.test(code)) return null;
  return new Fault(
    "unavailable",
    `Cannot reach ${subject}: the store is overloaded or failing (${codeText(refusal)})`,
    {
      subject,
      ...(cause === undefined ? {} : { cause }),
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    },
  );
}

/** The text of an XML document's first element of that name; "" when there is none. */
export function xmlElement(xml: string, name: string): string {
  return new RegExp(`<${name}>([^<]*)</${name}>`).exec(xml)?.[1] ?? "";
}

/** A header's first value. */
export function firstValue(value: string | readonly string[] | undefined): string | undefined {
  return typeof value === "string" ? value : value?.[0];
}
