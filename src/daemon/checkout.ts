// `checkout`: makes a directory hold exactly the files of a version. Downloads what is missing, and removes
// what the version does not have; what no version of the artifact ever had goes only when told to.

import { rm, rmdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { Fault } from "../model/fault.js";
import { Manifest } from "../registry/manifest.js";
import { Registry } from "../registry/registry.js";
import type { Version } from "../registry/version.js";
import {
  downloadRef,
  type DownloadReport,
  type DownloadRequest,
  type DownloadWatch,
} from "./download.js";
import type { Home } from "./home.js";
import { extrasIn, type Extra } from "./local-files.js";

export interface CheckoutRequest extends Omit<DownloadRequest, "dir" | "pathPrefix"> {
  readonly dir: string;
  /** Also remove files that no version of the artifact has. */
  readonly force: boolean;
}

export interface CheckoutReport extends DownloadReport {
  /** Files that were removed. */
  readonly removed: number;
}

const MANY_NAMED = 10;

/**
 * @throws Fault `usage` when files would be lost that no version of the artifact has, and nothing was
 * changed then; whatever `download` throws.
 */
export async function checkoutRef(
  home: Home,
  request: CheckoutRequest,
  watch: DownloadWatch,
): Promise<CheckoutReport> {
  const dir = resolve(request.dir);
  const extras = await findExtras(home, request, dir);
  for (const { path, kind } of extras) {
    watch.signal.throwIfAborted();
    await remove(join(dir, path), kind);
  }
  const removed = extras.filter(({ kind }) => kind === "file").length;
  const report = await downloadRef(home, { ...request, dir, pathPrefix: "" }, watch);
  return { ...report, removed };
}

async function findExtras(
  home: Home,
  { ref, force }: CheckoutRequest,
  dir: string,
): Promise<readonly Extra[]> {
  using registry = Registry.open(home);
  const version = registry.resolve(ref);
  using manifest = Manifest.open(home.manifestsDir, version.manifestDigest);
  const extras: Extra[] = [];
  try {
    for await (const extra of extrasIn(dir, manifest)) extras.push(extra);
  } catch (error) {
    // It will be made.
    if (error instanceof Fault && error.kind === "not-found") return [];
    throw error;
  }
  const files = extras.filter(({ kind }) => kind === "file");
  if (force || files.length === 0) return extras;
  using others = new OtherVersions(home, registry.versions(version));
  const foreign = files.filter(({ path }) => !others.have(path));
  if (foreign.length > 0) throw refusal(dir, version, foreign);
  return extras;
}

/** All versions of an artifact, opened when they are first asked. */
class OtherVersions implements Disposable {
  readonly #home: Home;
  readonly #unopened: Version[];
  readonly #opened: Manifest[] = [];

  constructor(home: Home, versions: readonly Version[]) {
    this.#home = home;
    this.#unopened = [...versions];
  }

  have(path: string): boolean {
    if (this.#opened.some((manifest) => manifest.find(path)?.kind === "file")) return true;
    for (let next = this.#unopened.pop(); next !== undefined; next = this.#unopened.pop()) {
      const manifest = Manifest.open(this.#home.manifestsDir, next.manifestDigest);
      this.#opened.push(manifest);
      if (manifest.find(path)?.kind === "file") return true;
    }
    return false;
  }

  [Symbol.dispose](): void {
    for (const manifest of this.#opened) manifest.close();
  }
}

function refusal(dir: string, { name, ref }: Version, foreign: readonly Extra[]): Fault {
  const lines = foreign.slice(0, MANY_NAMED).map(({ path }) => `  ${path}`);
  if (foreign.length > MANY_NAMED) lines.push(`  and ${foreign.length - MANY_NAMED} more`);
  return new Fault(
    "usage",
    `${dir} holds files that no version of ${name} has, which checking out ${ref} would remove:\n` +
      `${lines.join("\n")}\nMove them away, or remove them with --force; download leaves them alone`,
    { subject: dir },
  );
}

async function remove(path: string, kind: Extra["kind"]): Promise<void> {
  if (kind === "file") {
    await rm(path, { force: true });
    return;
  }
  await rmdir(path).catch((error: unknown) => {
    const { code } = error as NodeJS.ErrnoException;
    // Somebody put something into it meanwhile: then it stays.
    if (code !== "ENOTEMPTY" && code !== "ENOENT") throw error;
  });
}
