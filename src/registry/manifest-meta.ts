// What a manifest says of itself as a whole: its table `meta`, with a checksum of its own.

import { crc32 } from "node:zlib";
import { ASSURANCES, type Assurance } from "../model/assurance.js";
import type { Database } from "./sqlite.js";
import { EMPTY_DIRECTORIES_FORMAT, MANIFEST_FORMAT } from "./manifest-file.js";

/** Entries by their assurance. */
export type AssuranceCounts = Readonly<Record<Assurance, number>>;

/** The sums over a manifest's entries. */
export interface ManifestSums {
  readonly files: number;
  /** Of the entries whose size is known. */
  readonly bytes: number;
  /** Entries whose size is unknown. */
  readonly unknownSizes: number;
  readonly assurances: AssuranceCounts;
}

/** What sealing gives, and what the registry keeps of a manifest. */
export interface SealedManifest extends ManifestSums {
  /** SHA-256 over the canonical rows, hex: the manifest's name. */
  readonly digest: string;
  /** The digest by which W&B tells equal content, hex. */
  readonly wandbDigest: string;
}

export interface ManifestMeta extends SealedManifest {
  /** Files and directories, the root included. */
  readonly nodes: number;
  readonly emptyDirectories: number;
  /** When it was sealed, milliseconds since 1970. */
  readonly createdMs: number;
}

export function writeMeta(db: Database, meta: ManifestMeta): void {
  const insert = db.prepare<[string, string]>("INSERT INTO meta (key, value) VALUES (?, ?)");
  const values = encodeMeta(meta);
  for (const [key, value] of values) insert.run(key, value);
  insert.run("check_crc", String(checkOf(values)));
}

/** The meta of an open manifest; null when it is damaged, incomplete or of another format. */
export function readMeta(db: Database): ManifestMeta | null {
  const rows = db.prepare<[], { key: string; value: string }>("SELECT key, value FROM meta").all();
  const values = new Map(rows.map(({ key, value }) => [key, value]));
  const number = (key: string): number => Number(values.get(key) ?? NaN);
  const meta: ManifestMeta = {
    digest: values.get("digest") ?? "",
    wandbDigest: values.get("wandb_digest") ?? "",
    files: number("files"),
    bytes: number("bytes"),
    unknownSizes: number("unknown_sizes"),
    assurances: countsBy((level) => number(`assurance_${level}`)),
    nodes: number("nodes"),
    emptyDirectories: Number(values.get("empty_directories") ?? 0),
    createdMs: number("created_ms"),
  };
  const sound =
    number("format") === formatOf(meta) && number("check_crc") === checkOf(encodeMeta(meta));
  return sound ? meta : null;
}

/** One count for each level of assurance. */
export function countsBy(count: (level: Assurance) => number): Record<Assurance, number> {
  return {
    content: count("content"),
    provider: count("provider"),
    pin: count("pin"),
    none: count("none"),
  };
}

function formatOf({ emptyDirectories }: ManifestMeta): number {
  return emptyDirectories > 0 ? EMPTY_DIRECTORIES_FORMAT : MANIFEST_FORMAT;
}

function encodeMeta(meta: ManifestMeta): (readonly [key: string, value: string])[] {
  const { emptyDirectories } = meta;
  return [
    ["format", String(formatOf(meta))],
    ["digest", meta.digest],
    ["wandb_digest", meta.wandbDigest],
    ["files", String(meta.files)],
    ["bytes", String(meta.bytes)],
    ["unknown_sizes", String(meta.unknownSizes)],
    ["nodes", String(meta.nodes)],
    // Only where there are some: a manifest without stays as it always was.
    ...(emptyDirectories > 0 ? [["empty_directories", String(emptyDirectories)] as const] : []),
    ["created_ms", String(meta.createdMs)],
    ...ASSURANCES.map((level) => [`assurance_${level}`, String(meta.assurances[level])] as const),
  ];
}

function checkOf(values: readonly (readonly [string, string])[]): number {
  return crc32(values.map(([key, value]) => `${key}=${value}\n`).join(""));
}
