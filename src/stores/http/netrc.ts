// Reads a .netrc file as curl does: machine, default, login, password, macdef, quoted values and
// comments. Pure text; `account` is read over.
//
// Written here because the packages for it in the registry know no quotes, no comments, or bring a
// process launcher for encrypted files along.

import { Fault } from "../../model/fault.js";

export interface NetrcEntry {
  /** In lower case; null for the `default` entry. */
  readonly machine: string | null;
  readonly login: string;
  readonly password: string;
}

/** @throws Fault `usage` for a quote that does not end on its line; repeats nothing of the file. */
export function parseNetrc(text: string, path: string): readonly NetrcEntry[] {
  const entries: { machine: string | null; login: string; password: string }[] = [];
  const tokens = tokensOf(text, path);
  for (const token of tokens) {
    const entry = entries.at(-1);
    switch (token) {
      case "machine":
        entries.push({ machine: next(tokens).toLowerCase(), login: "", password: "" });
        break;
      case "default":
        entries.push({ machine: null, login: "", password: "" });
        break;
      case "login":
        if (entry !== undefined) entry.login = next(tokens);
        break;
      case "password":
        if (entry !== undefined) entry.password = next(tokens);
        break;
      case "account":
        next(tokens);
        break;
    }
  }
  return entries;
}

/** The entry for a host: the first that names it, else the first `default`. */
export function findEntry(entries: readonly NetrcEntry[], host: string): NetrcEntry | undefined {
  const wanted = host.replace(/^\[|\]$/g, "").toLowerCase();
  return (
    entries.find(({ machine }) => machine === wanted) ??
    entries.find(({ machine }) => machine === null)
  );
}

function next(tokens: Iterator<string, undefined>): string {
  return tokens.next().value ?? "";
}

function* tokensOf(text: string, path: string): Generator<string, undefined> {
  let inMacro = false;
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    // The commands of a macro end at an empty line.
    if (inMacro) {
      inMacro = line !== "";
      continue;
    }
    for (const [raw, plain, quoted] of line.matchAll(
      /([^\s"#]\S*)|"((?:[^"\\]|\\.)*)"|#.*|"[^]*/g,
    )) {
      if (plain === "macdef") {
        inMacro = true;
        break;
      }
      if (plain !== undefined) yield plain;
      else if (quoted !== undefined) yield unescape(quoted);
      else if (raw.startsWith('"')) throw unclosed(path, index + 1);
    }
  }
  return undefined;
}

function unescape(quoted: string): string {
  const meaning: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t" };
  return quoted.replace(/\\(.)/g, (_match, letter: string) => meaning[letter] ?? letter);
}

function unclosed(path: string, line: number): Fault {
  return new Fault("usage", `Line ${line} of ${path} begins a quote that does not end`, {
    subject: path,
  });
}
