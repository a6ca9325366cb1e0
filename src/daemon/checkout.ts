// `checkout`: makes a directory hold exactly the files of a version. Downloads what is missing, and removes
// what the version does not have; what no version of the artifact has goes only when told to.

import { existsSync } from "node:fs";
import { rm, rmdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { Observed } from "../cache/observed.js";
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
import { MANY_REFUSED, refuseWeaker } from "./require.js";
import { compareFile } from "./verify.js";

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
 * Removes what is in the way of the version's files, brings them, and removes the rest only then.
 * @throws Fault `usage` when files would be lost that no version of the artifact has, byte for byte, and
 * nothing was changed then; whatever `download` throws.
 */
export async function checkoutRef(
  home: Home,
  request: CheckoutRequest,
  watch: DownloadWatch,
): Promise<CheckoutReport> {
  const dir = resolve(request.dir);
  const { ref, inTheWay, others } = await plan(home, request, dir, watch);
  await removeAll(dir, inTheWay, watch.signal);
  const report = await downloadRef(home, { ...request, ref, dir, pathPrefix: "" }, watch);
  await removeAll(dir, others, watch.signal);
  const removed = [...inTheWay, ...others].filter(({ kind }) => kind === "file").length;
  return { ...report, removed };
}

interface Plan {
  /** The version, by its number: an alias may move meanwhile. */
  readonly ref: string;
  /** Extras where the version has a file or needs a folder. */
  readonly inTheWay: readonly Extra[];
  readonly others: readonly Extra[];
}

async function plan(
  home: Home,
  { ref, type, require, force }: CheckoutRequest,
  dir: string,
  watch: DownloadWatch,
): Promise<Plan> {
  using registry = Registry.open(home);
  const version = registry.resolve(ref, type === null ? {} : { type });
  using manifest = Manifest.open(home.manifestsDir, version.manifestDigest);
  refuseWeaker(ref, require, manifest.firstBelow(require, MANY_REFUSED), "download");
  const extras: Extra[] = [];
  // One that is not there will be made.
  if (existsSync(dir)) for await (const extra of extrasIn(dir, manifest)) extras.push(extra);
  const files = extras.filter(({ kind }) => kind === "file");
  if (!force && files.length > 0) {
    using observed = Observed.open(join(home.cacheDir, "observed.sqlite"), watch.onNotice);
    using others = new OtherVersions(home, registry.versions(version), observed);
    const foreign: Extra[] = [];
    for (const extra of files) {
      watch.signal.throwIfAborted();
      if (!(await others.have(dir, extra.path))) foreign.push(extra);
    }
    if (foreign.length > 0) throw refusal(dir, version, foreign);
  }
  const blocks = ({ path }: Extra): boolean => isInTheWay(path, manifest);
  return {
    ref: version.ref,
    inTheWay: extras.filter(blocks),
    others: extras.filter((extra) => !blocks(extra)),
  };
}

/** True for what is where the version has a folder, and for all in a folder where it has a file. */
function isInTheWay(path: string, manifest: Manifest): boolean {
  if (manifest.find(path) !== null) return true;
  for (let slash = path.indexOf("/"); slash >= 0; slash = path.indexOf("/", slash + 1)) {
    if (manifest.find(path.slice(0, slash))?.kind === "file") return true;
  }
  return false;
}

/** All versions of an artifact, opened when they are first asked, the newest first. */
class OtherVersions implements Disposable {
  readonly #home: Home;
  readonly #unopened: Version[];
  readonly #observed: Observed;
  readonly #opened: Manifest[] = [];

  constructor(home: Home, versions: readonly Version[], observed: Observed) {
    this.#home = home;
    this.#unopened = [...versions];
    this.#observed = observed;
  }

  /** True when a version has exactly the file that is at `path` of `dir`. */
  async have(dir: string, path: string): Promise<boolean> {
    for (const manifest of this.#opened) if (await this.#has(manifest, dir, path)) return true;
    for (let next = this.#unopened.pop(); next !== undefined; next = this.#unopened.pop()) {
      const manifest = Manifest.open(this.#home.manifestsDir, next.manifestDigest);
      this.#opened.push(manifest);
      if (await this.#has(manifest, dir, path)) return true;
    }
    return false;
  }

  async #has(manifest: Manifest, dir: string, path: string): Promise<boolean> {
    const node = manifest.find(path);
    if (node?.kind !== "file") return false;
    return (await compareFile(dir, manifest.entry(node.id), this.#observed)) === "verified";
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
    `${dir} holds files that no version of ${name} has as they are, which checking out ${ref} would remove:\n` +
      `${lines.join("\n")}\nMove them away, or remove them with --force; download leaves them alone`,
    { subject: dir },
  );
}

async function removeAll(
  dir: string,
  extras: readonly Extra[],
  signal: AbortSignal,
): Promise<void> {
  for (const { path, kind } of extras) {
    signal.throwIfAborted();
    if (kind === "file") await rm(join(dir, path), { force: true });
    else await removeFolder(join(dir, path));
  }
}

async function removeFolder(path: string): Promise<void> {
  await rmdir(path).catch((error: unknown) => {
    const { code } = error as NodeJS.ErrnoException;
    // Somebody put something into it meanwhile: then it stays.
    if (code !== "ENOTEMPTY" && code !== "ENOENT") throw error;
  });
}
