// `import wandb-manifest` and `export wandb-manifest`: manifests of W&B as versions of ours and back, entry
// by entry, in bounded memory. Asks neither W&B nor a store.

import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import { PassThrough, type Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { Fault } from "../model/fault.js";
import { jsonMembers } from "../model/json-members.js";
import {
  checkWandbHead,
  readWandbEntry,
  WANDB_MANIFEST_VERSION,
  WANDB_STORAGE_POLICY,
  type WandbEntry,
} from "../model/wandb-manifest.js";
import { parseRef } from "../model/ref.js";
import { ManifestWriter } from "../registry/manifest-writer.js";
import { Manifest } from "../registry/manifest.js";
import { Registry } from "../registry/registry.js";
import { fromWandbEntry, toWandbEntry } from "../stores/wandb-entry.js";
import type { Environment, Home } from "./home.js";
import type { LogReport } from "./log.js";
import { captureProducer } from "./provenance.js";

export interface ImportRequest {
  readonly file: string;
  /** `[entity/][project/]name` */
  readonly name: string;
  readonly type: string;
  readonly aliases: readonly string[];
  /** The artifact's digest as W&B tells it; null: it is not compared. */
  readonly digest: string | null;
}

export interface ImportWatch {
  readonly environment: Environment;
  readonly signal: AbortSignal;
  readonly onNotice: (message: string) => void;
  readonly onProgress?: (entries: number) => void;
}

const READ_BYTES = 1_048_576;
const GZIP_MAGIC = Buffer.from([0x1f, 0x8b]);
/** A document begins with one of these keys; a line of JSON lines with others. */
const DOCUMENT = /^\s*\{\s*"(?:version|storagePolicy|storagePolicyConfig|contents)"/;

/**
 * Logs what a manifest of W&B holds, as JSON or as JSON lines, packed with gzip or not.
 * @throws Fault `usage` for a file that is no such manifest, or holds paths that cannot be; `corrupt` for
 * another digest than given. Nothing is logged then.
 */
export async function importWandbManifest(
  home: Home,
  request: ImportRequest,
  watch: ImportWatch,
): Promise<LogReport> {
  if (request.name.includes(":")) {
    throw new Fault("usage", `"${request.name}": import takes a name alone, not a version`);
  }
  const { entity, project, name } = parseRef(request.name);
  const sources = [`wandb-manifest:${request.file}`];
  const { type, aliases } = request;
  const recorded = { entity, project, name, type, aliases, sources };
  const producer = await captureProducer(watch.environment, { run: null, command: null });
  using registry = Registry.open(home);
  registry.checkLog(recorded);
  using writer = ManifestWriter.create(home.manifestsDir);
  let count = 0;
  let unreadable = 0;
  for await (const entry of readManifest(request.file, watch.signal)) {
    writer.add(fromWandbEntry(entry));
    count += 1;
    if (entry.ref === null || /^wandb-(?:client-)?artifact:/i.test(entry.ref)) unreadable += 1;
    watch.onProgress?.(count);
  }
  if (count === 0) throw new Fault("not-found", `${request.file} holds no entry: nothing to log`);
  if (unreadable > 0) {
    watch.onNotice(
      `${unreadable} of ${count} files are kept by W&B, not referenced: they are listed, and reading them fails`,
    );
  }
  const sealed = writer.seal();
  if (request.digest !== null && request.digest.toLowerCase() !== sealed.wandbDigest) {
    throw new Fault(
      "corrupt",
      `${request.file} has the digest ${sealed.wandbDigest}, given was ${request.digest}: nothing is logged`,
      { subject: request.file },
    );
  }
  watch.signal.throwIfAborted();
  const logged = registry.log(recorded, sealed, { producer, used: [] });
  const { version, created, revised, previous } = logged;
  const { ref, digest, manifestDigest, files, bytes } = version;
  return {
    ...{ ref, digest, manifestDigest, files, bytes, created, revised, previous },
    version: version.version,
    aliases: version.aliases,
  };
}

async function* readManifest(file: string, signal: AbortSignal): AsyncGenerator<WandbEntry> {
  const input = await openManifest(file, signal);
  try {
    if (DOCUMENT.test(input.beginning)) yield* readDocument(input.stream, file);
    else yield* readLines(input.stream, file);
  } catch (error) {
    signal.throwIfAborted();
    throw foreignFault(error, file);
  } finally {
    input.stream.destroy();
  }
}

async function* readDocument(stream: Readable, file: string): AsyncGenerator<WandbEntry> {
  const head = new Map<string, unknown>();
  for await (const { of, key, text } of jsonMembers(stream, "contents", file)) {
    const value: unknown = JSON.parse(text);
    if (of === null) head.set(key, value);
    else yield readWandbEntry(key, value);
    if (of !== null) head.set("contents", true);
  }
  // Of a manifest without entries the members of `contents` say nothing.
  if (!head.has("contents")) head.set("contents", {});
  checkWandbHead(head);
}

async function* readLines(stream: Readable, file: string): AsyncGenerator<WandbEntry> {
  let number = 0;
  for await (const line of createInterface({ input: stream, crlfDelay: Infinity })) {
    number += 1;
    if (line.trim() === "") continue;
    const value: unknown = JSON.parse(line);
    const path = (value as { path?: unknown } | null)?.path;
    if (typeof path !== "string") {
      throw new Fault("usage", `${file}:${number} is no entry of a manifest: it has no path`);
    }
    yield readWandbEntry(path, value);
  }
}

/** The text of a manifest, unpacked, and how it begins. */
async function openManifest(
  file: string,
  signal: AbortSignal,
): Promise<{ readonly stream: Readable; readonly beginning: string }> {
  const raw = createReadStream(file, { highWaterMark: READ_BYTES, signal });
  const first = await firstOf(raw, file);
  const unpacked = first.subarray(0, 2).equals(GZIP_MAGIC) ? createGunzip() : new PassThrough();
  const stream = joined(first, raw).pipe(unpacked);
  const beginning = await firstOf(stream, file);
  return { stream: joined(beginning, stream), beginning: beginning.toString("utf8", 0, 4_096) };
}

/** The first bytes of a stream, taken from it; none when it is empty. */
function firstOf(stream: Readable, file: string): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void => reject(foreignFault(error, file));
    stream.once("error", fail);
    stream.once("end", () => resolve(Buffer.alloc(0)));
    stream.once("readable", () => {
      stream.off("error", fail);
      const bytes = stream.read() as Buffer | null;
      if (bytes !== null) resolve(bytes);
    });
  });
}

