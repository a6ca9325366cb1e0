// The options by which ls leaves out versions.

import { Option, type Command } from "commander";
import { Fault } from "../model/fault.js";
import type { VersionFilter } from "../daemon/browse.js";
import { parseLifetimeMs } from "./units.js";
import { repeatable } from "./verb.js";

export interface FilterOptions {
  readonly type?: string;
  readonly tag?: readonly string[];
  readonly metadata?: readonly string[];
  readonly since?: number;
  readonly before?: number;
}

/** A day, or a moment; without a zone it is local time, as ls shows it. */
const MOMENT = /^\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?$/;
const AGO = /^\d+(?:\.\d+)?[a-z]+$/;

export function addFilterOptions(command: Command): Command {
  const moment = (flags: string, what: string): Option =>
    new Option(flags, what).argParser((text) => parseMoment(text, flags));
  return command
    .option("--type <type>", "only artifacts of this type")
    .option("--tag <tag>", "only versions with this tag; repeatable: with all of them", repeatable)
    .option(
      "--metadata <key[=value]>",
      "only versions whose metadata have it; repeatable: all of them",
      repeatable,
    )
    .addOption(
      moment("--since <time>", "only versions logged then or later: 2026-11-25, 7d (days ago)"),
    )
    .addOption(moment("--before <time>", "only versions logged earlier"));
}

/** True when versions are asked for, not artifacts. */
export function asksForVersions({ tag, metadata, since, before }: FilterOptions): boolean {
  return [tag, metadata, since, before].some((option) => option !== undefined);
}

export function toFilter(options: FilterOptions): VersionFilter {
  return {
    type: options.type ?? null,
    tags: options.tag ?? [],
    metadata: (options.metadata ?? []).map(parseWanted),
    sinceMs: options.since ?? -Infinity,
    beforeMs: options.before ?? Infinity,
  };
}

/** `7` may have been recorded as a number or as a text: either is meant. */
function parseWanted(text: string): VersionFilter["metadata"][number] {
  const at = text.indexOf("=");
  if (at === -1) return { key: text, anyOf: [] };
  const [key, value] = [text.slice(0, at), text.slice(at + 1)];
  try {
    return { key, anyOf: [value, JSON.parse(value) as unknown] };
  } catch {
    return { key, anyOf: [value] };
  }
}

/** @throws Fault `usage` */
export function parseMoment(text: string, option: string): number {
  if (AGO.test(text)) return Date.now() - parseLifetimeMs(text, option);
  // A bare date is UTC for Date; with a time it is local.
  const parsed = MOMENT.test(text) ? Date.parse(text.length === 10 ? `${text}T00:00` : text) : NaN;
  if (Number.isNaN(parsed)) {
    throw new Fault(
      "usage",
      `${option}: "${text}" is neither a time such as 2026-11-25 or 2026-11-25T18:30Z nor one ago such as 7d`,
    );
  }
  return parsed;
}
