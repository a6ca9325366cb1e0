// Progress on stderr: one live line on a terminal, a line every few seconds elsewhere.

/** Least time between two lines where nobody watches a terminal, in milliseconds. */
const LOG_INTERVAL_MS = 5_000;
/** Least time between two drawings of the live line, in milliseconds. */
const DRAW_INTERVAL_MS = 100;

/** The part of a process stream that is used. */
export interface OutputStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/** Shows how far a long command is. Costs nothing when it is updated often. */
export class Progress implements Disposable {
  readonly #stream: OutputStream | null;
  readonly #now: () => number;
  readonly #live: boolean;
  #shownMs: number;
  #drawn = false;

  /** @param stream null: show nothing. */
  constructor(stream: OutputStream | null, now: () => number = () => performance.now()) {
    this.#stream = stream;
    this.#now = now;
    this.#live = stream?.isTTY === true;
    // A command that is done within the first interval says nothing.
    this.#shownMs = now();
  }

  /** Shows what `line` gives, unless something was shown a moment ago. */
  update(line: () => string): void {
    if (this.#stream === null) return;
    const nowMs = this.#now();
    if (nowMs - this.#shownMs < (this.#live ? DRAW_INTERVAL_MS : LOG_INTERVAL_MS)) return;
    this.#shownMs = nowMs;
    if (!this.#live) {
      this.#stream.write(`${line()}\n`);
      return;
    }
    const width = Math.max(10, (this.#stream.columns ?? 80) - 1);
    this.#stream.write(`\r\x1b[K${Array.from(line()).slice(0, width).join("")}`);
    this.#drawn = true;
  }

  /** Takes the live line away, so that other text can be written. */
  clear(): void {
    if (!this.#drawn) return;
    this.#stream?.write("\r\x1b[K");
    this.#drawn = false;
  }

  [Symbol.dispose](): void {
    this.clear();
  }
}