/** A stream again, with what was taken from it. */
function joined(first: Buffer, rest: Readable): Readable {
  const whole = new PassThrough({ highWaterMark: READ_BYTES });
  whole.write(first);
  rest.on("error", (error) => whole.destroy(error));
  whole.on("close", () => rest.destroy());
  if (rest.readableEnded) whole.end();
  else rest.pipe(whole);
  return whole;
}

function foreignFault(error: unknown, file: string): Error {
  if (!(error instanceof Error)) return new Error(String(error));
  if (error instanceof Fault) return error;
  const { code } = error as NodeJS.ErrnoException;
  if (code === "ENOENT")
    return new Fault("not-found", `There is no file ${file}`, { cause: error });
  if (code === undefined && !(error instanceof SyntaxError)) return error;
  return new Fault("usage", `Cannot read the manifest ${file}: ${error.message}`, {
    subject: file,
    cause: error,
  });
}

/**
 * A version as a manifest of W&B, as text in pieces. To be read to its end or left.
 * @throws Fault `not-found`, `usage`.
 */
export function* exportWandbManifest(home: Home, ref: string): IterableIterator<string> {
  const digest = resolveManifest(home, ref);
  using manifest = Manifest.open(home.manifestsDir, digest);
  const head = {
    version: WANDB_MANIFEST_VERSION,
    storagePolicy: WANDB_STORAGE_POLICY,
    storagePolicyConfig: { storageLayout: "V2" },
  };
  yield `${JSON.stringify(head).slice(0, -1)},"contents":{`;
  let separator = "\n";
  for (const entry of manifest.entries()) {
    yield `${separator}${JSON.stringify(entry.path)}:${JSON.stringify(toWandbEntry(entry))}`;
    separator = ",\n";
  }
  yield "\n}}\n";
}

function resolveManifest(home: Home, ref: string): string {
  using registry = Registry.open(home);
  return registry.resolve(ref).manifestDigest;
}
