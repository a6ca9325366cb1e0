// What is measured. Each workload gives rows; a row has one figure for the plain folder and one for
// each subject, taken in turns (A B A B), so that what else the machine does meets them all.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { run, say, timed } from "./process.js";

export const PLAIN = "plain";

const RANDOM_THREADS = 4;
const RANDOM_READS = 50_000;
const SMALLEST_MOUNTS = [10, 10_000];

/** Reads of the two data sets, by paths below `dirs[subject]`. */
export async function readWorkloads(context) {
  const { bench, corpus, dirs, workloads } = context;
  const rows = [];
  const lists = Object.fromEntries(
    Object.entries(dirs).map(([subject, dir]) => {
      const path = join(bench.folder, `${subject}.list`);
      writeFileSync(path, corpus.small.map((file) => `${join(dir, file)}\0`).join(""));
      return [subject, path];
    }),
  );
  const large = (subject) => join(dirs[subject], corpus.large);
  const filesPerSecond = ({ count, ns }) => (count * 1e9) / ns;
  const gigabytesPerSecond = ({ bytes, ns }) => bytes / ns;
  const add = async (workload, title, unit, measure, { dropped = false } = {}) => {
    if (!workloads.includes(workload)) return;
    if (dropped && !bench.canDrop)
      return say(`${workload}: left out, only root can drop the page cache`);
    rows.push(
      await alternate(
        bench,
        Object.keys(dirs),
        { workload, title, unit, better: "higher" },
        async (subject, round) => {
          if (dropped) await dropCaches();
          return measure(subject, round);
        },
      ),
    );
  };

  await add(
    "small",
    "small files: open+read+close, page cache warm",
    "files/s",
    async (subject, round) =>
      filesPerSecond(await bench.reader("epoch", lists[subject], round, "warm")),
  );
  await add(
    "small-dropped",
    "small files: open+read+close, page cache dropped",
    "files/s",
    async (subject, round) => filesPerSecond(await bench.reader("epoch", lists[subject], round)),
    { dropped: true },
  );
  await add("sequential", "large file: sequential, page cache warm", "GB/s", async (subject) =>
    gigabytesPerSecond(await bench.reader("sequential", large(subject), "warm")),
  );
  await add("mapped", "large file: mmap, page cache warm", "GB/s", async (subject) =>
    gigabytesPerSecond(await bench.reader("mapped", large(subject), "warm")),
  );
  await add(
    "large-dropped",
    "large file: sequential, page cache dropped",
    "GB/s",
    async (subject) => gigabytesPerSecond(await bench.reader("sequential", large(subject))),
    { dropped: true },
  );
  await add(
    "random",
    `large file: random 4 KiB, ${RANDOM_THREADS} threads, page cache warm`,
    "reads/s",
    async (subject, round) => {
      const args = [large(subject), RANDOM_THREADS, RANDOM_READS, round];
      return filesPerSecond(await bench.reader("random", ...args, "warm"));
    },
  );
  await add("stat", "small files: stat, warm", "files/s", async (subject, round) =>
    filesPerSecond(await bench.reader("stat", lists[subject], round, "warm")),
  );
  return rows;
}

/** Listings of a fresh mount: what a second look costs shows beside the first. */
export async function readdirWorkload({ bench, corpus, refmount, ref, source, subjects }) {
  const names = [PLAIN, ...subjects];
  const again = {};
  const measure = async (subject) => {
    const dir = subject === PLAIN ? source : (await refmount.mount(ref, subject)).dir;
    const paths = corpus.directories.map((directory) => join(dir, directory));
    const passes = await bench.readerPasses("readdir", ...paths);
    if (subject !== PLAIN) await refmount.unmount(dir);
    (again[subject] ??= []).push(passes.again.ns / 1e6);
    return passes.first.ns / 1e6;
  };
  const title = `${corpus.directories.length} directories of ${corpus.small.length} files: readdir`;
  const shared = { workload: "readdir", unit: "ms", better: "lower" };
  const first = await alternate(
    bench,
    names,
    { ...shared, title: `${title}, first after mount` },
    measure,
  );
  return [first, figuresOf({ ...shared, title: `${title}, again` }, again)];
}

/** The mount command for trees of several sizes, beside a Node that does nothing. */
export async function mountWorkload({ bench, refmount, refs, subjects }) {
  const rows = [];
  for (const [count, ref] of refs) {
    const names = ["node -e 0", ...subjects];
    const row = {
      workload: "mount",
      title: `mount of ${count} entries, the daemon running`,
      unit: "ms",
      better: "lower",
    };
    rows.push(
      await alternate(bench, names, row, async (subject) => {
        if (subject === "node -e 0") return (await timed(process.execPath, ["-e", "0"])) / 1e6;
        const { dir, ns } = await refmount.mount(ref, subject, { listed: true });
        await refmount.unmount(dir);
        return ns / 1e6;
      }),
    );
  }
  return rows;
}

/** Sizes of the trees that `mountWorkload` wants, the largest last. */
export function mountCounts(entries) {
  return [...SMALLEST_MOUNTS.filter((count) => count < entries), entries];
}

export async function findWorkload({ bench, refmount, ref, source, entries, subjects }) {
  const dirs = { [PLAIN]: source };
  for (const subject of subjects)
    dirs[subject] = (await refmount.mount(ref, subject, { listed: true })).dir;
  const args = (subject) => [
    dirs[subject],
    "-type",
    "f",
    "-size",
    "+0",
    "-fprintf",
    "/dev/null",
    "%p\\n",
  ];
  for (const [subject, dir] of Object.entries(dirs)) {
    say(`find, first: ${subject}`);
    const found = (await run("find", [dir, "-type", "f", "-size", "+0", "-printf", "."])).length;
    if (found !== entries)
      throw new Error(`find counts ${found} files in ${subject}, not ${entries}`);
  }
  const row = {
    workload: "find",
    title: `find -type f -size +0 over ${entries} entries, again`,
    unit: "ms",
    better: "lower",
  };
  const rows = [
    await alternate(
      bench,
      Object.keys(dirs),
      row,
      async (subject) => (await timed("find", args(subject))) / 1e6,
    ),
  ];
  for (const subject of subjects) await refmount.unmount(dirs[subject]);
  return rows;
}

/** Measures every name once in each round; the first name is what the others are compared with. */
export async function alternate(bench, names, row, measure) {
  const runs = Object.fromEntries(names.map((name) => [name, []]));
  for (let round = 1; round <= bench.rounds; round++) {
    for (const name of names) runs[name].push(await measure(name, round));
    say(`${row.title}: round ${round} of ${bench.rounds}`);
  }
  return figuresOf(row, runs);
}

/** A ratio above 1 is better than the first, whichever way the unit counts. */
function figuresOf(row, runs) {
  const names = Object.keys(runs);
  const base = median(runs[names[0]]);
  const figures = names.map((name) => {
    const value = median(runs[name]);
    const ratio = row.better === "higher" ? value / base : base / value;
    return { name, median: value, ratio, runs: runs[name] };
  });
  return { ...row, figures };
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

async function dropCaches() {
  await run("sync", []);
  writeFileSync("/proc/sys/vm/drop_caches", "3");
}
