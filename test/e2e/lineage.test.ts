// Runs and lineage through the built command line: a chain of real runs, told from both ends.

import { join } from "node:path";
import { expect, test } from "vitest";
import { lacks } from "../support/needs.js";
import { run } from "../support/reader.js";
import { Rig } from "../support/rig.js";

interface RunJson {
  readonly id: string;
  readonly command: readonly string[];
  readonly exitCode: number | null;
  readonly finished: string | null;
  readonly git: {
    readonly commit: string;
    readonly dirty: boolean;
    readonly remote: string;
  } | null;
  readonly used: readonly { readonly ref: string; readonly how: string }[];
  readonly produced: readonly { readonly ref: string }[];
}

interface LineageJson {
  readonly nodes: readonly { readonly id: string }[];
  readonly edges: readonly { readonly from: string; readonly to: string }[];
}

const refs = (versions: readonly { readonly ref: string }[]): string[] =>
  versions.map(({ ref }) => ref);

async function runs(rig: Rig, ...options: string[]): Promise<readonly RunJson[]> {
  return (await rig.json<{ runs: RunJson[] }>("runs", "ls", ...options)).runs;
}

test("log records who produced a version, and every producer of the same content", async () => {
  await using rig = await Rig.create();
  const dir = await rig.tree("data", { a: "1" });
  const log = (...more: string[]): Promise<unknown> =>
    rig.json("log", "demo", "--type", "dataset", "--ref", `file://${dir}`, ...more);
  await log();
  const id = (await rig.ok("runs", "start", "--title", "again")).trim();
  await log("--run", id);
  await log("--produced-by", "make data");
  expect(
    (await rig.run("log", "x", "--type", "t", "--ref", "file:///x", "--run", "none")).code,
  ).toBe(3);
  const all = await runs(rig, "--all");
  expect(all.map(({ produced }) => refs(produced))).toEqual([
    ["demo:v0"],
    ["demo:v0"],
    ["demo:v0"],
  ]);
  expect(all[0]?.command).toEqual(["make data"]);
  expect(all[2]?.command.slice(0, 3)).toEqual(["refmount", "--json", "log"]);
  await rig.ok("runs", "finish", id, "--exit-code", "3");
  const shown = await rig.json<RunJson>("runs", "show", id.slice(0, 6));
  expect([shown.exitCode, shown.finished === null]).toEqual([3, false]);
  const { nodes } = await rig.json<LineageJson>("lineage", "demo", "--up");
  expect(nodes).toHaveLength(4);
});

test("entries of another artifact make a version that is built on it", async () => {
  await using rig = await Rig.create();
  const dir = await rig.tree("data", { a: "1", "b/c": "2" });
  await rig.ok("log", "base", "--type", "dataset", "--ref", `file://${dir}`);
  await rig.ok("log", "derived", "--type", "dataset", "--ref", "part=refmount://base:latest/b");
  const { edges } = await rig.json<LineageJson>("lineage", "base", "--down");
  expect(edges.map(({ to }) => to)).toContain("version:derived:v0");
});

test("a command line in a run hides what a uri in it would give away", async () => {
  await using rig = await Rig.create();
  const dir = await rig.tree("data", { a: "1" });
  const secret = "https://user:hush@example.com/x?sig=hush";
  await rig.ok(
    "log",
    "d",
    "--type",
    "t",
    "--ref",
    `file://${dir}`,
    "--produced-by",
    `get ${secret}`,
  );
  expect(JSON.stringify(await runs(rig, "--all"))).not.toContain("hush");
});

test("a run keeps the commit that it was started from", async () => {
  await using rig = await Rig.create();
  const code = await rig.tree("code", { "train.py": "pass" });
  const git = (...args: string[]): Promise<Buffer> => run("git", "-C", code, ...args);
  await git("init", "-q");
  await git("add", ".");
  await git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "first");
  await git("remote", "add", "origin", "https://token:hush@example.com/code.git");
  const start = async (): Promise<RunJson> => {
    const started = await rig.start(["runs", "start"], { cwd: code }).ended;
    return rig.json<RunJson>("runs", "show", started.stdout.trim());
  };
  const commit = (await git("rev-parse", "HEAD")).toString().trim();
  expect((await start()).git).toEqual({
    commit,
    dirty: false,
    remote: "https://example.com/code.git",
  });
  await rig.tree("code", { "train.py": "changed" });
  expect((await start()).git?.dirty).toBe(true);
});

test.skipIf(lacks("fuse", "addon", "root"))(
  "W&B's case 48: a job run by refmount uses what it mounts and produces what it logs, both ways told alike",
  async () => {
    await using rig = await Rig.create();
    const raw = await rig.tree("raw", { "a.txt": "raw bytes" });
    await rig.ok("log", "raw", "--type", "dataset", "--ref", `file://${raw}`);
    await rig.tree("out", {});
    const refmount = `${process.execPath} ${join(import.meta.dirname, "../../dist/main.js")}`;
    const job =
      `cp {}/a.txt ${rig.path("out")}/model.bin && ` +
      `${refmount} log model --type model --ref file://${rig.path("out")}`;
    const outcome = await rig.run("run", "raw", "--", "sh", "-c", `${job}; exit 5`);
    expect(outcome.code).toBe(5);

    const [job1] = await runs(rig);
    expect(job1).toMatchObject({ exitCode: 5 });
    expect(refs(job1?.used ?? [])).toEqual(["raw:v0"]);
    expect(refs(job1?.produced ?? [])).toEqual(["model:v0"]);

    const mnt = await rig.mount("model", "mnt");
    await rig.ok("unmount", mnt);
    await rig.ok("download", "model", rig.path("copy"));
    const up = await rig.json<LineageJson>("lineage", "model", "--up");
    expect(up.edges).toEqual([
      {
        from: `run:${job1?.id ?? ""}`,
        to: "version:model:v0",
        role: "produced",
      },
      { from: "version:raw:v0", to: `run:${job1?.id ?? ""}`, role: "used" },
      // The log of raw itself.
      expect.objectContaining({ to: "version:raw:v0", role: "produced" }),
    ]);
    const down = await rig.json<LineageJson>("lineage", "raw", "--down");
    const users = (await runs(rig, "--all")).filter(({ used }) => refs(used).includes("model:v0"));
    expect(users.map(({ used }) => used[0]?.how).sort()).toEqual(["download", "mount"]);
    for (const { id } of users) {
      expect(down.nodes.map((node) => node.id)).toContain(`run:${id}`);
    }
    const text = await rig.ok("lineage", "model", "--up");
    expect(text).toMatch(
      /^model:v0 \(model\)\n└─ produced by run \w{8}: sh -c .*\n {3}└─ used raw:v0/,
    );
    expect(await rig.ok("lineage", "model", "--dot")).toMatch(/^digraph lineage \{[^]*\}\n$/);
    expect(await rig.ok("lineage", "model", "--mermaid")).toMatch(/^flowchart LR\n/);

    // A run that does not begin is no run.
    expect((await rig.run("run", "nosuch", "--", "true")).code).toBe(3);
    expect(await runs(rig)).toHaveLength(1);
  },
);
