import { execFile, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const native = (name: string) => at(`../../native/${name}`);

// Compilers need their time on a busy machine.
const TIMEOUT_MS = 180_000;

let dir: string;
beforeAll(() => (dir = mkdtempSync(join(tmpdir(), "refmount-native-"))));
afterAll(() => rmSync(dir, { recursive: true }));

async function compile(program: string, sources: readonly string[]): Promise<string> {
  const out = join(dir, program);
  const flags = ["-std=c++20", "-D_GNU_SOURCE", "-O1", "-g", "-Wall", "-Wextra", "-Werror"];
  const sanitizers = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
  const compiler = process.env["CXX"] ?? "g++";
  await promisify(execFile)(compiler, [...flags, ...sanitizers, ...sources, "-o", out]);
  return out;
}

function run(program: string, environment: Readonly<Record<string, string>> = {}) {
  const { status, stdout, stderr } = spawnSync(program, {
    encoding: "utf8",
    env: { ...process.env, ...environment },
  });
  return { status, stdout, stderr };
}

const CLEAN = { status: 0, stdout: "", stderr: "" };

test(
  "the holder's parts keep their promises under the sanitizers",
  async () => {
    const program = await compile("holder_test", [
      at("holder_test.cc"),
      native("holder_record.cc"),
      native("holder_worker.cc"),
    ]);
    expect(run(program)).toEqual(CLEAN);
  },
  TIMEOUT_MS,
);

test(
  "checksums and SHA-256 keep their promises under the sanitizers, fast and portable",
  async () => {
    const program = await compile("hashes_test", [
      at("hashes_test.cc"),
      native("crc.cc"),
      native("md5_lanes.cc"),
      native("sha256_pair.cc"),
    ]);
    expect(run(program)).toEqual(CLEAN);
    expect(run(program, { REFMOUNT_PORTABLE: "1" })).toEqual(CLEAN);
  },
  TIMEOUT_MS,
);
