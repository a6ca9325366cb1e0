// The machine that was measured on, and the results as a Markdown table.

import { execFileSync } from "node:child_process";
import { availableParallelism, cpus, release, totalmem } from "node:os";

export function describeMachine(folder) {
  const fileSystem = text("stat", ["-f", "-c", "%T", folder]);
  return {
    cpu: cpus()[0]?.model ?? "unknown",
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    kernel: release(),
    node: process.version,
    fileSystem,
    commit: text("git", ["rev-parse", "--short", "HEAD"]),
  };
}

export function machineLine({ machine, at }) {
  return (
    `Measured ${at} on ${machine.cores} x ${machine.cpu}, ${(machine.memoryBytes / 2 ** 30).toFixed(0)} GiB, ` +
    `Linux ${machine.kernel}, Node ${machine.node}, ${machine.fileSystem}, commit ${machine.commit || "none"}.`
  );
}

export function toMarkdown({ machine, options, rows, at }) {
  const lines = [
    machineLine({ machine, at }),
    `Medians of ${options.rounds} rounds, taken in turns. In brackets: how many times as fast as the first column.`,
    "",
  ];
  for (const group of groupByNames(rows)) {
    const names = group[0].figures.map((figure) => figure.name);
    lines.push(
      `| | unit | ${names.join(" | ")} |`,
      `|---|---|${names.map(() => "---:|").join("")}`,
      ...group.map((row) => {
        const cells = row.figures.map((figure, index) =>
          index === 0
            ? short(figure.median)
            : `${short(figure.median)} (${figure.ratio.toFixed(2)})`,
        );
        return `| ${row.title} | ${row.unit} | ${cells.join(" | ")} |`;
      }),
      "",
    );
  }
  return lines.join("\n");
}

/** Rows with the same columns share a table. */
function groupByNames(rows) {
  const groups = new Map();
  for (const row of rows) {
    const key = row.figures.map((figure) => figure.name).join();
    groups.set(key, [...(groups.get(key) ?? []), row]);
  }
  return [...groups.values()];
}

function short(value) {
  if (value >= 1000) return Math.round(value).toLocaleString("en-US");
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

function text(command, args) {
  try {
    return execFileSync(command, args, {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }).trim();
  } catch {
    return "";
  }
}
