import { setImmediate as immediately } from "node:timers/promises";
import { expect, test } from "vitest";
import { readAhead } from "../../src/daemon/read-ahead.js";

/** A source of pages that says what it was asked for. */
function pagesOf(pages: number, size: number, asked: string[]) {
  return async function* (signal: AbortSignal): AsyncGenerator<number> {
    try {
      for (let page = 0; page < pages; page++) {
        asked.push(`page ${page}`);
        await immediately();
        signal.throwIfAborted();
        for (let row = 0; row < size; row++) yield page * size + row;
      }
    } finally {
      asked.push("closed");
    }
  };
}

const signal = new AbortController().signal;

test("the items come in order, and the next page is asked for before one is read", async () => {
  const asked: string[] = [];
  const seen: number[] = [];
  const askedAtFirst: string[][] = [];
  for await (const item of readAhead(pagesOf(3, 4, asked), { most: 100, signal })) {
    if (item % 4 === 0) askedAtFirst.push([...asked]);
    seen.push(item);
  }
  expect(seen).toEqual(Array.from({ length: 12 }, (_, index) => index));
  expect(askedAtFirst[0]).toEqual(["page 0", "page 1"]);
  expect(askedAtFirst[1]?.slice(0, 3)).toEqual(["page 0", "page 1", "page 2"]);
  expect(asked.at(-1)).toBe("closed");
});

test("no more is taken ahead than allowed", async () => {
  const asked: string[] = [];
  const reader = readAhead(pagesOf(50, 10, asked), { most: 20, signal });
  expect(await reader.next()).toEqual({ done: false, value: 0 });
  for (let turn = 0; turn < 100; turn++) await immediately();
  // The twenty that the reader has, and twenty more.
  expect(asked.length).toBeLessThanOrEqual(5);
  const rest: number[] = [];
  for await (const item of reader) rest.push(item);
  expect(rest).toHaveLength(499);
});

test("an error of the source comes after the items before it", async () => {
  const seen: number[] = [];
  async function* failing(): AsyncGenerator<number> {
    yield 1;
    yield 2;
    await immediately();
    throw new Error("broken");
  }
  const read = async (): Promise<void> => {
    for await (const item of readAhead(failing, { most: 10, signal })) seen.push(item);
  };
  await expect(read()).rejects.toThrow("broken");
  expect(seen).toEqual([1, 2]);
});

test("a reader that leaves ends the source, whatever that waits for", async () => {
  let ended = false;
  async function* waiting(stop: AbortSignal): AsyncGenerator<number> {
    try {
      yield 1;
      await new Promise((_, reject) => {
        stop.addEventListener("abort", () => reject(stop.reason as Error));
      });
    } finally {
      ended = true;
    }
  }
  for await (const item of readAhead(waiting, { most: 10, signal })) {
    expect(item).toBe(1);
    break;
  }
  expect(ended).toBe(true);
});

test("the signal reaches the source, and its reason the reader", async () => {
  const controller = new AbortController();
  const asked: string[] = [];
  const read = async (): Promise<void> => {
    const source = pagesOf(1_000_000, 1, asked);
    for await (const item of readAhead(source, { most: 10, signal: controller.signal })) {
      if (item === 5) controller.abort(new Error("stop"));
    }
  };
  await expect(read()).rejects.toThrow("stop");
  expect(asked.at(-1)).toBe("closed");
});

test("many requests may listen to the signal of the source without a warning", async () => {
  const warnings: Error[] = [];
  const onWarning = (warning: Error): void => void warnings.push(warning);
  process.on("warning", onWarning);
  async function* listening(stop: AbortSignal): AsyncGenerator<number> {
    for (let index = 0; index < 20; index++) stop.addEventListener("abort", () => undefined);
    await immediately();
    yield 1;
  }
  for await (const item of readAhead(listening, { most: 10, signal })) expect(item).toBe(1);
  await immediately();
  process.off("warning", onWarning);
  expect(warnings).toEqual([]);
});
