import { expect, test } from "vitest";
import {
  formatBytes,
  formatCount,
  formatDuration,
  parseCount,
  parseDurationMs,
  parseLifetimeMs,
  parseSize,
  plural,
} from "../../src/cli/units.js";
import { Fault } from "../../src/model/fault.js";

test.each([
  ["1", 1],
  ["512B", 512],
  ["10GB", 10e9],
  ["10 GB", 10e9],
  ["1.5kB", 1500],
  ["500MiB", 500 * 2 ** 20],
  ["500m", 500 * 2 ** 20],
  ["2TiB", 2 ** 41],
])("the size %s is %d bytes", (text, bytes) => {
  expect(parseSize(text, "--cache-size")).toBe(bytes);
});

test.each(["", "0", "-1", "GB", "10XB", "1e9", "0.1", "10 G B", "9999999TB"])(
  "%j is no size",
  (text) => {
    expect(() => parseSize(text, "--cache-size")).toThrow(/--cache-size takes a size/);
  },
);

test.each([
  ["30s", 30_000],
  ["30", 30_000],
  ["5m", 300_000],
  ["250ms", 250],
  ["1h", 3_600_000],
])("the time %s is %d ms", (text, durationMs) => {
  expect(parseDurationMs(text, "--timeout")).toBe(durationMs);
});

test.each(["", "0", "-5s", "5 minutes", "1000h"])("%j is no time", (text) => {
  expect(() => parseDurationMs(text, "--timeout")).toThrow(Fault);
});

test("a lifetime is a duration, and may be days or weeks", () => {
  expect(["30d", "2w", "12h", "90s", "0s"].map((text) => parseLifetimeMs(text, "--ttl"))).toEqual([
    2_592_000_000, 1_209_600_000, 43_200_000, 90_000, 0,
  ]);
  for (const text of ["", "-1d", "30x", "d"]) {
    expect(() => parseLifetimeMs(text, "--ttl")).toThrow(/--ttl takes a time such as 30d/);
  }
});

test("a count is a whole number of at least one", () => {
  expect(parseCount("10000", "--max-objects")).toBe(10_000);
  for (const text of ["0", "-1", "1.5", "many", ""]) {
    expect(() => parseCount(text, "--max-objects")).toThrow(/--max-objects/);
  }
});

test("bytes are written with two digits at least and a unit", () => {
  const written = [0, 999, 1000, 1234, 9949, 9950, 999_499, 999_500, 67_108_864, 2e12].map(
    formatBytes,
  );
  expect(written).toEqual([
    "0 B",
    "999 B",
    "1.0 kB",
    "1.2 kB",
    "9.9 kB",
    "10 kB",
    "999 kB",
    "1.0 MB",
    "67 MB",
    "2.0 TB",
  ]);
});

test("counts are grouped and nouns agree with them", () => {
  expect(formatCount(1_234_567)).toBe("1,234,567");
  expect(plural(1, "file")).toBe("1 file");
  expect(plural(20_000, "file")).toBe("20,000 files");
});

test("durations are rounded to what matters", () => {
  expect([450, 1500, 180_000, 7_200_000].map(formatDuration)).toEqual([
    "450 ms",
    "2 s",
    "3 min",
    "2 h",
  ]);
});
