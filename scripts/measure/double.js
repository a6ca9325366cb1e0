// The tests' double of S3 for measurements: compiled on the fly from its TypeScript, and filled with
// objects of one byte. It runs in this process; what is measured runs in others.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { run, say } from "./process.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const SOURCE = "test/support/s3-double.ts";
const TSC = join(ROOT, "node_modules/.bin/tsc");
const OBJECTS_PER_PREFIX = 1_000;

export const BUCKET = "bench";
export const PREFIX = "set";

/** Starts a double whose code goes below `folder`. */
export async function startDouble(folder) {
  const out = join(folder, "double");
  mkdirSync(out);
  writeFileSync(join(out, "package.json"), '{ "type": "module" }\n');
  const form = ["--module", "nodenext", "--target", "es2023", "--types", "node", "--skipLibCheck"];
  const options = ["--noCheck", "--rootDir", ROOT, "--outDir", out, ...form];
  await run(TSC, [...options, join(ROOT, SOURCE)], { cwd: ROOT });
  const compiled = join(out, SOURCE.replace(/\.ts$/, ".js"));
  const { startS3Double } = await import(pathToFileURL(compiled));
  return startS3Double();
}

/** Puts objects until there are `count`; their names sort as they were put. */
export function fill(double, from, count) {
  say(`putting ${count - from} objects into the double`);
  const bucket = double.bucket(BUCKET);
  for (let index = from; index < count; index++) {
    const folder = String(Math.floor(index / OBJECTS_PER_PREFIX)).padStart(5, "0");
    const name = String(index).padStart(8, "0");
    // An ETag of its own makes hashing a million times needless.
    const etag = index.toString(16).padStart(32, "0");
    bucket.put(`${PREFIX}/${folder}/image-${name}.jpg`, "x", { etag });
  }
}
