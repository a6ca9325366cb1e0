// refmount log NAME --type TYPE --ref [PATH=]URI...

import { Option, type Command } from "commander";
import type { DiffStat } from "../daemon/diff.js";
import type { LogProgress, LogReport } from "../daemon/log.js";
import type { TimeToLive } from "../daemon/amend.js";
import { Fault } from "../model/fault.js";
import { describeCounts } from "./diff.js";
import { readMetadata } from "./metadata.js";
import { parseTtl } from "./rm.js";
import { formatBytes, formatCount, parseCount, plural } from "./units.js";
import { examples, openDesk, repeatable, type Desk, type Invocation } from "./verb.js";

const DEFAULT_MAX_OBJECTS = 10_000;

const SOURCES = `

A URI is one of
  s3://BUCKET/KEY[?versionId=V]                 everything that speaks S3
  gs://BUCKET/KEY[#GENERATION]                  Google Cloud Storage
  https://ACCOUNT.blob.core.windows.net/CONTAINER/BLOB[?versionId=V]
                                                Azure Blob Storage; also az, abfs, abfss, wasb and wasbs
  https://HOST/PATH, http://HOST/PATH           one file
  file:///PATH                                  a file or a directory
  refmount://NAME[:ALIAS][/PATH]                entries of another artifact, as they are now
  ANYTHING://...                                tracked, not read: needs PATH=

A list has one object a line: URI, and after TABs a digest (sha256:HEX or sha256-BASE64; md5, sha1,
crc64nvme, crc32c, crc32; - for none) and a path. Blank lines and lines that begin with # are skipped.`;

interface Options {
  readonly type: string;
  readonly ref: readonly string[];
  readonly alias?: readonly string[];
  readonly tag?: readonly string[];
  readonly description?: string;
  readonly metadata?: string;
  readonly maxObjects: number;
  readonly checksum: boolean;
  readonly hash?: boolean;
  readonly pin?: "version";
  readonly onConflict: "fail" | "skip";
  readonly ttl?: TimeToLive;
  readonly run?: string;
  readonly producedBy?: string;
}

export function addLog(program: Command, invocation: Invocation): void {
  program
    .command("log")
    .description("record what is in object storage or on disk as a new version")
    .argument("<name>", "[entity/][project/]name")
    .requiredOption("--type <type>", "what kind of artifact it is, such as dataset")
    .requiredOption(
      "--ref <[path=]uri|@file>",
      "an object, all below a prefix, or a list of objects (@- reads it from standard input); repeatable",
      repeatable,
    )
    .option("--alias <alias>", "name the version, besides latest; repeatable", repeatable)
    .option("--tag <tag>", "tag the version; repeatable", repeatable)
    .option("--description <text>", "say what this version is")
    .option("--metadata <json|@file>", "a JSON object to keep with the version")
    .option(
      "--max-objects <n>",
      "fail when there are more objects",
      (text) => parseCount(text, "--max-objects"),
      DEFAULT_MAX_OBJECTS,
    )
    .option("--no-checksum", "pin nothing and read nothing: the version is only a list")
    .option("--hash", "read every object and record its SHA-256")
    .addOption(
      new Option("--pin <what>", "version: fail unless every object has a version id").choices([
        "version",
      ]),
    )
    .addOption(
      new Option(
        "--on-conflict <what>",
        "skip: leave out objects whose path is taken or impossible",
      )
        .choices(["fail", "skip"])
        .default("fail"),
    )
    .addOption(
      new Option(
        "--ttl <time>",
        "how long a new version lives, such as 30d; never; inherit",
      ).argParser(parseTtl),
    )
    .option("--run <id>", "the run that produced it (default: $REFMOUNT_RUN)")
    .option("--produced-by <command>", "the command that produced it, where no run is known")
    .addHelpText(
      "after",
      examples(
        "refmount log mnist --type dataset --ref s3://bucket/datasets/mnist",
        "refmount log mnist --type dataset --ref train=s3://bucket/a --ref test=s3://bucket/b",
        "refmount log demo --type dataset --ref file:///data/demo --alias best",
        "refmount log web --type dataset --ref @urls.txt",
        "refmount log both --type dataset --ref a=refmount://mnist:v3 --ref b=refmount://demo:best/train",
      ) + SOURCES,
    )
    .action(async (name: string, options: Options, command: Command) => {
      const desk = openDesk(command, invocation);
      const metadata = options.metadata === undefined ? {} : readMetadata(options.metadata);
      const { logReferences, parseSource } = await import("../daemon/log.js");
      using interruption = invocation.interrupts.abortable();
      using progress = desk.progress;
      const report = await logReferences(
        await desk.openHome(),
        {
          name,
          type: options.type,
          sources: options.ref.map(parseSource),
          aliases: options.alias ?? [],
          tags: options.tag ?? [],
          description: options.description ?? null,
          metadata,
          maxObjects: options.maxObjects,
          checksum: options.checksum,
          hash: options.hash === true,
          pinVersion: options.pin === "version",
          onConflict: options.onConflict,
          ttl: options.ttl ?? "inherit",
          producer: { run: options.run ?? null, command: options.producedBy ?? null },
        },
        {
          environment: invocation.environment,
          signal: interruption.signal,
          onProgress: (state) => progress.update(() => describeProgress(name, state)),
          onNotice: (message) => desk.note(message),
          openStdin: invocation.openStdin,
        },
      );
      await printLogged(desk, report);
    });
}

function describeProgress(name: string, state: LogProgress): string {
  const hashed = state.hashedBytes === 0 ? "" : `, ${formatBytes(state.hashedBytes)} hashed`;
  return `${name}: ${formatCount(state.found)} objects found${hashed}`;
}

interface Since {
  readonly ref: string;
  readonly stat: DiffStat;
}

/** Prints what was logged, and what a new version has otherwise than the one before it. */
export async function printLogged(desk: Desk, report: LogReport): Promise<void> {
  const since = await changesSince(desk, report);
  const { ref, version, digest, files, bytes, aliases, created } = report;
  // The keys that scripts rely on, in this order.
  const keys = { ref, version, digest, files, bytes, aliases, created, since };
  desk.print(keys, () => describeLog(report, since));
}

async function changesSince(desk: Desk, report: LogReport): Promise<Since | null> {
  const { created, previous, ref } = report;
  if (!created || previous === null) return null;
  const { countDifferences, diffVersions } = await import("../daemon/diff.js");
  try {
    const diff = diffVersions(await desk.openHome(), previous, ref);
    return { ref: previous, stat: countDifferences(diff) };
  } catch (error) {
    // The version is logged: that what was there before cannot be read is no failure of it.
    if (!(error instanceof Fault)) throw error;
    desk.note(`${ref} cannot be compared with ${previous}: ${error.message}`);
    return null;
  }
}

function describeLog(report: LogReport, since: Since | null): string {
  const size = `${plural(report.files, "file")}, ${formatBytes(report.bytes)}`;
  const line = `${report.ref}  ${report.digest}  ${size}`;
  if (since !== null) return `${line}\nSince ${since.ref}: ${describeCounts(since.stat)}`;
  if (report.created) return line;
  const revised = report.revised ? " Its manifest has a new revision." : "";
  return `${line}\nThe same content was logged before: no new version.${revised}`;
}
