// The parts that speak with the kernel, without a kernel: built under the sanitizers and run on
// bytes of the tests' own making.

import { execFile, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { needs } from "../support/needs.js";

const COMPILE_TIMEOUT_MS = 300_000;
const at = (path: string) => fileURLToPath(new URL(path, import.meta.url));

let dir: string;
beforeAll(() => (dir = mkdtempSync(join(tmpdir(), "refmount-native-"))));
afterAll(() => rmSync(dir, { recursive: true }));

/** Compiles the test together with the parts it is about, and runs it. */
async function run(name: string, parts: readonly string[]) {
  const program = join(dir, name);
  await promisify(execFile)(process.env["CXX"] ?? "g++", [
    ...["-std=c++20", "-D_GNU_SOURCE", "-O1", "-g", "-Wall", "-Wextra", "-Werror"],
    ...["-fno-exceptions", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
    ...[at(`${name}.cc`), ...parts.map((part) => at(`../../native/${part}.cc`)), "-o", program],
  ]);
  const { status, stdout, stderr } = spawnSync(program, { encoding: "utf8" });
  return { status, stdout, stderr };
}

const CLEAN = { status: 0, stdout: "", stderr: "" };
const TREE = ["tree", "metadata", "mapped_file", "protocol", "crc"];
const SESSION = [
  ...TREE,
  ...["session", "session_requests", "session_reads", "session_xattrs", "negotiation"],
  ...["blobs", "blob_file", "parked", "work_queue", "io_modes", "state"],
];

describe.runIf(needs("c++"))("native parts under the sanitizers", () => {
  test(
    "requests are decoded, and truncated or hostile ones refused",
    async () => {
      expect(await run("protocol_test", ["protocol", "negotiation"])).toEqual(CLEAN);
    },
    COMPILE_TIMEOUT_MS,
  );

  test(
    "the inode index finds what it holds, and a damaged one never gives another file",
    async () => {
      expect(await run("tree_test", TREE)).toEqual(CLEAN);
    },
    COMPILE_TIMEOUT_MS,
  );

  test(
    "a session parks, answers, refuses damage, stops and resumes",
    async () => {
      expect(await run("session_test", SESSION)).toEqual(CLEAN);
    },
    COMPILE_TIMEOUT_MS,
  );
});
