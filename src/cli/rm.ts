// refmount rm, undelete, ttl, gc: how long versions live.

import { Option, type Command } from "commander";
import type { TimeToLive } from "../daemon/amend.js";
import { Fault } from "../model/fault.js";
import { parseRef } from "../model/ref.js";
import { formatBytes, formatDuration, formatTime, parseLifetimeMs, plural } from "./units.js";
import { examples, openDesk, type Invocation } from "./verb.js";
import { labelKeys } from "./version-labels.js";

const DEFAULT_GRACE = "7d";

interface RmOptions {
  readonly force?: boolean;
}

export function addRm(program: Command, invocation: Invocation): void {
  program
    .command("rm")
    .description("delete a version; its objects in the store are not touched")
    .argument("<ref>", "[entity/][project/]name:version or alias")
    .option("--force", "also when it has aliases, which it then loses")
    .addHelpText("after", examples("refmount rm mnist:v3", "refmount rm mnist:bad --force"))
    .action(async (ref: string, options: RmOptions, command: Command) => {
      if (!ref.includes(":")) {
        throw new Fault("usage", `"${ref}" names no version: write ${ref}:v3, or an alias`);
      }
      const desk = openDesk(command, invocation);
      const { deleteVersion } = await import("../daemon/amend.js");
      const version = deleteVersion(await desk.openHome(), ref, options.force === true);
      desk.print(
        labelKeys(version),
        () => `${version.ref} is deleted; until gc purges it, refmount undelete brings it back`,
      );
    });
}

export function addUndelete(program: Command, invocation: Invocation): void {
  program
    .command("undelete")
    .description("bring back a deleted version, or list those that can be")
    .argument("<ref>", "[entity/][project/]name:vN, or a name alone to list")
    .addHelpText("after", examples("refmount undelete mnist:v3", "refmount undelete mnist"))
    .action(async (ref: string, _: object, command: Command) => {
      const desk = openDesk(command, invocation);
      const { listDeleted, undeleteVersion } = await import("../daemon/amend.js");
      const home = await desk.openHome();
      if (ref.includes(":")) {
        const version = undeleteVersion(home, ref);
        desk.print(labelKeys(version), () => `${version.ref} is back, without its aliases`);
        return;
      }
      const deleted = listDeleted(home, ref);
      desk.print({ name: ref, deleted: deleted.map(labelKeys) }, () =>
        deleted.length === 0
          ? `No version of ${ref} waits to be purged`
          : deleted
              .map((each) => `${each.ref}  deleted ${formatTime(each.deletedMs ?? 0)}`)
              .join("\n"),
      );
    });
}

export function addTtl(program: Command, invocation: Invocation): void {
  program
    .command("ttl")
    .description("say how long a version lives, or the versions of an artifact")
    .argument("<ref>", "a version (name:v3, name:alias), or an artifact (name)")
    .argument("<ttl>", "a time such as 30d, never, or for a version inherit")
    .addHelpText(
      "after",
      `\nCounted from when a version was logged. A version with an alias besides latest stays.\n${examples(
        "refmount ttl mnist 90d",
        "refmount ttl mnist:v3 never",
      )}`,
    )
    .action(async (ref: string, text: string, _: object, command: Command) => {
      const ttl = parseTtl(text);
      const desk = openDesk(command, invocation);
      const { setArtifactTtl, setVersionTtl } = await import("../daemon/amend.js");
      const home = await desk.openHome();
      if (ref.includes(":")) {
        const version = setVersionTtl(home, ref, ttl);
        const { expiresMs } = version;
        desk.print(
          labelKeys(version),
          () =>
            `${version.ref} lives ${expiresMs === null ? "for ever" : `until ${formatTime(expiresMs)}`}`,
        );
        return;
      }
      if (ttl === "inherit") {
        throw new Fault("usage", `"${ref}" is an artifact: it has nothing to inherit from`);
      }
      setArtifactTtl(home, parseRef(ref), ttl);
      desk.print(
        { name: ref, ttlMs: ttl === "never" ? null : ttl },
        () => `Versions of ${ref} live ${ttl === "never" ? "for ever" : formatDuration(ttl)}`,
      );
    });
}

interface GcOptions {
  readonly grace: number;
  readonly dryRun?: boolean;
}

export function addGc(program: Command, invocation: Invocation): void {
  program
    .command("gc")
    .description("purge deleted versions whose grace is over, and manifests that nothing needs")
    .addOption(
      new Option("--grace <time>", "how long deleted versions can be brought back")
        .argParser((text: string) => parseLifetimeMs(text, "--grace"))
        .default(parseLifetimeMs(DEFAULT_GRACE, "--grace"), DEFAULT_GRACE),
    )
    .option("--dry-run", "remove nothing, only tell")
    .addHelpText("after", examples("refmount gc --dry-run", "refmount gc --grace 0s"))
    .action(async (options: GcOptions, command: Command) => {
      const desk = openDesk(command, invocation);
      const { collectGarbage } = await import("../daemon/gc.js");
      const dryRun = options.dryRun === true;
      const report = await collectGarbage(await desk.openHome(), {
        graceMs: options.grace,
        dryRun,
      });
      desk.print({ ...report, dryRun }, () => {
        const what = `${plural(report.versions, "version")}, ${plural(report.manifests, "manifest")} (${formatBytes(report.bytes)})`;
        return dryRun ? `Would remove ${what}` : `Removed ${what}`;
      });
    });
}

/** @throws Fault `usage` */
export function parseTtl(text: string): TimeToLive {
  if (text === "never" || text === "inherit") return text;
  const ttlMs = parseLifetimeMs(text, "The time to live");
  if (ttlMs === 0) throw new Fault("usage", "A time to live has to be positive");
  return ttlMs;
}
