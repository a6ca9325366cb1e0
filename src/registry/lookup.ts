// Finds what a ref names, or says what there is instead. Changes nothing.

import { Fault } from "../model/fault.js";
import { nearest } from "../model/nearest.js";
import { formatRef, parseRef, versionNumber, type Ref } from "../model/ref.js";
import type { Catalog, CollectionRow, VersionRow } from "./catalog.js";
import { formatBase, type Coordinates } from "./version.js";

const MAX_NAMED = 10;

export interface Found {
  readonly collection: CollectionRow;
  readonly row: VersionRow;
}

export class Lookup {
  readonly #catalog: Catalog;

  constructor(catalog: Catalog) {
    this.#catalog = catalog;
  }

  /** @throws Fault `not-found`, naming what may have been meant. */
  collection(coordinates: Coordinates): CollectionRow {
    const found = this.#catalog.findCollection(coordinates);
    if (found !== undefined) return found;
    const base = formatBase(coordinates);
    const known = this.#catalog.collectionRows().map((row) => ({
      name: row.name,
      base: formatBase({
        entity: row.entity === "" ? null : row.entity,
        project: row.project === "" ? null : row.project,
        name: row.name,
      }),
    }));
    const elsewhere = known
      .filter(({ name }) => name === coordinates.name)
      .map((each) => each.base);
    const similar = nearest(
      base,
      known.map((each) => each.base),
    );
    const meant = [...new Set([...elsewhere, ...similar])].slice(0, MAX_NAMED);
    const hint =
      meant.length > 0
        ? `did you mean ${meant.map((each) => `"${each}"`).join(" or ")}?`
        : known.length > 0
          ? '"refmount ls" shows what there is'
          : "nothing was logged here yet";
    throw new Fault("not-found", `There is no artifact "${base}": ${hint}`, { subject: base });
  }

  /** @throws Fault `not-found`, naming the versions and aliases that there are; `usage` for no ref. */
  version(ref: Ref | string): Found {
    const parsed = typeof ref === "string" ? parseRef(ref) : ref;
    const collection = this.collection(parsed);
    const number = versionNumber(parsed.alias);
    const row =
      number === null
        ? this.#catalog.versionByAlias(collection, parsed.alias)
        : this.#catalog.versionByNumber(collection, number);
    if (row === undefined || row.deleted_ms !== null)
      throw this.#noVersion(parsed, collection, row);
    return { collection, row };
  }

  #noVersion(ref: Ref, collection: CollectionRow, deleted: VersionRow | undefined): Fault {
    const base = formatBase(ref);
    const versions = this.#catalog.versionRows(collection).map(({ number }) => `v${number}`);
    const aliases = this.#catalog.aliases(collection).map(({ alias }) => alias);
    const [similar] = nearest(ref.alias, [...aliases, ...versions], 1);
    const there = [
      rangeOf("version", versions),
      rangeOf("alias", aliases.slice(0, MAX_NAMED), aliases.length > MAX_NAMED),
    ];
    if (deleted !== undefined) {
      const text = `"${formatRef(ref)}" was deleted; "refmount undelete ${formatRef(ref)}" brings it back`;
      return new Fault("not-found", text, { subject: formatRef(ref) });
    }
    const hint = similar === undefined ? "" : `; did you mean "${base}:${similar}"?`;
    return new Fault(
      "not-found",
      `"${base}" has no version or alias "${ref.alias}": it has ${there.join(" and ")}${hint}`,
      { subject: formatRef(ref) },
    );
  }
}

/** `versions v0 to v7`, `aliases best, latest`. */
function rangeOf(what: "version" | "alias", names: readonly string[], more = false): string {
  const plural = what === "version" ? "versions" : "aliases";
  const [first = "none", second] = names;
  if (second === undefined) return `${what} ${first}`;
  const last = names.at(-1) ?? first;
  if (what === "version") return `${plural} ${first} to ${last}`;
  return `${plural} ${names.join(", ")}${more ? ", ..." : ""}`;
}
