// log, ls and show through the built command line, for people and for scripts.

import { readdir } from "node:fs/promises";
import { expect, test } from "vitest";
import { Rig } from "../support/rig.js";
import { startS3Double } from "../support/s3-double.js";

interface Logged {
  readonly ref: string;
  readonly version: string;
  readonly digest: string;
  readonly files: number;
  readonly bytes: number;
  readonly aliases: readonly string[];
  readonly created: boolean;
}

const NESTED = { "file1.txt": "hello", "nest/file2.txt": "my", "nest/nest/file3.txt": "dude" };

test("the digests are those that W&B computes", async () => {
  await using rig = await Rig.create();
  const dir = await rig.tree("data", NESTED);
  const digestOf = async (name: string, ...refs: string[]): Promise<string> => {
    const options = refs.flatMap((ref) => ["--ref", ref]);
    return (await rig.json<Logged>("log", name, "--type", "dataset", ...options)).digest;
  };
  expect(await digestOf("one", `file://${dir}/file1.txt`)).toBe("a00c2239f036fb656c1dcbf9a32d89b4");
  expect(await digestOf("tree", `file://${dir}`)).toBe("72414374bfd4b0f60a116e7267845f71");
  expect(await digestOf("slash", `file://${dir}/`)).toBe("72414374bfd4b0f60a116e7267845f71");
  expect(await digestOf("top", `top=file://${dir}`)).toBe("f718baf2d4c910dc6ccd0d9c586fa00f");
  expect(await digestOf("great", `great-file.txt=file://${dir}/file1.txt`)).toBe(
    "585b9ada17797e37c9cbab391e69b8c5",
  );
  expect(
    await digestOf("parts", `file1.txt=file://${dir}/file1.txt`, `nest=file://${dir}/nest`),
  ).toBe("72414374bfd4b0f60a116e7267845f71");
});

test("log prints name, digest, files and bytes, and the keys that scripts rely on", async () => {
  await using rig = await Rig.create();
  const dir = await rig.tree("data", NESTED);
  const args = ["log", "demo", "--type", "dataset", "--ref", `file://${dir}`];
  const outcome = await rig.run(...args);
  expect(outcome).toEqual({
    code: 0,
    signal: null,
    stdout: "demo:v0  72414374bfd4b0f60a116e7267845f71  3 files, 11 B\n",
    stderr: "",
  });
  const again = await rig.json<Logged>(...args, "--alias", "best", "--alias", "prod");
  expect(again).toEqual({
    ref: "demo:v0",
    version: "v0",
    digest: "72414374bfd4b0f60a116e7267845f71",
    files: 3,
    bytes: 11,
    aliases: ["best", "latest", "prod"],
    created: false,
    since: null,
  });
});

test("a version of a project of somebody carries their names", async () => {
  await using rig = await Rig.create();
  const dir = await rig.tree("data", { a: "a" });
  const args = ["--type", "dataset", "--ref", `file://${dir}`];
  expect((await rig.json<Logged>("log", "anna/vision/cats", ...args)).ref).toBe(
    "anna/vision/cats:v0",
  );
  await rig.ok("log", "cats", ...args);
  const { collections } = await rig.json<{ collections: { name: string }[] }>("ls");
  expect(collections.map(({ name }) => name)).toEqual(["cats", "anna/vision/cats"]);
  expect(await rig.ok("ls", "anna/vision/cats:latest")).toMatch(/ a\n$/);
});

test("ls lists artifacts, versions and directories", async () => {
  await using rig = await Rig.create();
  expect(await rig.ok("ls")).toMatch(/Nothing was logged yet/);
  expect(await rig.json("ls")).toEqual({ collections: [] });
  const dir = await rig.tree("data", { ...NESTED, "big.bin": Buffer.alloc(1234567) });
  await rig.ok("log", "demo", "--type", "dataset", "--ref", `file://${dir}`, "--tag", "gold");
  expect(await rig.ok("ls")).toMatch(
    /^NAME {2}TYPE {5}VERSIONS {2}LATEST {2}FILES {4}SIZE {2}LOGGED\ndemo {2}dataset {9}1 {2}v0 {10}4 {2}1\.2 MB {2}20\d\d-/,
  );
  expect(await rig.ok("ls", "demo")).toMatch(/^VERSION {2}ALIASES.*\nv0 {7}latest /);
  expect(await rig.json("ls", "demo")).toMatchObject({
    name: "demo",
    type: "dataset",
    versions: [{ ref: "demo:v0", version: "v0", files: 4, bytes: 1234578, tags: ["gold"] }],
  });
  const root =
    "    SIZE  ASSURANCE  NAME\n  1.2 MB  content    big.bin\n     5 B  content    file1.txt\n       -  -          nest/\n";
  expect(await rig.ok("ls", "demo:v0")).toBe(root);
  expect(await rig.ok("ls", "demo:latest/")).toBe(root);
  expect(await rig.ok("ls", "demo", "/")).toBe(root);
  expect(await rig.json("ls", "demo:v0/nest")).toEqual({
    ref: "demo:v0",
    path: "nest",
    entries: [
      { name: "file2.txt", kind: "file", sizeBytes: 2, assurance: "content" },
      { name: "nest", kind: "directory", sizeBytes: null, assurance: null },
    ],
  });
  expect(await rig.ok("ls", "demo:v0", "nest/nest/file3.txt")).toMatch(
    /4 B {2}content {4}file3.txt/,
  );
});

