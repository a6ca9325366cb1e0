#!/usr/bin/env node
// `log` of local files beside `xargs -P CORES sha256sum` over the same ones, in turns, the page cache
// warm: how well hashing scales with cores, and what a small file costs. Runs by itself
// (hashing.js [ROUNDS [DIR]]) or as a part of a benchmark.

import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { randomFillSync } from "node:crypto";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Refmount } from "./mounts.js";
import { run, say } from "./process.js";
import { describeMachine, toMarkdown } from "./report.js";
import { alternate } from "./workloads.js";

const SETS = [
  { files: 2_000, fileBytes: 1_000_000 },
  { files: 20_000, fileBytes: 20_000 },
];
const FILES_PER_DIRECTORY = 1_000;
/** What one sha256sum is called with: few enough to keep all of them busy to the end. */
const FILES_PER_CALL = 100;

/** Rows as the other workloads give them, sha256sum first. */
export async function hashingWorkload({ bench, refmount }) {
  const rows = [];
  for (const set of SETS) {
    const { files, fileBytes } = set;
    const source = join(bench.folder, `hashing-${fileBytes}`);
    const list = makeFiles(source, set);
    const measures = {
      sha256sum: () =>
        run("sh", [
          "-c",
          `xargs -0 -n ${FILES_PER_CALL} -P ${availableParallelism()} sha256sum < "$1" > /dev/null`,
          "sh",
          list,
        ]),
      log: () => refmount.log(`hashing-${fileBytes}`, source),
    };
    const row = {
      workload: "hashing",
      title: `log ${files} local files of ${fileBytes} bytes`,
      unit: "MB/s",
      better: "higher",
    };
    rows.push(
      await alternate(bench, Object.keys(measures), row, async (name) => {
        const start = performance.now();
        await measures[name]();
        return (files * fileBytes) / 1e3 / (performance.now() - start);
      }),
    );
    rmSync(source, { recursive: true });
  }
  return rows;
}

/** Files that all differ; gives the path of a list of them, each ended by a NUL. */
function makeFiles(folder, { files, fileBytes }) {
  say(`making ${files} files of ${fileBytes} bytes`);
  const bytes = randomFillSync(Buffer.alloc(fileBytes));
  const paths = [];
  for (let index = 0; index < files; index++) {
    const directory = join(folder, `d${Math.floor(index / FILES_PER_DIRECTORY)}`);
    if (index % FILES_PER_DIRECTORY === 0) mkdirSync(directory, { recursive: true });
    bytes.writeUInt32LE(index);
    const path = join(directory, `f${index}`);
    writeFileSync(path, bytes);
    paths.push(path);
  }
  const list = `${folder}.list`;
  writeFileSync(list, paths.map((path) => `${path}\0`).join(""));
  return list;
}

/** The same as a table, in Markdown. */
export async function measureHashing({ folder, rounds }) {
  const bench = { folder, rounds };
  const rows = await hashingWorkload({ bench, refmount: new Refmount(folder) });
  const result = { at: new Date().toISOString(), machine: describeMachine(folder), rows };
  return toMarkdown({ ...result, options: bench });
}

if (
  process.argv[1] !== undefined &&
  realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)
) {
  const [rounds = "5", dir = tmpdir()] = process.argv.slice(2);
  const folder = mkdtempSync(join(dir, "refmount-bench-"));
  try {
    process.stdout.write(`${await measureHashing({ folder, rounds: Number(rounds) })}\n`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
