// Positional reads of an immutable local file through a small cache of pages, so that a binary search
// costs a few system calls and a file of any size costs no load and little memory.

import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { LRUCache } from "lru-cache";

const PAGE_BYTES = 65_536;
/** 16 MiB in all. */
const MAX_PAGES = 256;

export class PagedFile implements Disposable {
  readonly sizeBytes: number;
  readonly #fd: number;
  readonly #pages = new LRUCache<number, Buffer>({ max: MAX_PAGES });

  /** @throws the error of open(2), with its `code`. */
  constructor(path: string) {
    this.#fd = openSync(path, "r");
    this.sizeBytes = fstatSync(this.#fd).size;
  }

  /** `length` bytes from `offset`, perhaps shared with the cache: not to be changed. Short at the end. */
  read(offset: number, length: number): Buffer {
    const first = Math.floor(offset / PAGE_BYTES);
    const last = Math.floor((offset + Math.max(length, 1) - 1) / PAGE_BYTES);
    const start = offset - first * PAGE_BYTES;
    if (first === last) return this.#page(first).subarray(start, start + length);
    const pages: Buffer[] = [];
    for (let index = first; index <= last; index++) pages.push(this.#page(index));
    return Buffer.concat(pages).subarray(start, start + length);
  }

  [Symbol.dispose](): void {
    this.#pages.clear();
    closeSync(this.#fd);
  }

  #page(index: number): Buffer {
    const known = this.#pages.get(index);
    if (known !== undefined) return known;
    const page = Buffer.allocUnsafe(PAGE_BYTES);
    let filled = 0;
    while (filled < PAGE_BYTES) {
      const got = readSync(
        this.#fd,
        page,
        filled,
        PAGE_BYTES - filled,
        index * PAGE_BYTES + filled,
      );
      if (got === 0) break;
      filled += got;
    }
    const whole = page.subarray(0, filled);
    this.#pages.set(index, whole);
    return whole;
  }
}
