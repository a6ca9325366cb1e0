// Runs, what they used and produced, and the lineage that comes of it.

import { join } from "node:path";
import { expect, test } from "vitest";
import type { FaultKind } from "../../src/model/fault.js";
import { traceLineage } from "../../src/registry/lineage.js";
import { Registry } from "../../src/registry/registry.js";
import type { Run, RunKind, RunStart, RunVersion } from "../../src/registry/run.js";
import type { Version } from "../../src/registry/version.js";
import { anEntry, Folder, seal } from "../support/entries.js";

class Shelf implements Disposable {
  readonly folder = new Folder();
  readonly manifestsDir = join(this.folder.path, "manifests");
  readonly registry = Registry.open({
    registryPath: join(this.folder.path, "registry.sqlite"),
    manifestsDir: this.manifestsDir,
  });

  log(name: string, content: string): Version {
    const request = { entity: null, project: null, name, type: `${name}s` };
    return this.registry.log(request, seal(this.manifestsDir, [anEntry(content)])).version;
  }

  run(command: string, kind: RunKind = "run"): string {
    return this.registry.runs.start(aStart(command, kind));
  }

  record(run: string, role: "used" | "produced", { ref, manifestDigest }: Version): void {
    this.registry.recordRun(run, role, ref, manifestDigest, role === "used" ? "mount" : "log");
  }

  [Symbol.dispose](): void {
    this.registry.close();
    this.folder[Symbol.dispose]();
  }
}

function aStart(command: string, kind: RunKind = "run"): RunStart {
  return {
    kind,
    title: null,
    command: command.split(" "),
    directory: "/work",
    host: "node-1",
    user: "ada",
    git: { commit: "ab".repeat(20), dirty: false, remote: "https://example.com/code.git" },
  };
}

const aFault = (kind: FaultKind, message: RegExp): unknown =>
  expect.objectContaining({ kind, message: expect.stringMatching(message) as string });

function faultOf(work: () => unknown): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  return "it succeeded";
}

test("a run keeps what is known of it, what it used and what it produced", () => {
  using shelf = new Shelf();
  const raw = shelf.log("raw", "a");
  const model = shelf.log("model", "m");
  const id = shelf.run("python train.py");
  shelf.record(id, "used", raw);
  shelf.record(id, "used", raw);
  shelf.record(id, "produced", model);
  const run = shelf.registry.runs.find(id);
  expect(run).toMatchObject({ ...aStart("python train.py"), id, finishedMs: null, exitCode: null });
  expect(run.used).toEqual([
    {
      ref: "raw:v0",
      type: "raws",
      digest: raw.digest,
      manifestDigest: raw.manifestDigest,
      how: "mount",
      atMs: run.used[0]?.atMs,
      deleted: false,
    },
  ]);
  expect(run.produced.map(({ ref, how }) => [ref, how])).toEqual([["model:v0", "log"]]);
  const ended = shelf.registry.runs.finish(id, 3);
  expect([ended.exitCode, (ended.finishedMs ?? 0) >= ended.startedMs]).toEqual([3, true]);
  expect(faultOf(() => shelf.registry.runs.finish(id, 0))).toEqual(
    aFault("usage", /has ended already/),
  );
});

test("a run is found by the beginning of its id, when that is unambiguous", () => {
  using shelf = new Shelf();
  const ids = Array.from({ length: 40 }, (_, n) => shelf.run(`command ${n}`));
  const [first = ""] = ids;
  expect(shelf.registry.runs.find(first.slice(0, 6)).id).toBe(first);
  // Forty ids of 36 letters: two of them begin alike.
  const [twin = ""] = ids.filter((id, n) => ids.findIndex((each) => each[0] === id[0]) !== n);
  expect(faultOf(() => shelf.registry.runs.find(twin.slice(0, 1)))).toEqual(
    aFault("usage", /begins the ids of several runs/),
  );
  expect(faultOf(() => shelf.registry.runs.find("nosuchrun"))).toEqual(
    aFault("not-found", /no run "nosuchrun"/),
  );
  expect(faultOf(() => shelf.registry.runs.find(""))).toEqual(aFault("not-found", /no run ""/));
});

