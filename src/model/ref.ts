// A ref names a version: `[entity/][project/]name[:alias]`. It ends at the first `/` after its `:`,
// so `ls mnist:v3/train` is a ref and a path.

import { Fault } from "./fault.js";

export interface Ref {
  /** Null: the user's own. */
  readonly entity: string | null;
  /** Null: the default project. */
  readonly project: string | null;
  readonly name: string;
  /** A version (`v3`) or an alias; `latest` when none is written. */
  readonly alias: string;
}

const GRAMMAR = "[entity/][project/]name[:alias]";
const MAX_PART_CHARACTERS = 128;
const NAME = /^[a-zA-Z0-9_\-.]+$/;
const VERSION = /^v(0|[1-9][0-9]*)$/;

/**
 * Parses a ref.
 * @throws Fault `usage` naming the part that is wrong.
 */
export function parseRef(text: string): Ref {
  const colon = text.indexOf(":");
  const base = colon < 0 ? text : text.slice(0, colon);
  const alias = colon < 0 ? "latest" : text.slice(colon + 1);
  const parts = base.split("/");
  const name = parts.at(-1);
  if (name === undefined || parts.length > 3) {
    throw new Fault("usage", `"${text}" is not a ref: a ref is ${GRAMMAR}`);
  }
  const [project = null, entity = null] = parts.slice(0, -1).reverse();
  if (entity !== null) checkPart("entity", entity, text);
  if (project !== null) checkPart("project", project, text);
  checkName(name);
  checkAlias(alias);
  return { entity, project, name, alias };
}

/** Splits `ref[/path]`: the path begins at the first `/` after the `:`; a ref without `:` has none. */
export function splitRefPath(text: string): { ref: string; path: string } {
  const colon = text.indexOf(":");
  const slash = colon < 0 ? -1 : text.indexOf("/", colon);
  return slash < 0
    ? { ref: text, path: "" }
    : { ref: text.slice(0, slash), path: text.slice(slash + 1) };
}

export function formatRef(ref: Ref): string {
  const base = [ref.entity, ref.project, ref.name].filter((part) => part !== null).join("/");
  return `${base}:${ref.alias}`;
}

/** @throws Fault `usage` unless `name` may name an artifact. */
export function checkName(name: string): string {
  if (name.length > MAX_PART_CHARACTERS) {
    throw new Fault(
      "usage",
      `An artifact name has at most ${MAX_PART_CHARACTERS} characters; this one has ${name.length}`,
    );
  }
  if (!NAME.test(name) || name === "." || name === "..") {
    throw new Fault(
      "usage",
      `Artifact name "${name}" is not allowed: use letters, digits, dashes, underscores and dots`,
    );
  }
  return name;
}

/** @throws Fault `usage` unless `alias` may be an alias (or a version) in a ref. */
export function checkAlias(alias: string): string {
  if (alias === "" || /[/:\s]/.test(alias) || !alias.isWellFormed()) {
    throw new Fault(
      "usage",
      `Alias "${alias}" is not allowed: an alias is not empty and holds no "/", ":" or white space`,
    );
  }
  return alias;
}

/** The number in `v3`, or null when `alias` is no version. */
export function versionNumber(alias: string): number | null {
  const match = VERSION.exec(alias);
  return match === null ? null : Number(match[1]);
}

/**
 * Checks an artifact type against the names that W&B reserves.
 * @throws Fault `usage` for a reserved type, or one with "/" or ":" or over 128 characters.
 */
export function checkType(type: string, name: string): string {
  if (type === "" || type.length > MAX_PART_CHARACTERS || /[/:]/.test(type)) {
    throw new Fault(
      "usage",
      `Artifact type "${type}" is not allowed: 1 to ${MAX_PART_CHARACTERS} characters without "/" and ":"`,
    );
  }
  const reserved =
    type.startsWith("wandb-") ||
    type === "job" ||
    (type === "run_table" && name.startsWith("run-")) ||
    (type === "code" && name.startsWith("source-"));
  if (reserved) {
    throw new Fault(
      "usage",
      `Artifact type "${type}" is reserved for internal use (artifact "${name}"); use another type`,
    );
  }
  return type;
}

function checkPart(what: string, part: string, text: string): void {
  if (
    part === "" ||
    part.length > MAX_PART_CHARACTERS ||
    /[\\#?%:\s]/.test(part) ||
    part === "." ||
    part === ".."
  ) {
    throw new Fault("usage", `"${text}" is not a ref: bad ${what} "${part}"; a ref is ${GRAMMAR}`);
  }
}
