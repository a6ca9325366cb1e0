// Signals on their way from the process to the running command. Knows no exit code and ends nothing.

/** The signals that ask a command to end. */
export const END_SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const;

/** The reason of an abort by signal. */
export class Interrupted extends Error {
  readonly signalName: NodeJS.Signals;

  constructor(signalName: NodeJS.Signals) {
    super(`interrupted by ${signalName}`);
    this.name = "Interrupted";
    this.signalName = signalName;
  }
}

/** @returns true when the signal is dealt with; false: the process should end at once. */
type Receiver = (signalName: NodeJS.Signals) => boolean;

/** Where signals go. A command that has something to clean up asks for them; else they end it. */
export class Interrupts {
  #receiver: Receiver | null = null;
  #abortedBy: NodeJS.Signals | null = null;

  /** The signal that aborted the command, if one did. */
  get abortedBy(): NodeJS.Signals | null {
    return this.#abortedBy;
  }

  /** Gives every later signal to `receiver`, until disposed. */
  receive(receiver: Receiver): Disposable {
    this.#receiver = receiver;
    return {
      [Symbol.dispose]: () => {
        if (this.#receiver === receiver) this.#receiver = null;
      },
    };
  }

  /**
   * Makes the first signal abort, with an `Interrupted` as the reason, so that the command can clean
   * up; a second one ends the process as if nobody had asked.
   */
  abortable(): Disposable & { readonly signal: AbortSignal } {
    const controller = new AbortController();
    const received = this.receive((signalName) => {
      if (controller.signal.aborted) return false;
      this.#abortedBy = signalName;
      controller.abort(new Interrupted(signalName));
      return true;
    });
    return { signal: controller.signal, [Symbol.dispose]: () => received[Symbol.dispose]() };
  }

  /** @returns false when the process should end at once. */
  deliver(signalName: NodeJS.Signals): boolean {
    return this.#receiver?.(signalName) ?? false;
  }
}
