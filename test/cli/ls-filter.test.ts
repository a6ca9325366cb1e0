// ls that leaves out versions: by type, tags, metadata and time, through the built command line.

import { expect, test } from "vitest";
import { Rig } from "../support/rig.js";

interface Found {
  readonly versions: readonly { readonly ref: string; readonly created: string }[];
}

async function world(): Promise<Rig> {
  const rig = await Rig.create();
  const log = async (name: string, type: string, content: string, ...more: string[]) => {
    const dir = await rig.tree(`data-${name}-${content}`, { a: content });
    await rig.ok("log", name, "--type", type, "--ref", `file://${dir}`, ...more);
  };
  await log("set", "dataset", "1", "--tag", "reviewed", "--metadata", '{"split":"train","n":7}');
  await log(
    "set",
    "dataset",
    "22",
    "--tag",
    "reviewed",
    "--tag",
    "gold",
    "--metadata",
    '{"n":"7"}',
  );
  await log("net", "model", "333", "--tag", "gold", "--metadata", '{"deep":{"a":[1]}}');
  return rig;
}

test.each<[string[], string[]]>([
  [
    ["--tag", "reviewed"],
    ["set:v0", "set:v1"],
  ],
  [["--tag", "reviewed", "--tag", "gold"], ["set:v1"]],
  [
    ["--tag", "gold"],
    ["net:v0", "set:v1"],
  ],
  [["--tag", "gold", "--type", "dataset"], ["set:v1"]],
  [["--metadata", "split"], ["set:v0"]],
  [["--metadata", "split=train", "--metadata", "n"], ["set:v0"]],
  [
    ["--metadata", "n=7"],
    ["set:v0", "set:v1"],
  ],
  [["--metadata", 'n="7"'], ["set:v1"]],
  [["--metadata", 'deep={"a":[1]}'], ["net:v0"]],
  [["--metadata", "toString"], []],
  [
    ["--since", "1h", "--before", "2999-01-01"],
    ["net:v0", "set:v0", "set:v1"],
  ],
  [["--before", "1h"], []],
  [["--since", "2999-01-01T00:00Z"], []],
  [["--tag", "none"], []],
])("ls %j finds %j", async (options, refs) => {
  await using rig = await world();
  const { versions } = await rig.json<Found>("ls", ...options);
  expect(versions.map(({ ref }) => ref)).toEqual(refs);
  // Of one artifact the same ones.
  if (options.includes("--type")) return;
  const own = await rig.json<Found>("ls", "set", ...options);
  expect(own.versions.map(({ ref }) => ref)).toEqual(refs.filter((ref) => ref.startsWith("set")));
});

test("the moment of a log is since, and not before", async () => {
  await using rig = await world();
  const { versions } = await rig.json<Found>("ls", "set");
  const second = versions[1]?.created ?? "";
  const find = async (option: string): Promise<string[]> =>
    (await rig.json<Found>("ls", "set", option, second)).versions.map(({ ref }) => ref);
  expect(await find("--since")).toEqual(["set:v1"]);
  expect(await find("--before")).toEqual(["set:v0"]);
});

test("a type alone leaves out artifacts, and people see a table", async () => {
  await using rig = await world();
  expect(await rig.json("ls", "--type", "model")).toMatchObject({ collections: [{ name: "net" }] });
  expect(await rig.ok("ls", "--type", "job")).toBe("No artifact has the type job\n");
  expect(await rig.ok("ls", "--tag", "gold")).toMatch(
    /^VERSION +TYPE .*\nnet:v0 +model +gold +latest +1 .*\nset:v1 +dataset +reviewed gold +latest +1 /,
  );
});

test.each([
  [["--since", "yesterday"], /--since.*yesterday/],
  [["--before", "2026-13-01"], /--before.*2026-13-01/],
  [["--since", "7x"], /--since/],
  [["set:v0", "--tag", "gold"], /"set:v0" is one version already/],
])("ls %j is refused", async (options, message) => {
  await using rig = await world();
  const outcome = await rig.run("ls", ...options);
  expect(outcome).toMatchObject({ code: 2, stdout: "" });
  expect(outcome.stderr).toMatch(message);
});
