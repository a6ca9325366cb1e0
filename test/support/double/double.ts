// What the doubles of all stores have alike: a server on loopback, the log of its requests, and what
// goes wrong with them. What an answer is, each store's own double says.

import type { IncomingMessage, ServerResponse } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import type { Certificate } from "../certificate.js";
import type { Accident } from "./body.js";
import { Holds, type Held } from "./holds.js";
import type { MatchOf } from "./match.js";
import { Rules } from "./rules.js";
import { LoopbackServer } from "./server.js";

/** `Seen` is what is known of a request, `Key` what of that accidents can be bound to. */
export abstract class Double<
  Seen,
  Key extends keyof Seen,
  Mishap extends Accident = Accident,
> implements AsyncDisposable {
  /** Requests in the order of their arrival. */
  readonly requests: Seen[] = [];
  /** Before each answer. */
  latencyMs = 0;
  /** Of each answer; 0: as fast as it goes. */
  bytesPerSecond = 0;
  readonly #rules = new Rules<Seen, Key, Mishap>();
  readonly #holds = new Holds<Seen, Key>();
  readonly #server: LoopbackServer;

  /** Answers over TLS when there is a certificate. */
  constructor(certificate?: Certificate) {
    this.#server = new LoopbackServer((request, response) => {
      this.handle(request, response);
    }, certificate);
  }

  get port(): number {
    return this.#server.port;
  }

  /** Without a slash at the end. */
  get origin(): string {
    return `${this.#server.scheme}://127.0.0.1:${this.port}`;
  }

  /** At any free port when `port` is 0. */
  listen(port: number): Promise<void> {
    return this.#server.listen(port);
  }

  /** Refuses connections, and ends those there are. */
  stop(): Promise<void> {
    return this.#server.stop();
  }

  /** Listens again where it did. */
  resume(): Promise<void> {
    return this.listen(this.port);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** The next `times` matching requests meet `accident`. */
  upset(match: MatchOf<Seen, Key>, accident: Mishap, times = 1): void {
    this.#rules.add(match, accident, times);
  }

  /** From now on nothing goes wrong any more. */
  calm(): void {
    this.#rules.clear();
  }

  /** Holds matching requests back, before anything of the answer is sent, until released. */
  hold(match: MatchOf<Seen, Key>): Held {
    return this.#holds.add(match);
  }

  /** Answers a request, also one that came another way than to this double's own port. */
  handle(request: IncomingMessage, response: ServerResponse): void {
    response.on("error", () => undefined);
    void this.serve(request, response);
  }

  protected abstract serve(request: IncomingMessage, response: ServerResponse): Promise<void>;

  /** What goes wrong with a request, once it may be answered; null: it is never answered. */
  protected async fateOf(seen: Seen): Promise<Partial<Mishap> | null> {
    const accident = this.#rules.take(seen);
    await this.#holds.pass(seen);
    if (this.latencyMs > 0) await delay(this.latencyMs);
    if (accident?.silent === true) return null;
    return accident ?? {};
  }
}

/** Number of requests of each operation. */
export function countOperations<Operation extends string>(
  requests: readonly { readonly operation: Operation }[],
): Partial<Record<Operation, number>> {
  const counts: Partial<Record<Operation, number>> = {};
  for (const { operation } of requests) counts[operation] = (counts[operation] ?? 0) + 1;
  return counts;
}
