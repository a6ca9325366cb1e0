// refmount ls [REF [PATH]]: collections, versions, or a directory of a version.

import type { Command } from "commander";
import type { Collection, ListedNode, Version } from "../daemon/browse.js";
import { Fault } from "../model/fault.js";
import { parseRef, splitRefPath } from "../model/ref.js";
import { printable, table } from "./text.js";
import { formatBytes, formatCount, formatTime } from "./units.js";
import { examples, openDesk, type Desk, type Invocation } from "./verb.js";
import {
  addFilterOptions,
  asksForVersions,
  toFilter,
  type FilterOptions,
} from "./version-filter.js";

/** Lines written at once: a directory may have a million. */
const LINES_AT_ONCE = 1_000;

export function addLs(program: Command, invocation: Invocation): void {
  addFilterOptions(program.command("ls"))
    .description("list the artifacts, the versions of one, or a directory of a version")
    .argument("[ref]", "an artifact, or a version and a path: mnist:v3/train")
    .argument("[path]", "a directory of the version")
    .addHelpText(
      "after",
      examples(
        "refmount ls                    all artifacts",
        "refmount ls mnist              the versions of mnist",
        "refmount ls mnist:v3           the files of a version",
        "refmount ls mnist:v3/train",
        "refmount ls --tag reviewed --metadata split=train --since 30d",
      ),
    )
    .action(async (...given: [string | undefined, string | undefined, FilterOptions, Command]) => {
      const [ref, path, options, own] = given;
      const desk = openDesk(own, invocation);
      const filtered = options.type !== undefined || asksForVersions(options);
      if (ref === undefined) {
        if (asksForVersions(options)) return printFound(desk, options);
        return printCollections(desk, options.type);
      }
      if (!ref.includes(":") && path === undefined) return printVersions(desk, ref, options);
      if (filtered) {
        throw new Fault("usage", `"${ref}" is one version already: leave out what chooses some`);
      }
      return printDirectory(desk, invocation, ref, path);
    });
}

/** Versions of any artifact. */
async function printFound(desk: Desk, options: FilterOptions): Promise<void> {
  const { findVersions } = await import("../daemon/browse.js");
  const versions = findVersions(await desk.openHome(), toFilter(options));
  const documents = versions.map((version) => ({ ...versionKeys(version), type: version.type }));
  desk.print({ versions: documents }, () =>
    table(
      ["VERSION", "TYPE", "TAGS", "ALIASES", "FILES", "SIZE", "LOGGED"],
      ["left", "left", "left", "left", "right", "right", "left"],
      versions.map(({ ref, type, tags, aliases, files, bytes, createdMs }) => [
        ref,
        type,
        tags.join(" "),
        aliases.join(" "),
        formatCount(files),
        formatBytes(bytes),
        formatTime(createdMs),
      ]),
    ),
  );
}

async function printCollections(desk: Desk, type: string | undefined): Promise<void> {
  const { listCollections } = await import("../daemon/browse.js");
  const collections = listCollections(await desk.openHome(), type);
  desk.print({ collections: collections.map(collectionKeys) }, () =>
    collections.length === 0
      ? type === undefined
        ? "Nothing was logged yet; see refmount log --help"
        : `No artifact has the type ${type}`
      : table(
          ["NAME", "TYPE", "VERSIONS", "LATEST", "FILES", "SIZE", "LOGGED"],
          ["left", "left", "right", "left", "right", "right", "left"],
          collections.map(({ base, type, versionCount, latest }) => [
            base,
            type,
            formatCount(versionCount),
            latest.version,
            formatCount(latest.files),
            formatBytes(latest.bytes),
            formatTime(latest.createdMs),
          ]),
        ),
  );
}

async function printVersions(desk: Desk, name: string, options: FilterOptions): Promise<void> {
  const { listVersions } = await import("../daemon/browse.js");
  const versions = listVersions(await desk.openHome(), name, toFilter(options));
  const value = { name, type: versions[0]?.type ?? null, versions: versions.map(versionKeys) };
  desk.print(value, () =>
    table(
      ["VERSION", "ALIASES", "FILES", "SIZE", "LOGGED", "DIGEST"],
      ["left", "left", "right", "right", "left", "left"],
      versions.map(({ version, aliases, files, bytes, createdMs, digest }) => [
        version,
        aliases.join(" "),
        formatCount(files),
        formatBytes(bytes),
        formatTime(createdMs),
        digest,
      ]),
    ),
  );
}

async function printDirectory(
  desk: Desk,
  invocation: Invocation,
  text: string,
  separatePath: string | undefined,
): Promise<void> {
  const split = splitRefPath(text);
  if (split.path !== "" && separatePath !== undefined) {
    throw new Fault("usage", `"${text}" holds a path already; leave out "${separatePath}"`);
  }
  parseRef(split.ref);
  const path = separatePath ?? split.path;
  const { findVersion, listDirectory } = await import("../daemon/browse.js");
  const home = await desk.openHome();
  const version = findVersion(home, split.ref);
  const nodes = listDirectory(home, version, path);
  if (desk.json) {
    desk.print({ ref: version.ref, path, entries: [...nodes] }, () => "");
    return;
  }
  let lines = ["    SIZE  ASSURANCE  NAME"];
  for (const node of nodes) {
    lines.push(nodeLine(node));
    if (lines.length < LINES_AT_ONCE) continue;
    invocation.stdout.write(`${lines.join("\n")}\n`);
    lines = [];
  }
  if (lines.length > 0) invocation.stdout.write(`${lines.join("\n")}\n`);
}

function nodeLine({ name, kind, sizeBytes, assurance }: ListedNode): string {
  const size = sizeBytes === null ? (kind === "file" ? "?" : "-") : formatBytes(sizeBytes);
  const shown = kind === "directory" ? `${printable(name)}/` : printable(name);
  return `${size.padStart(8)}  ${(assurance ?? "-").padEnd(9)}  ${shown}`;
}

function collectionKeys(collection: Collection): object {
  const { base, type, versionCount, latest, aliases, createdMs } = collection;
  return {
    name: base,
    type,
    versions: versionCount,
    latest: versionKeys(latest),
    aliases: Object.fromEntries(aliases.map(({ alias, version }) => [alias, version])),
    created: new Date(createdMs).toISOString(),
  };
}

function versionKeys(version: Version): object {
  return {
    ref: version.ref,
    version: version.version,
    digest: version.digest,
    manifest: version.manifestDigest,
    files: version.files,
    bytes: version.bytes,
    aliases: version.aliases,
    tags: version.tags,
    created: new Date(version.createdMs).toISOString(),
  };
}
