// What passes between the sources of access tokens and the chain that asks them.

export interface Token {
  readonly value: string;
  readonly expiresAtMs: number;
}

export interface TokenSource {
  /** As a message names it: "the managed identity". */
  readonly name: string;
  /**
   * A token that was not given before when the last one was refused.
   * @param tenantId Another tenant than the configured one; undefined for that.
   * @throws Absent when this machine has no such source; Fault `denied` or `unavailable` when it has,
   * but there is no token.
   */
  get(tenantId: string | undefined, signal: AbortSignal): Promise<Token>;
}

/** A source that is not here: the next one is asked. */
export class Absent extends Error {}

/** Whom the tokens are for: Azure Storage, in every cloud. */
export const STORAGE_RESOURCE = "https://storage.azure.com/";
