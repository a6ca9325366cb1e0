// Runs commands for the benchmark: each is another process, timed from outside or by itself.

import { spawn } from "node:child_process";

/** What `command` prints; its complaints when it fails. */
export function run(command, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], ...options });
    const stdout = [];
    const stderr = [];
    child.stdout.on("data", (piece) => stdout.push(piece));
    child.stderr.on("data", (piece) => stderr.push(piece));
    child.on("error", reject);
    child.on("close", (code, signal) => {
      if (code === 0) return resolve(Buffer.concat(stdout).toString());
      const words = Buffer.concat(stderr).toString().trim();
      reject(new Error(`${command} ${args.join(" ")}: ${words || `ended with ${code ?? signal}`}`));
    });
  });
}

/** Nanoseconds that `command` takes from its start to its end. */
export async function timed(command, args, options) {
  const start = process.hrtime.bigint();
  await run(command, args, options);
  return Number(process.hrtime.bigint() - start);
}

export function say(text) {
  process.stderr.write(`${text}\n`);
}
