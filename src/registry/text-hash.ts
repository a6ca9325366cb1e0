// A hash over many short pieces of text, fed to the hash in larger ones.

import { createHash, type Hash } from "node:crypto";

const BATCH_CHARACTERS = 1 << 16;

export class TextHash {
  readonly #hash: Hash;
  #batch = "";

  constructor(algorithm: "md5" | "sha256", header: string) {
    this.#hash = createHash(algorithm);
    this.#batch = header;
  }

  /** Appends `text`, as UTF-8. */
  add(text: string): void {
    this.#batch += text;
    if (this.#batch.length >= BATCH_CHARACTERS) this.#flush();
  }

  /** Lower-case hex; nothing may be added afterwards. */
  finish(): string {
    this.#flush();
    return this.#hash.digest("hex");
  }

  #flush(): void {
    this.#hash.update(this.#batch, "utf8");
    this.#batch = "";
  }
}
