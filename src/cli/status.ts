// refmount status

import type { Command } from "commander";
import type { Home } from "../daemon/home.js";
import type { CacheStatus, StatusReport } from "../daemon/protocol.js";
import { fields, printable, table } from "./text.js";
import { formatBytes, formatCount, formatDuration, formatTime } from "./units.js";
import { examples, openDesk, type Invocation } from "./verb.js";

export function addStatus(program: Command, invocation: Invocation): void {
  program
    .command("status")
    .description("show mounts, cache, fetches in flight and last errors")
    .addHelpText("after", examples("refmount status", "refmount status --json"))
    .action(async (_options: object, command: Command) => {
      const desk = openDesk(command, invocation);
      const home = await desk.openHome();
      const { readStatus } = await import("../daemon/client.js");
      const status = await readStatus(home);
      desk.print(status ?? idleStatus(home), () =>
        status === null
          ? "Nothing is mounted: no daemon runs for this home."
          : describe(status, home),
      );
    });
}

// What scripts get while no daemon runs: the same shape, with null for what nobody knows.
function idleStatus(home: Home): object {
  const cache = {
    dir: home.cacheDir,
    usedBytes: null,
    limitBytes: null,
    hits: 0,
    misses: 0,
  };
  return { pid: null, workerPid: null, mounts: [], cache, fetches: [], errors: [] };
}

function describe(status: StatusReport, home: Home): string {
  const sections = [
    fields([
      ["daemon", `pid ${status.pid}, worker ${status.workerPid}, log ${home.logPath}`],
      ["cache", describeCache(status.cache)],
      ["folder", status.cache.dir],
    ]),
    status.mounts.length === 0 ? "Nothing is mounted." : describeMounts(status),
  ];
  if (status.fetches.length > 0) sections.push(describeFetches(status));
  if (status.errors.length > 0) sections.push(describeErrors(status));
  return sections.join("\n\n");
}

function describeCache({ usedBytes, limitBytes, hits, misses }: CacheStatus): string {
  const used = `${formatBytes(usedBytes)} of ${formatBytes(limitBytes)} used`;
  const fills = hits + misses;
  if (fills === 0) return used;
  const share = Math.floor((100 * hits) / fills);
  return `${used}, ${formatCount(hits)} hits and ${formatCount(misses)} misses (${share} % hits)`;
}

function describeMounts(status: StatusReport): string {
  return table(
    ["MOUNT", "AT", "STATE", "IO", "FILES", "SIZE", "READS", "WAITING"],
    ["left", "left", "left", "left", "right", "right", "right", "right"],
    status.mounts.map((mount) => [
      mount.ref,
      printable(mount.path),
      mount.state,
      mount.driver === "native" ? mount.io : mount.driver,
      formatCount(mount.files),
      formatBytes(mount.bytes),
      formatCount(mount.reads),
      formatCount(mount.parked),
    ]),
  );
}

function describeFetches(status: StatusReport): string {
  return table(
    ["FETCHING", "DONE", "OF", "FOR"],
    ["left", "right", "right", "right"],
    status.fetches.map((fetch) => [
      printable(fetch.uri),
      formatBytes(fetch.doneBytes),
      fetch.sizeBytes === null ? "?" : formatBytes(fetch.sizeBytes),
      formatDuration(fetch.ageMs),
    ]),
  );
}

function describeErrors(status: StatusReport): string {
  const lines = status.errors.map((error) => {
    const where = error.path === "" ? error.mount : `${error.mount}/${printable(error.path)}`;
    return `  ${formatTime(error.at)}  ${error.kind}  ${where}\n    ${printable(error.message)}`;
  });
  return ["Last errors", ...lines].join("\n");
}
