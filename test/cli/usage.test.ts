// What the command line says to bad input, and how it exits.

import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { distFile } from "../support/dist.js";
import { Rig } from "../support/rig.js";

let rig: Rig;

beforeAll(async () => {
  rig = await Rig.create();
  const data = await rig.tree("data", { "a.txt": "a", "train/b.txt": "b" });
  await rig.ok("log", "known", "--type", "dataset", "--ref", `file://${data}`, "--alias", "best");
});

afterAll(async () => {
  await rig[Symbol.asyncDispose]();
});

describe("help", () => {
  test("names every verb and ends with examples", async () => {
    const help = await rig.ok("--help");
    for (const verb of ["log", "mount", "unmount", "run", "download", "ls", "show", "status"]) {
      expect(help).toMatch(new RegExp(`^  ${verb} `, "m"));
    }
    expect(help).toMatch(/Examples:\n {2}refmount log/);
    expect(help).not.toMatch(/daemon/);
  });

  test.each(["log", "mount", "unmount", "umount", "run", "download", "ls", "show", "status"])(
    "of %s has examples and the options that every verb takes",
    async (verb) => {
      const help = await rig.ok(verb, "--help");
      expect(help).toMatch(/Examples:/);
      expect(help).toMatch(/--home <dir>/);
      expect(help).toMatch(/--json/);
    },
  );
});

describe("what is loaded", () => {
  async function loadedBy(...args: readonly string[]): Promise<string> {
    const folder = rig.path("coverage", args.join(" ").replaceAll("/", "_"));
    const running = rig.start(args, { environment: { NODE_V8_COVERAGE: folder } });
    expect(await running.ended).toMatchObject({ code: 0 });
    return readdirSync(folder)
      .map((name) => readFileSync(join(folder, name), "utf8"))
      .join("");
  }

  test("by --help is neither SQLite nor an SDK nor native code", async () => {
    const loaded = await loadedBy("--help");
    expect(loaded).toMatch(/dist\/cli\/program\.js/);
    expect(loaded).not.toMatch(
      /better-sqlite3|@aws-sdk|dist\/(daemon|registry|stores|cache|native)\//,
    );
  });

  test("by ls, status and a log of files is no SDK", async () => {
    const log = ["log", "again", "--type", "t", "--ref", `file://${rig.path("data")}`];
    for (const args of [["ls"], ["ls", "known:v0"], ["status"], log]) {
      const loaded = await loadedBy(...args);
      expect(loaded).toMatch(/dist\/daemon\//);
      expect(loaded).not.toMatch(/@aws-sdk|@smithy/);
    }
  });
});

test("--version prints the version of the package", async () => {
  for (const args of [["--version"], ["ls", "--version"]]) {
    expect(await rig.ok(...args)).toMatch(/^\d+\.\d+\.\d+\n$/);
  }
});

describe("exit code 2 and a hint", () => {
  test.each<[string, RegExp]>([
    ["", /Name a command: log, mount/],
    ["mout a b", /Unknown command 'mout' \(Did you mean mount\?\)/],
    ["frobnicate", /Unknown command 'frobnicate'.*refmount --help/],
    ["ls --jsn", /Unknown option '--jsn' \(Did you mean --json\?\)/],
    ["ls a b c", /Too many arguments for 'ls'/],
    ["mount known", /Missing required argument 'dir'/],
    ["log x --ref file:///x", /Required option '--type <type>' not specified/],
    ["log x --type t", /Required option '--ref/],
    ["log x --type t --ref data/x", /must be URIs.*"data\/x".*file:\/\/\/path/],
    ["log x --type t --ref file:///x --max-objects none", /--max-objects takes a whole number/],
    ["log x --type t --ref file:///x --pin etag", /Allowed choices are version/],
    ["log x --type t --ref file:///x --metadata {", /Metadata is not JSON/],
    ["log x --type t --ref file:///x --metadata @/nowhere", /Cannot read --metadata @\/nowhere/],
    ["log x:v1 --type t --ref file:///x", /log takes a name alone/],
    ["log x --type job --ref file:///x", /reserved/],
    ["mount known /tmp --require most", /--require takes one of content, provider, pin, none/],
    ["mount known /tmp --cache-size 10XB", /--cache-size takes a size such as 10GB/],
    ["mount known /tmp --timeout soon", /--timeout takes a time such as 30s/],
    ["mount known /tmp --driver other", /Allowed choices are native, fuse-native/],
    ["mount known /tmp --prefetch", /Unknown option '--prefetch'/],
    ["ls a/b/c/d", /not a ref/],
    ["ls known:v0/train x", /holds a path already/],
    ["show known: ", /Alias "" is not allowed/],
    ["show known:v0/train", /is a directory/],
    ["run known", /Name the command to run/],
    ["run", /Missing required argument 'ref'/],
    ["show known --type model", /is of type "dataset", not "model"/],
    ["download known --type model", /is of type "dataset", not "model"/],
    ["daemon", /starts its daemon by itself/],
  ])("for: refmount %s", async (line, message) => {
    const outcome = await rig.run(...line.split(" ").filter((word) => word !== ""));
    expect(outcome.stderr).toMatch(/^refmount: /);
    expect(outcome.stderr).toMatch(message);
    expect(outcome).toMatchObject({ code: 2, stdout: "" });
  });

  test("is also for --json, with the message on stderr and nothing on stdout", async () => {
    const outcome = await rig.run("ls", "--json", "--foo");
    expect(outcome).toMatchObject({ code: 2, stdout: "" });
    expect(outcome.stderr).toMatch(/^refmount: Unknown option '--foo'/);
  });
});

describe("exit code 3", () => {
  test.each<[string, RegExp]>([
    ["show unknown", /no artifact "unknown"/],
    ["ls unknown", /no artifact "unknown"/],
    ["download knowm", /did you mean "known"/],
    ["show known:v7", /no version or alias "v7"/],
    ["show known:bestt", /did you mean "known:best"/],
    ["ls known:v0/nope", /no file or directory "nope"/],
    ["show known:v0/nope", /no "nope"/],
    ["download known --path-prefix nope", /begins with "nope"/],
    ["log x --type t --ref file:///nowhere/at/all", /no such file/],
  ])("for: refmount %s", async (line, message) => {
    const outcome = await rig.run(...line.split(" "));
    expect(outcome.stderr).toMatch(message);
    expect(outcome).toMatchObject({ code: 3, stdout: "" });
  });
});

test("a home that cannot be made is denied, exit code 4", async () => {
  const outcome = await rig.run("--home", rig.path("data/a.txt/home"), "ls");
  expect(outcome.code).toBe(4);
  expect(outcome.stderr).toMatch(/Cannot make the folder .*--home/);
});

test("a reader that goes away ends the command without a word", async () => {
  const child = spawn(
    "sh",
    [
      "-c",
      `"$0" "$1" --help | true; "$0" "$1" ls known:v0 | true`,
      process.execPath,
      distFile("main.js"),
    ],
    {
      env: rig.environment,
    },
  );
  let stderr = "";
  child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  await new Promise((resolve) => child.on("close", resolve));
  expect(stderr).toBe("");
});

test("a full disk under stdout is an error", async () => {
  const child = spawn(
    "sh",
    ["-c", `"$0" "$1" ls >/dev/full`, process.execPath, distFile("main.js")],
    {
      env: rig.environment,
    },
  );
  let stderr = "";
  child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  const code = await new Promise((resolve) => child.on("close", resolve));
  expect(code).toBe(8);
  expect(stderr).toMatch(/Cannot write the result/);
});
