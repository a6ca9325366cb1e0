import { describe, expect, test } from "vitest";
import { Fault } from "../../src/model/fault.js";
import { retry, withRetry } from "../../src/stores/retry.js";

const away = (): Fault => new Fault("unavailable", "away");

describe("retry", () => {
  test("an unavailable store is asked again until it answers", async () => {
    let calls = 0;
    const result = await retry(
      () => {
        calls += 1;
        return calls < 3 ? Promise.reject(away()) : Promise.resolve("bytes");
      },
      { timeoutMs: 60_000 },
    );
    expect([result, calls]).toEqual(["bytes", 3]);
  });

  test.each(["denied", "drifted", "corrupt", "not-found", "usage"] as const)(
    "%s is final",
    async (kind) => {
      let calls = 0;
      const fault = new Fault(kind, "final");
      const operation = (): Promise<never> => {
        calls += 1;
        return Promise.reject(fault);
      };
      await expect(retry(operation, { timeoutMs: 60_000 })).rejects.toBe(fault);
      expect(calls).toBe(1);
    },
  );

  test("a bug is not retried", async () => {
    const bug = new TypeError("bug");
    await expect(retry(() => Promise.reject(bug), { timeoutMs: 60_000 })).rejects.toBe(bug);
  });

  test("the last fault is thrown as it is when time is up", async () => {
    const faults: Fault[] = [];
    const operation = (): Promise<never> => {
      const fault = away();
      faults.push(fault);
      return Promise.reject(fault);
    };
    const error = await retry(operation, { timeoutMs: 30 }).catch((thrown: unknown) => thrown);
    expect(error).toBe(faults.at(-1));
    expect(faults.length).toBeGreaterThan(1);
  });

  test("progress starts the time anew", async () => {
    let calls = 0;
    const begin = performance.now();
    const result = await retry(
      async (attempt) => {
        calls += 1;
        // Every attempt lasts longer than the whole timeout, but gets somewhere.
        while (performance.now() - begin < calls * 25) await Promise.resolve();
        attempt.progress();
        if (calls < 4) throw away();
        return attempt.number;
      },
      { timeoutMs: 20 },
    );
    expect([result, calls]).toEqual([3, 4]);
  });

  test("waits are jittered below a doubling limit and respect the server's wish", async () => {
    const delays: number[] = [];
    let calls = 0;
    await retry(
      () => {
        calls += 1;
        if (calls === 1)
          return Promise.reject(new Fault("unavailable", "slow", { retryAfterMs: 40 }));
        return calls < 4 ? Promise.reject(away()) : Promise.resolve();
      },
      { timeoutMs: 60_000, onRetry: (_fault, delayMs) => delays.push(delayMs) },
    );
    expect(delays[0]).toBeGreaterThanOrEqual(40);
    expect(delays[1]).toBeLessThanOrEqual(200);
    expect(delays[2]).toBeLessThanOrEqual(400);
  });

  test("the signal ends a wait with its reason", async () => {
    const controller = new AbortController();
    const reason = new Error("enough");
    const running = retry(
      () => Promise.reject(new Fault("unavailable", "away", { retryAfterMs: 30_000 })),
      { timeoutMs: 60_000, signal: controller.signal, onRetry: () => controller.abort(reason) },
    );
    await expect(running).rejects.toBe(reason);
  });

  test("a fetch is opened again with the same arguments", async () => {
    const seen: unknown[] = [];
    const fetch = withRetry(
      (entry, range) => {
        seen.push([entry.uri, range]);
        return Promise.reject(seen.length < 2 ? away() : new Fault("denied", "no"));
      },
      { timeoutMs: 60_000 },
    );
    const entry = {
      path: "a",
      sizeBytes: 1,
      entryDigest: "",
      uri: "s3://b/a",
      pin: {},
      digests: {},
      claims: [],
      chunks: null,
      mtimeMs: null,
    };
    const range = { start: 0, end: 1 };
    await expect(fetch(entry, range, new AbortController().signal)).rejects.toThrow("no");
    expect(seen).toEqual([
      ["s3://b/a", range],
      ["s3://b/a", range],
    ]);
  });
});
