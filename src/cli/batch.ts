// Output that may be longer than memory holds: written in large pieces as it comes.

import type { OutputStream } from "./progress.js";

const WRITE_CHARACTERS = 65_536;

export class Batch implements Disposable {
  readonly #stream: OutputStream;
  #text = "";

  constructor(stream: OutputStream) {
    this.#stream = stream;
  }

  write(text: string): void {
    this.#text += text;
    if (this.#text.length >= WRITE_CHARACTERS) this.#flush();
  }

  /**
   * Writes one JSON document: an object whose member `name` is an array of `items`, each on a line of its
   * own, and then the members of `rest`.
   * @param rest may be a function, called when all items were taken.
   */
  writeArray(name: string, items: Iterable<object>, rest: object | (() => object)): void {
    this.write(`{\n  ${JSON.stringify(name)}: [`);
    let count = 0;
    for (const item of items) {
      this.write(`${count === 0 ? "" : ","}\n    ${JSON.stringify(item)}`);
      count += 1;
    }
    const members = JSON.stringify(typeof rest === "function" ? rest() : rest, null, 2);
    const tail = members === "{}" ? "\n}" : `,${members.slice(1)}`;
    this.write(`${count === 0 ? "" : "\n  "}]${tail}\n`);
  }

  [Symbol.dispose](): void {
    this.#flush();
  }

  #flush(): void {
    this.#stream.write(this.#text);
    this.#text = "";
  }
}
