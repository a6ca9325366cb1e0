// Sizes, durations, counts and times as people write and read them.

import { Fault } from "../model/fault.js";

const SIZE_UNITS: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  k: 2 ** 10,
  m: 2 ** 20,
  g: 2 ** 30,
  t: 2 ** 40,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
};

const TIME_UNITS_MS: Readonly<Record<string, number>> = {
  ms: 1,
  "": 1_000,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
};

const LIFETIME_UNITS_MS: Readonly<Record<string, number>> = {
  ...TIME_UNITS_MS,
  d: 86_400_000,
  w: 7 * 86_400_000,
};

/** setTimeout takes no more than 2^31 - 1. */
const MAX_DURATION_MS = 2_147_483_647;

/**
 * A size in bytes: `10GB` (powers of ten), `500MiB` or `500M` (powers of two), or a plain number.
 * @throws Fault `usage` naming `option`.
 */
export function parseSize(text: string, option: string): number {
  const bytes = parseQuantity(text, SIZE_UNITS);
  if (bytes === null || bytes < 1) {
    throw new Fault("usage", `${option} takes a size such as 10GB or 500MiB; got "${text}"`);
  }
  return bytes;
}

/**
 * A duration in milliseconds: `500ms`, `30s`, `5m`, `1h`, or a number of seconds.
 * @throws Fault `usage` naming `option`.
 */
export function parseDurationMs(text: string, option: string): number {
  const durationMs = parseQuantity(text, TIME_UNITS_MS);
  if (durationMs === null || durationMs < 1 || durationMs > MAX_DURATION_MS) {
    throw new Fault("usage", `${option} takes a time such as 30s or 5m; got "${text}"`);
  }
  return durationMs;
}

/**
 * How long something is kept, in milliseconds: as a duration, and in days or weeks, `30d`, `2w`; may
 * be zero.
 * @throws Fault `usage` naming `option`.
 */
export function parseLifetimeMs(text: string, option: string): number {
  const durationMs = parseQuantity(text, LIFETIME_UNITS_MS);
  if (durationMs === null) {
    throw new Fault("usage", `${option} takes a time such as 30d or 12h; got "${text}"`);
  }
  return durationMs;
}

/** @throws Fault `usage` unless `text` is a whole number of at least 1. */
export function parseCount(text: string, option: string): number {
  const count = /^\d+$/.test(text) ? Number(text) : 0;
  if (count < 1 || !Number.isSafeInteger(count)) {
    throw new Fault("usage", `${option} takes a whole number of at least 1; got "${text}"`);
  }
  return count;
}

function parseQuantity(text: string, units: Readonly<Record<string, number>>): number | null {
  const match = /^(\d+(?:\.\d+)?) ?([A-Za-z]*)$/.exec(text.trim());
  const unit = match?.[2]?.toLowerCase() ?? "";
  if (match === null || !Object.hasOwn(units, unit)) return null;
  const value = Math.round(Number(match[1]) * (units[unit] ?? 1));
  return Number.isSafeInteger(value) ? value : null;
}

const BYTE_STEPS = ["B", "kB", "MB", "GB", "TB", "PB"] as const;

/** `104 B`, `1.2 kB`, `34 MB`: powers of ten, two digits at least. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let step = 0;
  // 999.5 kB would be written as "1000 kB".
  while (value >= (step === 0 ? 1000 : 999.5) && step < BYTE_STEPS.length - 1) {
    value /= 1000;
    step += 1;
  }
  const digits = step === 0 || value >= 9.95 ? 0 : 1;
  return `${value.toFixed(digits)} ${BYTE_STEPS[step] ?? ""}`;
}

/** `1,234,567`. */
export function formatCount(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, ",");
}

/** `1 file`, `2 files`. */
export function plural(count: number, noun: string): string {
  return `${formatCount(count)} ${noun}${count === 1 ? "" : "s"}`;
}

/** `450 ms`, `12 s`, `3 min`, `2 h`, `30 d`. */
export function formatDuration(durationMs: number): string {
  if (durationMs < 1_000) return `${Math.round(durationMs)} ms`;
  if (durationMs < 120_000) return `${Math.round(durationMs / 1_000)} s`;
  if (durationMs < 7_200_000) return `${Math.round(durationMs / 60_000)} min`;
  if (durationMs < 172_800_000) return `${Math.round(durationMs / 3_600_000)} h`;
  return `${Math.round(durationMs / 86_400_000)} d`;
}

/** `2026-11-23 14:21` in the local time zone, of an ISO 8601 time or milliseconds since 1970. */
export function formatTime(moment: string | number): string {
  const time = new Date(moment);
  const two = (value: number): string => String(value).padStart(2, "0");
  const date = `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`;
  return `${date} ${two(time.getHours())}:${two(time.getMinutes())}`;
}
