// Takes a large JSON object apart, member by member, as its bytes arrive: the object as a whole is never
// in memory. Finds where values end and leaves reading them to JSON.parse.

import { Fault } from "./fault.js";

/** One member, its value still as text. */
export interface JsonMember {
  /** Null for a member of the document itself; else the key that was opened, of which it is a member. */
  readonly of: string | null;
  readonly key: string;
  readonly text: string;
}

/** More than this is no single value of a manifest, in bytes. */
const LONGEST_VALUE_BYTES = 64 * 1_048_576;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;
const COMMA = 0x2c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

/**
 * The members of the JSON object whose bytes are `chunks`; those of the member `opened`, itself an object,
 * come one by one instead of as a whole.
 * @param what names the document in faults.
 * @throws Fault `usage` when it is not one JSON object, or is cut short.
 */
export async function* jsonMembers(
  chunks: AsyncIterable<Uint8Array>,
  opened: string,
  what: string,
): AsyncGenerator<JsonMember> {
  const text = new Window(chunks, what);
  await text.expect(OPEN_BRACE);
  for await (const key of keysOf(text)) {
    if (key !== opened) {
      yield { of: null, key, text: await text.value() };
      continue;
    }
    await text.expect(OPEN_BRACE);
    for await (const inner of keysOf(text))
      yield { of: opened, key: inner, text: await text.value() };
  }
  if ((await text.peek()) !== undefined) throw text.broken("something follows its end");
}

/** The keys of the object that was just opened, each read up to its value; closes the object. */
async function* keysOf(text: Window): AsyncGenerator<string> {
  if ((await text.peek()) === CLOSE_BRACE) {
    text.skip();
    return;
  }
  for (;;) {
    if ((await text.peek()) !== QUOTE) throw text.broken("a key is missing");
    const key = text.parse(await text.value()) as string;
    await text.expect(COLON);
    yield key;
    const next = await text.peek();
    text.skip();
    if (next === CLOSE_BRACE) return;
    if (next !== COMMA) throw text.broken("a comma is missing");
  }
}

/** The bytes that have arrived and are not taken yet. */
class Window {
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #what: string;
  #bytes = Buffer.alloc(0);
  #at = 0;
  #ended = false;

  constructor(chunks: AsyncIterable<Uint8Array>, what: string) {
    this.#chunks = chunks[Symbol.asyncIterator]();
    this.#what = what;
  }

  broken(why: string): Fault {
    return new Fault("usage", `${this.#what} is not JSON as it should be: ${why}`);
  }

  parse(text: string): unknown {
    try {
      return JSON.parse(text);
    } catch (cause) {
      throw this.broken((cause as Error).message);
    }
  }

  /** The next byte that is no white space, not taken; undefined at the end. */
  async peek(): Promise<number | undefined> {
    for (;;) {
      while (this.#at < this.#bytes.length) {
        const byte = this.#bytes[this.#at];
        if (byte === undefined || !isSpace(byte)) return byte;
        this.#at += 1;
      }
      if (!(await this.#more())) return undefined;
    }
  }

  skip(): void {
    this.#at += 1;
  }

  async expect(byte: number): Promise<void> {
    if ((await this.peek()) !== byte) {
      throw this.broken(
        this.#ended ? "it is cut short" : `"${String.fromCharCode(byte)}" is missing`,
      );
    }
    this.skip();
  }

  /** Takes one whole value, as text. */
  async value(): Promise<string> {
    if ((await this.peek()) === undefined) throw this.broken("it is cut short");
    let end = endOfValue(this.#bytes, this.#at);
    while (end < 0) {
      if (this.#bytes.length - this.#at > LONGEST_VALUE_BYTES)
        throw this.broken("a value is too long");
      if (!(await this.#more())) throw this.broken("it is cut short");
      end = endOfValue(this.#bytes, this.#at);
    }
    const text = this.#bytes.toString("utf8", this.#at, end);
    this.#at = end;
    return text;
  }

  async #more(): Promise<boolean> {
    const next = await this.#chunks.next();
    if (next.done === true) {
      this.#ended = true;
      return false;
    }
    const rest = this.#bytes.subarray(this.#at);
    this.#bytes = rest.length === 0 ? Buffer.from(next.value) : Buffer.concat([rest, next.value]);
    this.#at = 0;
    return true;
  }
}

/** Where the value that begins at `start` ends; -1 when that is not there yet. */
function endOfValue(bytes: Buffer, start: number): number {
  const first = bytes[start];
  if (first === QUOTE) return endOfString(bytes, start);
  if (first !== OPEN_BRACE && first !== OPEN_BRACKET) return endOfScalar(bytes, start);
  let depth = 0;
  for (let at = start; at < bytes.length; at++) {
    switch (bytes[at]) {
      case QUOTE:
        at = endOfString(bytes, at) - 1;
        if (at < 0) return -1;
        break;
      case OPEN_BRACE:
      case OPEN_BRACKET:
        depth += 1;
        break;
      case CLOSE_BRACE:
      case CLOSE_BRACKET:
        depth -= 1;
        if (depth === 0) return at + 1;
        break;
      default:
    }
  }
  return -1;
}

function endOfString(bytes: Buffer, start: number): number {
  for (let at = bytes.indexOf(QUOTE, start + 1); at >= 0; at = bytes.indexOf(QUOTE, at + 1)) {
    let backslashes = 0;
    while (bytes[at - 1 - backslashes] === BACKSLASH) backslashes += 1;
    if (backslashes % 2 === 0) return at + 1;
  }
  return -1;
}

function endOfScalar(bytes: Buffer, start: number): number {
  for (let at = start; at < bytes.length; at++) {
    const byte = bytes[at] ?? 0;
    const ends = byte === COMMA || byte === CLOSE_BRACE || byte === CLOSE_BRACKET || isSpace(byte);
    if (ends) return at;
  }
  return -1;
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}
