// The benchmark's command line.

import { parseArgs } from "node:util";

export const SUBJECTS = ["cached", "passthrough", "fuse-native"];
export const WORKLOADS = [
  "small",
  "small-dropped",
  "sequential",
  "mapped",
  "large-dropped",
  "random",
  "readdir",
  "stat",
  "mount",
  "find",
];

const HELP = `usage: scripts/bench [options]

Measures a refmount beside the plain folder it was logged from, alternating, and prints a table.
Needs a built refmount (npm run build), a C compiler and /dev/fuse; root for passthrough and the
"dropped" workloads. The whole takes about an hour and 20 GB of disk; a quick look:

  scripts/bench --files 2000 --large 256MiB --entries 20000 --rounds 3

  --workloads LIST   of ${WORKLOADS.join(", ")} (default: all)
  --subjects LIST    of ${SUBJECTS.join(", ")} (default: all that this machine can)
  --files N          small files, in 20 directories (20000)
  --file-size SIZE   of each (100kB)
  --large SIZE       of the large file (2GiB)
  --entries N        files of the tree for find and the largest mount (1000000)
  --rounds N         of each measurement; medians are shown (5)
  --dir DIR          work in a new folder inside DIR (the temporary folder)
  --keep             leave that folder there
  --out BASE         write BASE.json and BASE.md (bench in the current folder)
`;

/** The options, or null when only help was asked for. */
export function readOptions(argv) {
  const { values } = parseArgs({
    args: argv,
    options: {
      workloads: { type: "string" },
      subjects: { type: "string" },
      files: { type: "string", default: "20000" },
      "file-size": { type: "string", default: "100kB" },
      large: { type: "string", default: "2GiB" },
      entries: { type: "string", default: "1000000" },
      rounds: { type: "string", default: "5" },
      dir: { type: "string" },
      keep: { type: "boolean", default: false },
      out: { type: "string", default: "bench" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return null;
  }
  return {
    workloads: choose("--workloads", values.workloads, WORKLOADS),
    subjects:
      values.subjects === undefined ? null : choose("--subjects", values.subjects, SUBJECTS),
    files: readCount("--files", values.files),
    fileBytes: readSize("--file-size", values["file-size"]),
    largeBytes: readSize("--large", values.large),
    entries: readCount("--entries", values.entries),
    rounds: readCount("--rounds", values.rounds),
    dir: values.dir ?? null,
    keep: values.keep,
    out: values.out,
  };
}

function choose(option, text, known) {
  const chosen = (text ?? known.join(",")).split(",").filter((one) => one !== "");
  const unknown = chosen.filter((one) => !known.includes(one));
  if (unknown.length > 0) {
    throw new Error(`${option} does not know ${unknown.join(", ")}; it takes ${known.join(", ")}`);
  }
  return known.filter((one) => chosen.includes(one));
}

/** @throws Error unless `text` is a number from 1. */
export function readCount(option, text) {
  if (!/^[1-9][0-9]*$/.test(text))
    throw new Error(`${option} takes a number from 1, not "${text}"`);
  return Number(text);
}

const UNITS = { B: 1, kB: 1e3, MB: 1e6, GB: 1e9, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 };

function readSize(option, text) {
  const match = /^([0-9]+)(B|kB|MB|GB|KiB|MiB|GiB)?$/.exec(text);
  if (match === null)
    throw new Error(`${option} takes a size such as 100kB or 2GiB, not "${text}"`);
  return Number(match[1]) * UNITS[match[2] ?? "B"];
}
