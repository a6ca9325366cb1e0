// Collects changes by key and writes them together: one transaction for many rows. What it holds is
// lost when the process dies, so only what can be learnt again may go through it.

const LONGEST_WAIT_MS = 200;
/** A transaction of this many rows stays well under 5 ms. */
const MOST_ROWS = 256;

export class WriteBehind<Key, Value> {
  #pending = new Map<Key, Value>();
  #timer: NodeJS.Timeout | null = null;
  readonly #write: (changes: ReadonlyMap<Key, Value>) => void;

  /** @param write Writes all changes at once; must not throw. */
  constructor(write: (changes: ReadonlyMap<Key, Value>) => void) {
    this.#write = write;
  }

  /** The change that waits for `key`, which is newer than what is written. */
  get(key: Key): Value | undefined {
    return this.#pending.get(key);
  }

  set(key: Key, value: Value): void {
    this.#pending.set(key, value);
    if (this.#pending.size >= MOST_ROWS) {
      this.flush();
      return;
    }
    this.#timer ??= setTimeout(() => {
      this.flush();
    }, LONGEST_WAIT_MS).unref();
  }

  flush(): void {
    const changes = this.#pending;
    this.clear();
    if (changes.size > 0) this.#write(changes);
  }

  /** Drops what waits. */
  clear(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#pending = new Map();
  }
}
