// refmount show REF[/PATH]: everything known of a version, or of one file of it.

import type { Command } from "commander";
import type { findEntry, Version } from "../daemon/browse.js";
import { ASSURANCES } from "../model/assurance.js";
import { encodeDigests } from "../model/digest.js";
import { encodePin } from "../model/pin.js";
import { splitRefPath } from "../model/ref.js";
import { fields, printable } from "./text.js";
import { formatBytes, formatCount, formatTime, plural } from "./units.js";
import { examples, openDesk, type Invocation } from "./verb.js";

interface Options {
  readonly type?: string;
}

type ShownEntry = ReturnType<typeof findEntry>;

export function addShow(program: Command, invocation: Invocation): void {
  program
    .command("show")
    .description("show everything known of a version, or of one file of it")
    .argument("<ref>", "[entity/][project/]name[:version or alias][/path]")
    .option("--type <type>", "refuse unless the artifact has this type")
    .addHelpText("after", examples("refmount show mnist:v3", "refmount show mnist:v3/train/a.png"))
    .action(async (text: string, options: Options, command: Command) => {
      const desk = openDesk(command, invocation);
      const { findEntry, findVersion } = await import("../daemon/browse.js");
      const home = await desk.openHome();
      const { ref, path } = splitRefPath(text);
      const version = findVersion(home, ref, options.type);
      if (path === "") {
        desk.print(versionKeys(version), () => describeVersion(version));
        return;
      }
      const entry = findEntry(home, version, path);
      desk.print(entryKeys(version, entry), () => describeEntry(version, entry));
    });
}

function versionKeys(version: Version): object {
  return {
    ref: version.ref,
    version: version.version,
    type: version.type,
    digest: version.digest,
    manifest: version.manifestDigest,
    files: version.files,
    bytes: version.bytes,
    unknownSizes: version.unknownSizes,
    assurance: version.assurances,
    aliases: version.aliases,
    tags: version.tags,
    description: version.description,
    metadata: version.metadata,
    created: isoTime(version.createdMs),
    ttlMs: version.ttlMs,
    expires: version.expiresMs === null ? null : isoTime(version.expiresMs),
    sources: version.sources,
    revisions: version.revisions.map((revision) => ({
      number: revision.number,
      manifest: revision.manifestDigest,
      files: revision.files,
      bytes: revision.bytes,
      assurance: revision.assurances,
      sources: revision.sources,
      created: isoTime(revision.createdMs),
    })),
  };
}

function describeVersion(version: Version): string {
  const rows: [string, string][] = [
    ["version", version.ref],
    ["type", version.type],
    ["aliases", orDash(version.aliases.join(", "))],
    ["tags", orDash(version.tags.join(", "))],
    ["description", orDash(printable(version.description ?? ""))],
    ["logged", formatTime(version.createdMs)],
    ...expiryRow(version),
    ["files", formatCount(version.files)],
    ["size", describeSize(version)],
    ["assurance", describeAssurance(version)],
    ...describeUnchecked(version),
    ["digest", `${version.digest} (as W&B computes it)`],
    ["manifest", version.manifestDigest],
    ["sources", orDash(version.sources.map(printable).join("\n"))],
  ];
  if (Object.keys(version.metadata).length > 0) {
    rows.push(["metadata", JSON.stringify(version.metadata, null, 2)]);
  }
  if (version.revisions.length > 1) rows.push(["revisions", describeRevisions(version)]);
  return fields(rows);
}

function expiryRow({ expiresMs }: Version): readonly [string, string][] {
  return expiresMs === null ? [] : [["expires", formatTime(expiresMs)]];
}

function describeSize({ bytes, unknownSizes }: Version): string {
  const exact = bytes < 1_000 ? "" : ` (${formatCount(bytes)} bytes)`;
  const unknown = unknownSizes === 0 ? "" : `, and ${plural(unknownSizes, "file")} of unknown size`;
  return `${formatBytes(bytes)}${exact}${unknown}`;
}

function describeAssurance({ assurances }: Pick<Version, "assurances">): string {
  return ASSURANCES.filter((level) => assurances[level] > 0)
    .map((level) => `${formatCount(assurances[level])} ${level}`)
    .join(", ");
}

/** Said only of a version with files that nothing ties to their bytes. */
function describeUnchecked({ files, assurances }: Version): [string, string][] {
  const { none } = assurances;
  if (none === 0) return [];
  const which = none === files ? "all files" : plural(none, "file");
  const why = "nothing pins or hashes them (--no-checksum, or only tracked)";
  return [["unchecked", `${which}: ${why}; they mount with --require none`]];
}

// The first of them is what is mounted.
function describeRevisions({ revisions }: Version): string {
  return revisions
    .map((revision, index) =>
      [
        `${revision.number}`,
        formatTime(revision.createdMs),
        describeAssurance(revision),
        `${revision.manifestDigest.slice(0, 16)}${index === 0 ? "  (mounted)" : ""}`,
      ].join("  "),
    )
    .join("\n");
}

function entryKeys(version: Version, entry: ShownEntry): object {
  return {
    ref: version.ref,
    path: entry.path,
    sizeBytes: entry.sizeBytes,
    uri: entry.uri,
    pin: entry.pin,
    entryDigest: entry.entryDigest,
    digests: entry.digests,
    claims: entry.claims,
    assurance: entry.assurance,
    modified: entry.mtimeMs === null ? null : isoTime(entry.mtimeMs),
  };
}

function describeEntry(version: Version, entry: ShownEntry): string {
  const claims = entry.claims.map(({ algorithm, value, source, ofParts }) => {
    const name = ofParts === true ? `${algorithm} of parts` : algorithm;
    return value === undefined
      ? `${name} (the store will tell it)`
      : `${name}:${value} (${source})`;
  });
  return fields([
    ["file", `${version.ref}/${printable(entry.path)}`],
    ["size", entry.sizeBytes === null ? "unknown" : `${formatCount(entry.sizeBytes)} bytes`],
    ["modified", entry.mtimeMs === null ? "-" : formatTime(entry.mtimeMs)],
    ["assurance", entry.assurance],
    ["uri", printable(entry.uri)],
    ["pin", orDash(encodePin(entry.pin))],
    ["digests", orDash(encodeDigests(entry.digests).replaceAll(",", "\n"))],
    ["claims", orDash(claims.join("\n"))],
    ["entry digest", entry.entryDigest],
  ]);
}

function orDash(text: string): string {
  return text === "" ? "-" : text;
}

function isoTime(timeMs: number): string {
  return new Date(timeMs).toISOString();
}
