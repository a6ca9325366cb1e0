// What can be changed of versions that are logged: labels, and how long they live.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { utimesSync, existsSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { Entry } from "../../src/model/entry.js";
import type { FaultKind } from "../../src/model/fault.js";
import { openSqlite } from "../../src/native/sqlite.js";
import { manifestPath } from "../../src/registry/manifest-file.js";
import { Registry, type Logged, type LogRequest } from "../../src/registry/registry.js";
import { migrate } from "../../src/registry/schema.js";
import { Database } from "../../src/registry/sqlite.js";
import { sweepManifests } from "../../src/registry/sweep.js";
import { distFile } from "../support/dist.js";
import { anEntry, Folder, seal } from "../support/entries.js";

const MNIST = { entity: null, project: null, name: "mnist" };
const DAY_MS = 86_400_000;

class Shelf implements Disposable {
  readonly folder = new Folder();
  readonly options = {
    registryPath: join(this.folder.path, "registry.sqlite"),
    manifestsDir: join(this.folder.path, "manifests"),
    busyTimeoutMs: 5_000,
  };
  #open: Registry | undefined;

  get registry(): Registry {
    return (this.#open ??= Registry.open(this.options));
  }

  log(entries: readonly Entry[], differences: Partial<LogRequest> = {}): Logged {
    const request = { ...MNIST, type: "dataset", ...differences };
    return this.registry.log(request, seal(this.options.manifestsDir, entries));
  }

  /** Says that every version was logged that long ago, and opens the registry anew. */
  age(byMs: number): void {
    this.close();
    const db = openSqlite(this.options.registryPath, {});
    db.prepare("UPDATE version SET created_ms = created_ms - ?").run(byMs);
    db.close();
  }

  close(): void {
    this.#open?.close();
    this.#open = undefined;
  }

  versions(): string[] {
    return this.registry.versions(MNIST).map(({ version }) => version);
  }

  [Symbol.dispose](): void {
    this.close();
    this.folder[Symbol.dispose]();
  }
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

test("an alias moves from one version to another, and goes", () => {
  using shelf = new Shelf();
  shelf.log([anEntry("a")]);
  shelf.log([anEntry("b")]);
  expect(shelf.registry.addAliases("mnist:v0", ["best", "prod"]).aliases).toEqual(["best", "prod"]);
  expect(shelf.registry.addAliases("mnist:v1", ["best"]).aliases).toEqual(["best", "latest"]);
  expect(shelf.registry.resolve("mnist:v0").aliases).toEqual(["prod"]);
  shelf.registry.removeAliases(MNIST, ["prod", "best"]);
  expect(shelf.registry.resolve("mnist:v1").aliases).toEqual(["latest"]);
});

test("a change of labels is all or nothing", () => {
  using shelf = new Shelf();
  shelf.log([anEntry("a")], { aliases: ["best"], tags: ["raw"] });
  const before = shelf.registry.resolve("mnist:v0");
  expect(faultOf(() => shelf.registry.addAliases("mnist", ["fine", "not/fine"]))).toEqual(
    aFault("usage", /"not\/fine" is not allowed/),
  );
  expect(faultOf(() => shelf.registry.addAliases("mnist", ["v7"]))).toEqual(
    aFault("usage", /"v7" is not allowed/),
  );
  expect(faultOf(() => shelf.registry.removeAliases(MNIST, ["best", "none"]))).toEqual(
    aFault("not-found", /No version of "mnist" has the alias "none"/),
  );
  expect(faultOf(() => shelf.registry.removeTags("mnist", ["raw", "none"]))).toEqual(
    aFault("not-found", /mnist:v0 does not have the tag "none"/),
  );
  expect(faultOf(() => shelf.registry.addTags("mnist", ["fine", "a:b"]))).toEqual(
    aFault("usage", /"a:b" is not allowed/),
  );
  const tooMany = Object.fromEntries(Array.from({ length: 101 }, (_, n) => [`k${n}`, n]));
  expect(faultOf(() => shelf.registry.changeMetadata("mnist", () => tooMany))).toEqual(
    aFault("usage", /at most 100 keys/),
  );
  expect(shelf.registry.resolve("mnist:v0")).toEqual(before);
});

test("without latest, the newest version answers to it", () => {
  using shelf = new Shelf();
  shelf.log([anEntry("a")]);
  shelf.log([anEntry("b")]);
  shelf.registry.addAliases("mnist:v0", ["latest"]);
  expect(shelf.registry.resolve("mnist").version).toBe("v0");
  shelf.registry.removeAliases(MNIST, ["latest"]);
  expect(shelf.registry.resolve("mnist").version).toBe("v1");
});

test("tags, description and metadata change, and stay when the content is logged again", () => {
  using shelf = new Shelf();
  shelf.log([anEntry("a")], { metadata: { kept: 1, old: 2 }, tags: ["raw"] });
  shelf.registry.addTags("mnist", ["clean", "clean"]);
  shelf.registry.removeTags("mnist", ["raw"]);
  shelf.registry.describe("mnist", "digits");
  shelf.registry.changeMetadata("mnist", (current) => ({ ...current, old: null, extra: [NaN] }));
  shelf.log([anEntry("a")]);
  expect(shelf.registry.resolve("mnist")).toMatchObject({
    tags: ["clean"],
    description: "digits",
    metadata: { kept: 1, old: null, extra: [null] },
  });
  expect(shelf.registry.describe("mnist", null).description).toBeNull();
});

test("an alias protects a version, latest too; forced, it goes with its aliases", () => {
  using shelf = new Shelf();
  shelf.log([anEntry("a")], { aliases: ["best"] });
  shelf.log([anEntry("b")]);
  expect(faultOf(() => shelf.registry.delete("mnist:v0", false))).toEqual(
    aFault("busy", /mnist:v0 is protected by the alias best.*--force/),
  );
  expect(faultOf(() => shelf.registry.delete("mnist:v1", false))).toEqual(
    aFault("busy", /protected by the alias latest/),
  );
  expect(shelf.versions()).toEqual(["v0", "v1"]);
  shelf.registry.delete("mnist:best", true);
  expect(shelf.versions()).toEqual(["v1"]);
  expect(faultOf(() => shelf.registry.resolve("mnist:best"))).toEqual(
    aFault("not-found", /no version or alias "best"/),
  );
  expect(faultOf(() => shelf.registry.resolve("mnist:v0"))).toEqual(
    aFault("not-found", /was deleted; "refmount undelete mnist:v0"/),
  );
});

test("a number is never given again, and deleted content that is logged anew is a new version", () => {
  using shelf = new Shelf();
  for (const name of ["a", "b", "c"]) shelf.log([anEntry(name)]);
  shelf.registry.delete("mnist:v2", true);
  expect(shelf.registry.resolve("mnist:latest").version).toBe("v1");
  expect(shelf.log([anEntry("d")]).version.version).toBe("v3");
  expect(shelf.log([anEntry("c")])).toMatchObject({ created: true, version: { version: "v4" } });
  expect(faultOf(() => shelf.registry.undelete("mnist:v2"))).toEqual(
    aFault("usage", /v2 cannot come back: v4 has the same content/),
  );
  expect(shelf.versions()).toEqual(["v0", "v1", "v3", "v4"]);
});

test("undelete brings a version back with everything but its aliases", () => {
  using shelf = new Shelf();
  shelf.log([anEntry("a")], { tags: ["raw"], metadata: { n: 1 } });
  const { version } = shelf.log([anEntry("b")], { aliases: ["best"], tags: ["t"] });
  shelf.registry.delete("mnist:v1", true);
  expect(shelf.registry.deletedVersions(MNIST).map((each) => each.version)).toEqual(["v1"]);
  expect(shelf.registry.undelete("mnist:v1")).toEqual({ ...version, aliases: [] });
  expect(faultOf(() => shelf.registry.undelete("mnist:v1"))).toEqual(
    aFault("usage", /mnist:v1 is not deleted/),
  );
  expect(faultOf(() => shelf.registry.undelete("mnist:v9"))).toEqual(
    aFault("not-found", /no version or alias "v9"/),
  );
  expect(faultOf(() => shelf.registry.undelete("mnist:best"))).toEqual(
    aFault("usage", /by its number/),
  );
});

test("an artifact whose versions are all deleted is not listed, and goes on with its next number", () => {
  using shelf = new Shelf();
  shelf.log([anEntry("a")]);
  shelf.registry.delete("mnist:v0", true);
  expect(shelf.registry.collections()).toEqual([]);
  expect(shelf.log([anEntry("a")]).version.version).toBe("v1");
});

test("a version whose time is over is gone, unless an alias that somebody gave protects it", () => {
  using shelf = new Shelf();
  shelf.log([anEntry("a")], { ttl: 10 * DAY_MS, aliases: ["prod"] });
  shelf.log([anEntry("b")], { ttl: 10 * DAY_MS });
  shelf.log([anEntry("c")], { ttl: 30 * DAY_MS });
  shelf.log([anEntry("d")]);
  shelf.log([anEntry("e")], { ttl: 10 * DAY_MS });
  shelf.age(9 * DAY_MS);
  expect(shelf.versions()).toEqual(["v0", "v1", "v2", "v3", "v4"]);
  shelf.age(2 * DAY_MS);
  // v4 is the latest: that alone protects nothing.
  expect(shelf.versions()).toEqual(["v0", "v2", "v3"]);
  expect(shelf.registry.resolve("mnist:latest").version).toBe("v3");
  shelf.registry.removeAliases(MNIST, ["prod"]);
  shelf.age(0);
  expect(shelf.versions()).toEqual(["v2", "v3"]);
  const back = shelf.registry.undelete("mnist:v1");
  expect([back.ttlMs, back.expiresMs]).toEqual([0, null]);
  shelf.age(0);
  expect(shelf.versions()).toEqual(["v1", "v2", "v3"]);
});

test("what expires has the whole grace from the moment when it does, however long ago its time was over", () => {
  using shelf = new Shelf();
  shelf.log([anEntry("a")]);
  shelf.log([anEntry("b")], { ttl: "never" });
  shelf.age(200 * DAY_MS);
  shelf.registry.setTtl(MNIST, DAY_MS);
  shelf.age(0);
  expect(shelf.versions()).toEqual(["v1"]);
  expect(shelf.registry.purge(Date.now() - 7 * DAY_MS)).toBe(0);
  expect(shelf.registry.undelete("mnist:v0").version).toBe("v0");
});

test("a version inherits its artifact's time to live unless it has its own", () => {
  using shelf = new Shelf();
  for (const name of ["a", "b", "c"]) shelf.log([anEntry(name)]);
  shelf.registry.setTtl(MNIST, 5 * DAY_MS);
  shelf.registry.setVersionTtl("mnist:v0", "never");
  shelf.registry.setVersionTtl("mnist:v1", 20 * DAY_MS);
  const { createdMs } = shelf.registry.resolve("mnist:v2");
  expect(shelf.registry.resolve("mnist:v2").expiresMs).toBe(createdMs + 5 * DAY_MS);
  shelf.age(6 * DAY_MS);
  expect(shelf.versions()).toEqual(["v0", "v1"]);
  shelf.registry.setVersionTtl("mnist:v1", "inherit");
  shelf.age(0);
  expect(shelf.versions()).toEqual(["v0"]);
  shelf.registry.setTtl(MNIST, "never");
  expect(shelf.registry.undelete("mnist:v2").expiresMs).toBeNull();
});

test("purging forgets what was deleted before a moment, and only that", () => {
  using shelf = new Shelf();
  for (const name of ["a", "b", "c"]) shelf.log([anEntry(name)], { tags: [name], aliases: [name] });
  shelf.registry.delete("mnist:v0", true);
  const digests = shelf.registry.manifestDigests();
  expect(shelf.registry.purge(Date.now() - DAY_MS)).toBe(0);
  expect(shelf.registry.manifestDigests(Date.now() + 1).size).toBe(2);
  expect(shelf.registry.purge(Date.now() + 1)).toBe(1);
  expect(shelf.registry.manifestDigests().size).toBe(digests.size - 1);
  expect(shelf.registry.deletedVersions(MNIST)).toEqual([]);
  expect(shelf.versions()).toEqual(["v1", "v2"]);
  expect(shelf.log([anEntry("a")]).version.version).toBe("v3");
});

test("a sweep removes old manifests that nothing needs, never young or needed ones", () => {
  using folder = new Folder();
  const [kept, old, young] = ["a", "b", "c"].map((name) => seal(folder.path, [anEntry(name)]));
  if (kept === undefined || old === undefined || young === undefined) throw new Error("no seals");
  const pathOf = ({ digest }: { digest: string }): string => manifestPath(folder.path, digest);
  for (const each of [kept, old]) {
    for (const path of [pathOf(each), pathOf(each).replace(/manifest$/, "idx")]) {
      utimesSync(path, new Date(0), new Date(0));
    }
  }
  const needed = new Set([kept.digest]);
  const sweep = (dryRun: boolean): number =>
    sweepManifests(folder.path, needed, Date.now() - DAY_MS, dryRun).manifests;
  expect(sweep(true)).toBe(1);
  expect(sweep(false)).toBe(1);
  expect([kept, old, young].map((each) => existsSync(pathOf(each)))).toEqual([true, false, true]);
  // Sealing the same content again makes it young, though its file is there already.
  seal(folder.path, [anEntry("a")]);
  expect(sweepManifests(folder.path, new Set(), Date.now() - DAY_MS, false).manifests).toBe(0);
});

test("a registry of the first schema keeps everything when it is brought up to date", () => {
  using shelf = new Shelf();
  const sealed = seal(shelf.options.manifestsDir, [anEntry("a")]);
  {
    using db = new Database({
      path: shelf.options.registryPath,
      what: "",
      remedy: "",
      mode: "create",
    });
    db.pragma("foreign_keys = OFF");
    migrate(db, 1);
    db.exec(`
      INSERT INTO entity VALUES (1, '', 1);
      INSERT INTO project VALUES (1, 1, '', 1);
      INSERT INTO collection (id, project_id, name, type, next_number, created_ms)
        VALUES (1, 1, 'mnist', 'dataset', 4, 1);
      INSERT INTO version VALUES (7, 1, 3, '${sealed.wandbDigest}', 'old', '{"a":1}', 1000);
      INSERT INTO revision VALUES (1, 7, 1, '${sealed.digest}', 1, 1, 0,
        '{"content":0,"provider":1,"pin":0,"none":0}', '[]', 1000);
      INSERT INTO alias VALUES (1, 'latest', 7);
      INSERT INTO tag VALUES (1, 7, 'raw');
    `);
  }
  expect(shelf.registry.resolve("mnist")).toMatchObject({
    version: "v3",
    description: "old",
    metadata: { a: 1 },
    tags: ["raw"],
    createdMs: 1000,
    ttlMs: "inherit",
    manifestDigest: sealed.digest,
  });
  // References between the tables are still held.
  shelf.close();
  const db = openSqlite(shelf.options.registryPath, {});
  db.pragma("foreign_keys = ON");
  expect(() => db.exec("DELETE FROM version")).toThrow(/FOREIGN KEY/);
  db.close();
  expect(shelf.log([anEntry("b")]).version.version).toBe("v4");
});

test("of processes that race for an alias exactly one wins, and no other alias is lost", async () => {
  using shelf = new Shelf();
  const count = 6;
  for (let n = 0; n < count; n++) shelf.log([anEntry(`e${n}`)]);
  shelf.close();
  const program = `
    const { Registry } = await import(process.argv[1]);
    const registry = Registry.open(JSON.parse(process.argv[2]));
    const n = process.argv[3];
    for (let i = 0; i < 20; i++) registry.addAliases("mnist:v" + n, ["best", "own-" + n + "-" + i]);
    registry.close();`;
  const module = distFile("registry/registry.js");
  const children = Array.from({ length: count }, (_, n) =>
    spawn(
      process.execPath,
      ["--input-type=module", "-e", program, module, JSON.stringify(shelf.options), String(n)],
      { stdio: ["ignore", "inherit", "inherit"] },
    ),
  );
  const codes = await Promise.all(
    children.map(async (child) => (await once(child, "exit"))[0] as number),
  );
  expect(codes).toEqual(Array.from({ length: count }, () => 0));
  const aliases = shelf.registry.versions(MNIST).map((version) => version.aliases);
  expect(aliases.flat().filter((alias) => alias === "best")).toHaveLength(1);
  expect(aliases.flat().filter((alias) => alias.startsWith("own-"))).toHaveLength(20 * count);
});
