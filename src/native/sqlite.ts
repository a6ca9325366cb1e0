// Opens SQLite databases with the binding that suits this Node.js. Knows nothing of what is in them,
// and translates no errors.

import { createRequire } from "node:module";
import type Sqlite from "better-sqlite3";

/** Where the binding that is built on Node-API alone starts; older ones crash it. */
const NODE_API_NEEDED = 10;

let loaded: typeof Sqlite | undefined;

/** @throws as the binding does: SQLite's errors, with their `code`. */
export function openSqlite(path: string, options: Sqlite.Options = {}): Sqlite.Database {
  loaded ??= load();
  return new loaded(path, options);
}

// better-sqlite3 12 takes its objects' lives from a header of Node.js which, since 24.19, ends the
// process when they are collected outside of JavaScript; 13 does not, but needs a Node.js after 20.
function load(): typeof Sqlite {
  const require = createRequire(import.meta.url);
  if (Number(process.versions["napi"]) >= NODE_API_NEEDED) {
    try {
      return require("better-sqlite3-13") as typeof Sqlite;
    } catch {
      // Not there, since it is optional, or not for this machine: it comes without its sources.
    }
  }
  return require("better-sqlite3") as typeof Sqlite;
}
