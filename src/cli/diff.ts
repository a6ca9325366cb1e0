// refmount diff REF REF: what was added, removed and changed from one version to another.

import type { Command } from "commander";
import type { Difference, DiffStat, VersionDiff } from "../daemon/diff.js";
import type { Entry } from "../model/entry.js";
import { encodePin } from "../model/pin.js";
import { Batch } from "./batch.js";
import { printable } from "./text.js";
import { formatBytes, plural } from "./units.js";
import { examples, openDesk, type Invocation } from "./verb.js";

interface Options {
  readonly stat?: boolean;
}

const CHANGE_TEXT = {
  content: "other content",
  reference: "same content, other reference",
  unknown: "other reference, content may differ",
} as const;

export function addDiff(program: Command, invocation: Invocation): void {
  program
    .command("diff")
    .description("show what was added, removed and changed from one version to another")
    .argument("<before>", "[entity/][project/]name[:version or alias]")
    .argument("<after>", "the same, of this artifact or another")
    .option("--stat", "only the counts")
    .addHelpText("after", examples("refmount diff mnist:v3 mnist:v4", "refmount diff a:v1 b:v7"))
    .action(async (before: string, after: string, options: Options, command: Command) => {
      const desk = openDesk(command, invocation);
      const { countDifferences, diffVersions } = await import("../daemon/diff.js");
      const diff = diffVersions(await desk.openHome(), before, after);
      if (options.stat === true) {
        countDifferences(diff);
        desk.print(headKeys(diff), () => describeStat(diff));
        return;
      }
      using out = new Batch(invocation.stdout);
      // The counts are complete once the differences were read.
      if (desk.json) out.writeArray("differences", differenceDocuments(diff), () => headKeys(diff));
      else writeText(out, diff);
    });
}

function writeText(out: Batch, diff: VersionDiff): void {
  for (const difference of diff.differences) out.write(`${describeDifference(difference)}\n`);
  out.write(`${describeStat(diff)}\n`);
}

function* differenceDocuments(diff: VersionDiff): IterableIterator<object> {
  for (const difference of diff.differences) yield differenceKeys(difference);
}

function headKeys({ before, after, stat }: VersionDiff): object {
  return {
    before: { ref: before.ref, digest: before.digest, manifest: before.manifestDigest },
    after: { ref: after.ref, digest: after.digest, manifest: after.manifestDigest },
    stat,
  };
}

function differenceKeys(difference: Difference): object {
  const { kind, path } = difference;
  switch (kind) {
    case "added":
      return { path, kind, after: entryKeys(difference.after) };
    case "removed":
      return { path, kind, before: entryKeys(difference.before) };
    case "changed":
      return {
        path,
        kind,
        change: difference.change,
        before: entryKeys(difference.before),
        after: entryKeys(difference.after),
      };
  }
}

function entryKeys({ sizeBytes, entryDigest, uri, pin, digests }: Entry): object {
  return { sizeBytes, entryDigest, uri, pin, digests };
}

function describeDifference(difference: Difference): string {
  const path = printable(difference.path);
  switch (difference.kind) {
    case "added":
      return `+ ${path}  ${describeSize(difference.after)}`;
    case "removed":
      return `- ${path}  ${describeSize(difference.before)}`;
    case "changed":
      return `~ ${path}  ${describeChange(difference)}`;
  }
}

function describeChange(difference: Difference & { kind: "changed" }): string {
  const { before, after, change } = difference;
  const [old, now] =
    change === "content"
      ? [describeSize(before), describeSize(after)]
      : before.uri === after.uri
        ? [encodePin(before.pin) || "not pinned", encodePin(after.pin) || "not pinned"]
        : [before.uri, after.uri];
  const what = old === now ? "" : `: ${printable(old)} -> ${printable(now)}`;
  return `${CHANGE_TEXT[change]}${what}`;
}

function describeSize({ sizeBytes }: Entry): string {
  return sizeBytes === null ? "unknown size" : formatBytes(sizeBytes);
}

function describeStat({ before, after, stat }: VersionDiff): string {
  return `${before.ref} -> ${after.ref}: ${describeCounts(stat)}`;
}

export function describeCounts(stat: DiffStat): string {
  const parts = (Object.keys(stat) as (keyof DiffStat)[])
    .filter((name) => stat[name].files > 0)
    .map((name) => {
      const { files, bytes } = stat[name];
      const what = name === "added" || name === "removed" ? name : CHANGE_TEXT[name];
      return `${plural(files, "file")} ${what} (${formatBytes(bytes)})`;
    });
  return parts.length === 0 ? "no difference" : parts.join("; ");
}
