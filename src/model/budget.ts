// A counted allowance that is shared first come, first served: bytes of buffers, places for fetches.
// Knows nothing of what it counts.

/** Gives back what was acquired; calling it again does nothing. */
export type Release = () => void;

interface Waiter {
  readonly amount: number;
  readonly grant: () => void;
}

export class Budget {
  readonly #capacity: number;
  readonly #waiters = new Set<Waiter>();
  #free: number;

  constructor(capacity: number) {
    this.#capacity = capacity;
    this.#free = capacity;
  }

  /**
   * Waits until `amount` is free and takes it. More than the whole budget counts as the whole of it,
   * so that one large request waits for the rest instead of for ever. Rejects with the abort reason.
   */
  acquire(amount: number, signal: AbortSignal): Promise<Release> {
    const wanted = Math.min(amount, this.#capacity);
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(signal.reason as Error);
        return;
      }
      const abort = (): void => {
        this.#waiters.delete(waiter);
        reject(signal.reason as Error);
        // The one that gave up may have stood before smaller ones.
        this.#serve();
      };
      const waiter: Waiter = {
        amount: wanted,
        grant: () => {
          signal.removeEventListener("abort", abort);
          resolve(this.#releaseOf(wanted));
        },
      };
      signal.addEventListener("abort", abort, { once: true });
      this.#waiters.add(waiter);
      this.#serve();
    });
  }

  /**
   * Takes `amount` if that needs no waiting, else null. For whoever already holds a part and must
   * not wait for more: two such would wait for each other.
   */
  tryAcquire(amount: number): Release | null {
    if (this.#waiters.size > 0 || amount > this.#free) return null;
    this.#free -= amount;
    return this.#releaseOf(amount);
  }

  /** What is free now. */
  get free(): number {
    return this.#free;
  }

  #releaseOf(amount: number): Release {
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#free += amount;
      this.#serve();
    };
  }

  // Strictly in order: a large request is not overtaken for ever by small ones.
  #serve(): void {
    for (const waiter of this.#waiters) {
      if (waiter.amount > this.#free) return;
      this.#waiters.delete(waiter);
      this.#free -= waiter.amount;
      waiter.grant();
    }
  }
}
