// The objects that cannot be entries, because their path is taken or impossible: all are counted, the
// first ten are told. Decides nothing.

import { Fault } from "../model/fault.js";

const MOST_TOLD = 10;

export class LeftOut {
  readonly #first: string[] = [];
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** @param subject the object, as messages name it. */
  add(subject: string, why: string): void {
    this.#count += 1;
    if (this.#first.length < MOST_TOLD) this.#first.push(`${subject}: ${why}`);
  }

  /** Why nothing is logged. */
  toFault(): Fault {
    const [first = ""] = this.#first;
    const remedy = "leave out such objects with --on-conflict skip";
    if (this.#count === 1) return new Fault("usage", `${first}; nothing is logged. Or ${remedy}`);
    return new Fault(
      "usage",
      `${this.#count} objects cannot be entries of one version, so nothing is logged:\n` +
        `${this.#lines()}\nLog them from other sources or with other paths, or ${remedy}`,
    );
  }

  toNotice(): string {
    const [first = ""] = this.#first;
    return this.#count === 1
      ? `left out ${first}`
      : `left out ${this.#count} objects:\n${this.#lines()}`;
  }

  #lines(): string {
    const more = this.#count - this.#first.length;
    return [...this.#first, ...(more > 0 ? [`and ${more} more`] : [])]
      .map((line) => `  ${line}`)
      .join("\n");
  }
}
