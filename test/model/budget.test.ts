import { expect, it } from "vitest";
import { Budget } from "../../src/model/budget.js";

const never = new AbortController().signal;

it("serves strictly in order, so that a large request is not overtaken", async () => {
  const budget = new Budget(10);
  const first = await budget.acquire(8, never);
  const served: string[] = [];
  const large = budget.acquire(9, never).then((release) => {
    served.push("large");
    return release;
  });
  const small = budget.acquire(1, never).then((release) => {
    served.push("small");
    return release;
  });
  expect(budget.tryAcquire(1)).toBeNull();
  first();
  first();
  await Promise.all([large, small]);
  expect(served).toEqual(["large", "small"]);
  (await large)();
  (await small)();
  expect(budget.free).toBe(10);
});

it("gives more than there is as everything there is", async () => {
  const budget = new Budget(10);
  const release = await budget.acquire(1000, never);
  expect(budget.free).toBe(0);
  release();
  expect(budget.free).toBe(10);
});

it("lets one that gives up go, and serves those behind it", async () => {
  const budget = new Budget(10);
  const first = await budget.acquire(5, never);
  const abort = new AbortController();
  const large = budget.acquire(10, abort.signal);
  const small = budget.acquire(5, never);
  abort.abort(new Error("enough"));
  await expect(large).rejects.toThrow("enough");
  (await small)();
  first();
  expect(budget.free).toBe(10);
  await expect(budget.acquire(1, abort.signal)).rejects.toThrow("enough");
});