test("show tells everything of a version, and of one file", async () => {
  await using rig = await Rig.create();
  const dir = await rig.tree("data", NESTED);
  const metadata = rig.path("metadata.json");
  await rig.tree(".", { "metadata.json": '{"split": [0.8, 0.2], "bad": null}' });
  await rig.ok(
    ...["log", "demo", "--type", "dataset", "--ref", `x=file://${dir}`, "--alias", "best"],
    ...[
      "--tag",
      "gold",
      "--tag",
      "big",
      "--description",
      "All of it",
      "--metadata",
      `@${metadata}`,
    ],
  );
  const shown = await rig.json<Record<string, unknown>>("show", "demo:best");
  expect(shown).toMatchObject({
    ref: "demo:v0",
    version: "v0",
    type: "dataset",
    digest: expect.stringMatching(/^[0-9a-f]{32}$/) as string,
    manifest: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
    files: 3,
    bytes: 11,
    assurance: { content: 3, provider: 0, pin: 0, none: 0 },
    aliases: ["best", "latest"],
    tags: ["gold", "big"],
    description: "All of it",
    metadata: { split: [0.8, 0.2], bad: null },
    sources: [`x=file://${dir}`],
    revisions: [{ number: 1 }],
  });
  const text = await rig.ok("show", "demo");
  expect(text).toMatch(/^version {6}demo:v0$/m);
  expect(text).toMatch(/^assurance {4}3 content$/m);
  expect(text).toMatch(/^metadata {5}\{\n {15}"split"/m);
  expect(await rig.json("show", "demo:v0/x/nest/file2.txt")).toMatchObject({
    path: "x/nest/file2.txt",
    sizeBytes: 2,
    uri: `file://${dir}/nest/file2.txt`,
    entryDigest: "aGTzidmHZDa8h3j/Bx0bbA==",
    digests: { md5: "6864f389d9876436bc8778ff071d1b6c" },
    assurance: "content",
  });
});

test("show says how many files nothing ties to their bytes", async () => {
  await using rig = await Rig.create();
  const dir = await rig.tree("data", { a: "a", b: "b" });
  const log = (...args: readonly string[]): Promise<string> =>
    rig.ok("log", "demo", "--type", "dataset", ...args);
  await log("--ref", `file://${dir}`);
  expect(await rig.ok("show", "demo")).not.toMatch(/unchecked/);
  await log("--ref", `file://${dir}`, "--no-checksum");
  const shown = await rig.ok("show", "demo");
  expect(shown).toMatch(/^assurance {4}2 none$/m);
  expect(shown).toMatch(/^unchecked {4}all files: .*--no-checksum.*--require none$/m);
  expect(await rig.json("show", "demo")).toMatchObject({ assurance: { content: 0, none: 2 } });
  await log("--ref", `file://${dir}`, "--ref", "x=ref://host/x", "--ref", "y=ref://host/y");
  expect(await rig.ok("show", "demo")).toMatch(/^unchecked {4}2 files: /m);
});

test("a file name that holds a terminal escape is written out", async () => {
  await using rig = await Rig.create();
  const dir = await rig.tree("data", { "a\u001b[2Jb": "x" });
  await rig.ok("log", "demo", "--type", "dataset", "--ref", `file://${dir}`);
  expect(await rig.ok("ls", "demo:v0")).toMatch(/a\\u001b\[2Jb\n$/);
});

test.each([
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const)("log that is ended by %s leaves nothing and exits with %d", async (signal, code) => {
  await using s3 = await startS3Double();
  await using rig = await Rig.create(s3.environment);
  s3.bucket("bkt").put("k/a", "1");
  const held = s3.hold({ operation: "GetObject" });
  const running = rig.start(["log", "m", "--type", "t", "--ref", "s3://bkt/k", "--hash"]);
  await running.until(held.arrived);
  running.child.kill(signal);
  expect(await running.ended).toMatchObject({
    code,
    stdout: "",
    stderr: "refmount: interrupted\n",
  });
  held.release();
  expect(await readdir(rig.path("home/manifests"))).toEqual([]);
  expect(await rig.json("ls")).toEqual({ collections: [] });
});

test("a fault of the store keeps its kind", async () => {
  await using s3 = await startS3Double();
  await using rig = await Rig.create({ ...s3.environment, AWS_ACCESS_KEY_ID: "AKWRONG" });
  s3.bucket("bkt").put("k/a", "1");
  const outcome = await rig.run("log", "m", "--type", "t", "--ref", "s3://bkt/k");
  expect(outcome).toMatchObject({ code: 4, stdout: "" });
  expect(outcome.stderr).toMatch(/^refmount: .*s3:\/\/bkt\/k/);
  expect(outcome.stderr).not.toMatch(/double-secret/);
});

test("notices go to stderr, also with --json", async () => {
  await using s3 = await startS3Double();
  await using rig = await Rig.create(s3.environment);
  s3.bucket("bkt", "never").put("k/a", "1");
  const outcome = await rig.run("--json", "log", "m", "--type", "t", "--ref", "s3://bkt/k");
  expect(JSON.parse(outcome.stdout)).toMatchObject({ ref: "m:v0", files: 1 });
  expect(outcome.stderr).toMatch(/^note: .*pinned by ETag/);
  const refused = ["log", "n", "--type", "t", "--ref", "s3://bkt/k", "--pin", "version"];
  expect(await rig.run(...refused)).toMatchObject({ code: 2 });
});
