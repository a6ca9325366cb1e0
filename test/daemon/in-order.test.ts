import { expect, test } from "vitest";
import { inOrder, type InOrderOptions } from "../../src/daemon/in-order.js";
import { deferred } from "../../src/model/deferred.js";

const FREE = new AbortController().signal;

function limits(options: Partial<InOrderOptions> = {}): InOrderOptions {
  return { atOnce: 4, window: 16, signal: FREE, ...options };
}

async function collect<T>(results: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const result of results) all.push(result);
  return all;
}

test("results come in the order of the items, whichever work ends first", async () => {
  const [a, b, c] = [deferred<string>(), deferred<string>(), deferred<string>()];
  const results = collect(inOrder([a, b, c], limits(), (item) => item.promise));
  c.resolve("c");
  b.resolve("b");
  a.resolve("a");
  expect(await results).toEqual(["a", "b", "c"]);
});

test("never more than the limit are worked on at once, and all of them are", async () => {
  let running = 0;
  let most = 0;
  const items = Array.from({ length: 100 }, (_, index) => index);
  const results = await collect(
    inOrder(items, limits({ atOnce: 3 }), async (item) => {
      running += 1;
      most = Math.max(most, running);
      await new Promise(setImmediate);
      running -= 1;
      return item;
    }),
  );
  expect(results).toEqual(items);
  expect(most).toBe(3);
});

test("the source is read no further ahead than the window", async () => {
  let taken = 0;
  function* source(): Generator<number> {
    for (;;) yield taken++;
  }
  const results = inOrder(source(), limits({ window: 5 }), (item) => Promise.resolve(item));
  await results.next();
  expect(taken).toBe(5);
  await results.return(undefined);
});

test("the first error ends it after the work in flight was aborted and is over", async () => {
  let over = 0;
  const work = async (item: number, signal: AbortSignal): Promise<number> => {
    if (item === 3) throw new Error("broken");
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      else signal.addEventListener("abort", () => resolve());
    });
    over += 1;
    throw new Error("aborted, told in other words");
  };
  await expect(collect(inOrder([0, 1, 2, 3], limits(), work))).rejects.toThrow("broken");
  expect(over).toBe(3);
});

test("an error of the source is thrown after the work in flight is over", async () => {
  let over = false;
  async function* source(): AsyncGenerator<number> {
    yield 1;
    await Promise.resolve();
    throw new Error("listing broke");
  }
  const results = collect(
    inOrder(source(), limits(), async (item) => {
      await new Promise(setImmediate);
      over = true;
      return item;
    }),
  );
  await expect(results).rejects.toThrow("listing broke");
  expect(over).toBe(true);
});

test("the signal's reason is thrown", async () => {
  const controller = new AbortController();
  const results = collect(
    inOrder([1, 2, 3], limits({ signal: controller.signal, atOnce: 1 }), async (item, signal) => {
      controller.abort(new Error("enough"));
      await new Promise(setImmediate);
      signal.throwIfAborted();
      return item;
    }),
  );
  await expect(results).rejects.toThrow("enough");
});

test("work in flight may listen to its signal, however many there are, without a warning", async () => {
  const warnings: Error[] = [];
  const onWarning = (warning: Error): void => void warnings.push(warning);
  process.on("warning", onWarning);
  try {
    const items = Array.from({ length: 50 }, (_, index) => index);
    const work = async (_: number, signal: AbortSignal): Promise<void> => {
      const heard = (): void => undefined;
      signal.addEventListener("abort", heard);
      await new Promise(setImmediate);
      signal.removeEventListener("abort", heard);
    };
    await collect(inOrder(items, limits({ atOnce: 32, window: 64 }), work));
    expect(warnings).toEqual([]);
  } finally {
    process.off("warning", onWarning);
  }
});

test("what needs no work keeps its turn among what does", async () => {
  let worked = 0;
  const work = async (item: number): Promise<string> => {
    worked += 1;
    await new Promise((resolve) => setImmediate(resolve));
    return `worked ${item}`;
  };
  const instant = (item: number): string | undefined =>
    item % 3 === 0 ? undefined : `instant ${item}`;
  const items = Array.from({ length: 10 }, (_, index) => index);
  const results = await collect(inOrder(items, limits({ atOnce: 2, window: 4 }), work, instant));
  expect(results).toEqual(items.map((item) => `${item % 3 === 0 ? "worked" : "instant"} ${item}`));
  expect(worked).toBe(4);
});
