// Headers that the user wants sent, from REFMOUNT_HTTP_HEADERS. They may be tokens, so each is tied to
// an origin (scheme, host and port), and "*" has to be written to send one everywhere. Two forms:
//
//   {"https://data.example.com": {"Authorization": "Bearer ..."}, "*": {"User-Agent": "lab 7"}}
//
//   https://data.example.com Authorization: Bearer ...
//   * User-Agent: lab 7
//
// What names the origin wins over "*", name by name. No message repeats a value.

import { validateHeaderName, validateHeaderValue } from "node:http";
import { Fault } from "../../model/fault.js";

/** By origin as URL spells it, or "*"; names in lower case. */
export type ConfiguredHeaders = ReadonlyMap<string, Readonly<Record<string, string>>>;

const EVERYWHERE = "*";

/** What a request for an object needs for itself, and what belongs to one connection. */
const RESERVED =
  /^(host|range|if-.*|accept-encoding|connection|keep-alive|content-.*|transfer-encoding|te|trailer|upgrade|expect|want-.*|proxy-.*)$/;

/** @throws Fault `usage` for a text that is neither form. */
export function parseHeaders(text: string): ConfiguredHeaders {
  const scopes = new Map<string, Record<string, string>>();
  for (const { scope, name, value } of text.trimStart().startsWith("{")
    ? fromJson(text)
    : fromLines(text)) {
    const origin = originOf(scope);
    const headers = scopes.get(origin) ?? {};
    headers[checkName(name, value)] = value;
    scopes.set(origin, headers);
  }
  return scopes;
}

/** The headers for a request to `url`. */
export function headersFor(configured: ConfiguredHeaders, url: URL): Record<string, string> {
  return { ...configured.get(EVERYWHERE), ...configured.get(url.origin) };
}

interface Header {
  readonly scope: string;
  readonly name: string;
  readonly value: string;
}

function fromJson(text: string): Header[] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    // The parser's own message quotes the text.
    throw invalid("it begins like JSON and is none");
  }
  return members(parsed).flatMap(([scope, headers]) =>
    members(headers).map(([name, value]) => {
      if (typeof value !== "string") throw invalid("a value of a header is no text");
      return { scope, name, value };
    }),
  );
}

function members(value: unknown): [string, unknown][] {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw invalid('write {"https://host": {"Name": "value"}}, or "*" in place of the host');
  }
  return Object.entries(value);
}

function fromLines(text: string): Header[] {
  return text
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== "")
    .map((line, index) => {
      const [, scope, name, value] = /^(\S+)\s+([^\s:]+)\s*:\s*(.*)$/.exec(line) ?? [];
      if (scope === undefined || name === undefined || value === undefined) {
        throw invalid(
          `line ${index + 1} is not "https://host Name: value", or "*" in place of the host`,
        );
      }
      return { scope, name, value };
    });
}

function originOf(scope: string): string {
  if (scope === EVERYWHERE) return scope;
  const url = URL.canParse(scope) ? new URL(scope) : undefined;
  const plain =
    url !== undefined && /^https?:$/.test(url.protocol) && url.href === `${url.origin}/`;
  if (!plain) {
    throw invalid('headers belong to an origin such as "https://host" or "https://host:8443"');
  }
  return url.origin;
}

function checkName(name: string, value: string): string {
  const lower = name.toLowerCase();
  try {
    validateHeaderName(lower);
  } catch {
    throw invalid("the name of a header holds characters that none may hold");
  }
  if (RESERVED.test(lower)) throw invalid(`${lower} is not for you to set`);
  try {
    validateHeaderValue(lower, value);
  } catch {
    throw invalid(`the value of ${lower} holds characters that none may hold`);
  }
  return lower;
}

function invalid(why: string): Fault {
  return new Fault("usage", `REFMOUNT_HTTP_HEADERS: ${why}`, { subject: "REFMOUNT_HTTP_HEADERS" });
}
