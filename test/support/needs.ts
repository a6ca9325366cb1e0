// What a test needs from its machine. Skipping is for laptops: where CI is set, a test that lacks
// something fails, since a hole in what was tested must be seen.

import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const ADDON = new URL("../../native/build/Release/refmount.node", import.meta.url);

const PRESENT = {
  root: () => process.getuid?.() === 0,
  fuse: () => {
    try {
      accessSync("/dev/fuse", constants.R_OK | constants.W_OK);
      return true;
    } catch {
      return false;
    }
  },
  fusermount3: () => runs("fusermount3", ["-V"]),
  libfuse2: () => runs("/sbin/ldconfig", ["-p"], /libfuse\.so\.2\b/),
  python3: () => runs("python3", ["--version"]),
  cc: () => runs("cc", ["--version"]),
  "c++": () => runs("c++", ["--version"]),
  radosgw: () => runs("radosgw", ["--version"]),
  nginx: () => runs("nginx", ["-v"]),
  addon: () => existsSync(fileURLToPath(ADDON)),
} satisfies Record<string, () => boolean>;

export type Need = keyof typeof PRESENT;

/**
 * True when the machine has all of `names`; for `describe.runIf(needs("fuse", "root"))`.
 * @throws Error instead of false where CI is set.
 */
export function needs(...names: readonly Need[]): boolean {
  const missing = names.filter((name) => !has(name));
  if (missing.length > 0 && isCi()) {
    throw new Error(`This machine lacks ${missing.join(", ")}, and CI may not skip tests`);
  }
  return missing.length === 0;
}

/** For `test.skipIf`: true when something is missing and this is not CI, where the test then fails. */
export function lacks(...names: readonly Need[]): boolean {
  return !isCi() && names.some((name) => !has(name));
}

const known = new Map<Need, boolean>();

function has(name: Need): boolean {
  const found = known.get(name) ?? PRESENT[name]();
  known.set(name, found);
  return found;
}

function isCi(): boolean {
  return !["", "0", "false"].includes(process.env["CI"] ?? "");
}

function runs(command: string, args: readonly string[], expected = /(?:)/): boolean {
  const { status, stdout } = spawnSync(command, args, { encoding: "utf8" });
  return status === 0 && expected.test(stdout);
}
