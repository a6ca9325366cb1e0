// `verify`: whether a directory holds exactly the files of a version. Reads the files, asks no store and
// changes nothing.

import { lstat } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join, resolve } from "node:path";
import { Observed } from "../cache/observed.js";
import { DIGEST_ALGORITHMS } from "../model/digest.js";
import type { Entry } from "../model/entry.js";
import { addon } from "../native/addon.js";
import { Manifest } from "../registry/manifest.js";
import { Registry } from "../registry/registry.js";
import { expectedDigests } from "./expected-digests.js";
import type { Home } from "./home.js";
import { inOrder } from "./in-order.js";
import { extrasIn } from "./local-files.js";

export interface VerifyRequest {
  readonly ref: string;
  readonly dir: string;
  /** Files that the version does not have are no problem. */
  readonly allowExtra: boolean;
}

export interface VerifyWatch {
  readonly signal: AbortSignal;
  readonly onProgress?: (progress: { readonly files: number; readonly doneFiles: number }) => void;
  readonly onNotice: (message: string) => void;
}

export interface VerifyReport {
  readonly ref: string;
  readonly digest: string;
  /** Absolute. */
  readonly path: string;
  readonly files: number;
  /** Files whose bytes are those of the version. */
  readonly verified: number;
  /** Files that are there and have the right size, of whose bytes nothing is known to compare with. */
  readonly unverified: number;
  readonly problems: readonly Problem[];
}

export interface Problem {
  readonly path: string;
  readonly problem: "missing" | "size" | "content" | "not a file" | "extra";
}

type Outcome = Problem["problem"] | "verified" | "unverified";

/** @throws Fault `not-found` for the version or the directory, `denied`; the abort reason. */
export async function verifyDirectory(
  home: Home,
  request: VerifyRequest,
  watch: VerifyWatch,
): Promise<VerifyReport> {
  using registry = Registry.open(home);
  const version = registry.resolve(request.ref);
  using manifest = Manifest.open(home.manifestsDir, version.manifestDigest);
  using observed = Observed.open(join(home.cacheDir, "observed.sqlite"), watch.onNotice);
  const dir = resolve(request.dir);
  const problems: Problem[] = [];
  const counts = { verified: 0, unverified: 0 };
  let doneFiles = 0;
  // First, since it says when there is no such directory at all.
  for await (const { path, kind } of extrasIn(dir, manifest)) {
    watch.signal.throwIfAborted();
    if (kind === "file" && !request.allowExtra) problems.push({ path, problem: "extra" });
  }
  const atOnce = availableParallelism();
  const outcomes = inOrder(
    manifest.entries(),
    { atOnce, window: atOnce * 8, signal: watch.signal },
    async (entry) => ({ path: entry.path, outcome: await compareFile(dir, entry, observed) }),
  );
  for await (const { path, outcome } of outcomes) {
    doneFiles += 1;
    watch.onProgress?.({ files: manifest.files, doneFiles });
    if (outcome === "verified" || outcome === "unverified") counts[outcome] += 1;
    else problems.push({ path, problem: outcome });
  }
  const { ref, digest } = version;
  return { ref, digest, path: dir, files: manifest.files, ...counts, problems };
}

/** How the file that is where `entry` goes below `dir` compares with it. */
export async function compareFile(dir: string, entry: Entry, observed: Observed): Promise<Outcome> {
  const path = join(dir, entry.path);
  const stats = await lstat(path).catch((error: unknown) => {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return null;
    throw error;
  });
  if (stats === null) return "missing";
  if (!stats.isFile()) return "not a file";
  if (entry.sizeBytes !== null && entry.sizeBytes !== stats.size) return "size";
  const expected = expectedDigests(entry, observed);
  const algorithm = DIGEST_ALGORITHMS.find((name) => expected[name] !== undefined);
  if (algorithm === undefined) return "unverified";
  const { digests } = await addon().hashFile(path, { algorithms: [algorithm] });
  return digests[algorithm] === expected[algorithm] ? "verified" : "content";
}
