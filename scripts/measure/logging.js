// Logs what the double of S3 lists, with the built refmount and with the reference SDK, and counts
// requests, time and memory.

import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { BUCKET, PREFIX } from "./double.js";
import { run, say } from "./process.js";

const MAIN = fileURLToPath(new URL("../../dist/main.js", import.meta.url));
const PEAK = fileURLToPath(new URL("peak.js", import.meta.url));
const SDK_LOG = fileURLToPath(new URL("sdk_log.py", import.meta.url));
const LISTS = ["ListObjectVersions", "ListObjectsV2", "ListObjects"];

/** `rounds` logs of everything in the double, each into a home of its own; the median by time. */
export async function logWorkload({ double, folder, rounds, latencyMs }) {
  double.latencyMs = latencyMs;
  const measured = [];
  for (let round = 0; round < rounds; round++) {
    measured.push(await logOnce(double, folder));
    say(`log: ${measured.at(-1).seconds.toFixed(2)} s`);
  }
  double.latencyMs = 0;
  return measured.sort((a, b) => a.seconds - b.seconds)[Math.floor(rounds / 2)];
}

async function logOnce(double, folder) {
  const home = join(folder, "home");
  const peakFile = join(folder, "peak.json");
  const args = ["--json", "--home", home, "log", "bench", "--type", "dataset"];
  const source = ["--ref", `s3://${BUCKET}/${PREFIX}`, "--max-objects", "1000000000"];
  double.requests.length = 0;
  const env = { ...environment(double, folder), MEASURE_PEAK: peakFile };
  const start = process.hrtime.bigint();
  const stdout = await run(process.execPath, ["--import", PEAK, MAIN, ...args, ...source], { env });
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  const { files: objects, digest } = JSON.parse(stdout);
  const { peakBytes, cpuMs } = JSON.parse(readFileSync(peakFile, "utf8"));
  rmSync(home, { recursive: true });
  return { objects, digest, seconds, peakBytes, cpuMs, ...countRequests(double) };
}

/** The reference SDK on what is in the double; null, with a word about it, where it cannot run. */
export async function sdkWorkload({ double, folder, python, latencyMs }) {
  if (python === null) {
    say("reference SDK: left out; name a Python that has wandb and boto3 with --python");
    return null;
  }
  try {
    await run(python, ["-c", "import wandb, boto3"]);
  } catch {
    say(`reference SDK: left out; ${python} has no wandb or no boto3`);
    return null;
  }
  double.latencyMs = latencyMs;
  double.requests.length = 0;
  const env = { ...environment(double, folder), WANDB_MODE: "offline", WANDB_SILENT: "true" };
  const stdout = await run(python, [SDK_LOG, `s3://${BUCKET}/${PREFIX}`, "1000000000"], { env });
  double.latencyMs = 0;
  return { ...JSON.parse(stdout.trim().split("\n").at(-1)), ...countRequests(double) };
}

function environment(double, folder) {
  const own = { HOME: folder, AWS_EC2_METADATA_DISABLED: "true" };
  return { PATH: process.env.PATH, ...own, ...double.environment };
}

function countRequests(double) {
  const counts = Object.entries(double.counts());
  const sum = (rows) => rows.reduce((total, [, count]) => total + count, 0);
  return {
    lists: sum(counts.filter(([operation]) => LISTS.includes(operation))),
    others: sum(counts.filter(([operation]) => !LISTS.includes(operation))),
  };
}