test("runs are listed newest first, by kind", () => {
  using shelf = new Shelf();
  const ids = ["run", "mount", "run", "download"].map((kind) => shelf.run(kind, kind as RunKind));
  const list = (kinds: readonly RunKind[], limit = 10): string[] =>
    shelf.registry.runs.list({ kinds, limit }).map(({ id }) => id);
  expect(list(["run"])).toEqual([ids[2], ids[0]]);
  expect(list(["run", "mount", "download"], 2)).toEqual([ids[3], ids[2]]);
});

test("recording for a run or a version that is not there changes nothing", () => {
  using shelf = new Shelf();
  const raw = shelf.log("raw", "a");
  const id = shelf.run("x");
  expect(faultOf(() => shelf.record("nosuchrun", "used", raw))).toEqual(
    aFault("not-found", /no run/),
  );
  expect(faultOf(() => shelf.record(id, "used", { ...raw, ref: "raw:v7" }))).toEqual(
    aFault("not-found", /no version or alias "v7"/),
  );
  expect(shelf.registry.runs.find(id).used).toEqual([]);
});

test("lineage leads up to what a version was made from and down to what was made from it", () => {
  using shelf = new Shelf();
  const [raw, clean, model, report] = ["raw", "clean", "model", "report"].map((name) =>
    shelf.log(name, name),
  ) as [Version, Version, Version, Version];
  const prepare = shelf.run("prepare");
  shelf.record(prepare, "used", raw);
  shelf.record(prepare, "produced", clean);
  const train = shelf.run("train");
  shelf.record(train, "used", clean);
  shelf.record(train, "produced", model);
  const evaluate = shelf.run("evaluate");
  shelf.record(evaluate, "used", model);
  shelf.record(evaluate, "used", raw);
  shelf.record(evaluate, "produced", report);

  const edgesOf = (ref: string, up: boolean, down: boolean): string[] =>
    shelf.registry
      .lineage(ref, { up, down })
      .edges.map(({ from, to }) => `${from} ${to}`)
      .sort();
  const v = ({ ref }: Version): string => `version:${ref}`;
  expect(edgesOf("model", true, false)).toEqual(
    [
      `${v(raw)} run:${prepare}`,
      `run:${prepare} ${v(clean)}`,
      `${v(clean)} run:${train}`,
      `run:${train} ${v(model)}`,
    ].sort(),
  );
  expect(edgesOf("model", false, true)).toEqual(
    [`${v(model)} run:${evaluate}`, `run:${evaluate} ${v(report)}`].sort(),
  );
  // Both directions tell the same edges: whatever leads down from raw leads up from the report.
  const down = edgesOf("raw", false, true);
  const up = edgesOf("report", true, false);
  expect(down).toEqual(up);
  expect(down).toHaveLength(7);
});

test("lineage outlives the versions in it", () => {
  using shelf = new Shelf();
  const raw = shelf.log("raw", "a");
  const model = shelf.log("model", "m");
  const id = shelf.run("train");
  shelf.record(id, "used", raw);
  shelf.record(id, "produced", model);
  shelf.registry.delete("raw:v0", true);
  shelf.registry.purge(Date.now() + 1);
  const { nodes } = shelf.registry.lineage("model", { up: true, down: false });
  expect(nodes.find(({ id: node }) => node === "version:raw:v0")).toMatchObject({
    version: { ref: "raw:v0", digest: raw.digest, deleted: true },
  });
});

test("a circle, which a run that uses what it made draws, ends", () => {
  const version = (ref: string): RunVersion => ({
    ref,
    type: "t",
    digest: "",
    manifestDigest: "",
    how: "run",
    atMs: 0,
    deleted: false,
  });
  const run: Run = {
    ...aStart("loop"),
    id: "loop",
    startedMs: 0,
    finishedMs: null,
    exitCode: null,
    used: [version("a:v0"), version("b:v0")],
    produced: [version("b:v0"), version("a:v0")],
  };
  const lineage = traceLineage(
    version("a:v0"),
    { up: true, down: true },
    { producers: () => [run], users: () => [run] },
  );
  expect(lineage.nodes.map(({ id }) => id).sort()).toEqual([
    "run:loop",
    "version:a:v0",
    "version:b:v0",
  ]);
  expect(lineage.edges).toHaveLength(4);
});

test("of a thousand runs of one version each is in its lineage once", () => {
  using shelf = new Shelf();
  const raw = shelf.log("raw", "a");
  for (let n = 0; n < 1_000; n++) shelf.record(shelf.run(`run ${n}`), "used", raw);
  expect(shelf.registry.lineage("raw", { up: true, down: true }).edges).toHaveLength(1_000);
});
