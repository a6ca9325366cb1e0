// The compiled program, for tests that run it in a process of its own. Builds nothing.

import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const DIST = fileURLToPath(new URL("../../dist", import.meta.url));
const SRC = fileURLToPath(new URL("../../src", import.meta.url));

/**
 * Path of a compiled file, for example "main.js".
 * @throws Error when it is missing or older than its room's sources: then it would test the past.
 */
export function distFile(path: string): string {
  const compiled = join(DIST, path);
  if (!existsSync(compiled)) throw new Error(`${compiled} is missing: run npm run build:ts first`);
  const source = join(SRC, path.replace(/\.js$/, ".ts"));
  if (existsSync(source) && statSync(source).mtimeMs > newest(DIST)) {
    throw new Error(`${source} is newer than dist: run npm run build:ts first`);
  }
  return compiled;
}

function newest(dir: string): number {
  return Math.max(
    ...readdirSync(dir, { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".js"))
      .map((name) => statSync(join(dir, name)).mtimeMs),
  );
}
