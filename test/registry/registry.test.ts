import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { Entry } from "../../src/model/entry.js";
import type { FaultKind } from "../../src/model/fault.js";
import { NO_PIN } from "../../src/model/pin.js";
import { openSqlite } from "../../src/native/sqlite.js";
import { Registry, type LogRequest, type Logged } from "../../src/registry/registry.js";
import { distFile } from "../support/dist.js";
import { anEntry, Folder, seal } from "../support/entries.js";

/** A registry in a temporary folder. */
class Shelf implements Disposable {
  readonly folder = new Folder();
  readonly options = {
    registryPath: join(this.folder.path, "registry.sqlite"),
    manifestsDir: join(this.folder.path, "manifests"),
    busyTimeoutMs: 50,
  };
  registry = Registry.open(this.options);

  log(entries: readonly Entry[], differences: Partial<LogRequest> = {}): Logged {
    return this.registry.log(aRequest(differences), seal(this.options.manifestsDir, entries));
  }

  reopen(): void {
    this.registry.close();
    this.registry = Registry.open(this.options);
  }

  [Symbol.dispose](): void {
    this.registry.close();
    this.folder[Symbol.dispose]();
  }
}

function aRequest(differences: Partial<LogRequest> = {}): LogRequest {
  return { entity: null, project: null, name: "mnist", type: "dataset", ...differences };
}

const aFault = (kind: FaultKind, message: RegExp): unknown =>
  expect.objectContaining({ kind, message: expect.stringMatching(message) as string });

test("the first log makes v0, with everything that was said of it", () => {
  using shelf = new Shelf();
  const { version, created, revised } = shelf.log([anEntry("a"), anEntry("bcd")], {
    entity: "team",
    project: "vision",
    description: "digits",
    metadata: { split: "train", nested: { n: 1 } },
    aliases: ["best"],
    tags: ["raw", "v 1"],
    sources: ["s3://bucket/"],
  });
  expect({ created, revised }).toEqual({ created: true, revised: false });
  expect(version).toMatchObject({
    ref: "team/vision/mnist:v0",
    version: "v0",
    number: 0,
    type: "dataset",
    description: "digits",
    metadata: { split: "train", nested: { n: 1 } },
    aliases: ["best", "latest"],
    tags: ["raw", "v 1"],
    sources: ["s3://bucket/"],
    files: 2,
    bytes: 4,
    assurances: { content: 0, provider: 2, pin: 0, none: 0 },
  });
  expect(version.revisions).toHaveLength(1);
  shelf.reopen();
  expect(shelf.registry.resolve("team/vision/mnist")).toEqual(version);
});

test("logging A, B, A gives two versions and leaves latest on A", () => {
  using shelf = new Shelf();
  const first = shelf.log([anEntry("a")]);
  const second = shelf.log([anEntry("b")]);
  const third = shelf.log([anEntry("a")], { aliases: ["again"], tags: ["kept"] });
  expect([first, second, third].map(({ version }) => version.version)).toEqual(["v0", "v1", "v0"]);
  expect(third).toMatchObject({ created: false, revised: false });
  expect(third.version.aliases).toEqual(["again", "latest"]);
  expect(third.version.tags).toEqual(["kept"]);
  expect(shelf.registry.resolve("mnist:latest").version).toBe("v0");
  expect(shelf.registry.resolve("mnist:v1").aliases).toEqual([]);
  expect(shelf.registry.versions(aRequest()).map(({ version }) => version)).toEqual(["v0", "v1"]);
});

test("the same content with another manifest is a revision, of which the newest counts", () => {
  using shelf = new Shelf();
  const plain = [anEntry("a"), anEntry("b")];
  const hashed = plain.map((entry) => ({ ...entry, digests: { sha256: "ab".repeat(32) } }));
  const first = shelf.log(plain, { description: "first", sources: ["s3://one"] });
  const second = shelf.log(hashed, { description: "second", sources: ["s3://two"] });
  expect(second).toMatchObject({ created: false, revised: true });
  expect(second.version).toMatchObject({
    version: "v0",
    description: "first",
    sources: ["s3://two"],
    assurances: { content: 2 },
  });
  expect(second.version.manifestDigest).not.toBe(first.version.manifestDigest);
  expect(second.version.revisions.map(({ number }) => number)).toEqual([2, 1]);
  expect(second.version.revisions[1]).toEqual(first.version.revisions[0]);
  expect(shelf.log(plain)).toMatchObject({ created: false, revised: false });
  expect(shelf.registry.resolve("mnist:v0").manifestDigest).toBe(second.version.manifestDigest);
});

test("an alias is on one version of its collection only", () => {
  using shelf = new Shelf();
  shelf.log([anEntry("a")], { aliases: ["best"] });
  shelf.log([anEntry("b")], { aliases: ["best"] });
  shelf.log([anEntry("c")], { name: "other", aliases: ["best"] });
  expect(shelf.registry.resolve("mnist:best").version).toBe("v1");
  expect(shelf.registry.resolve("mnist:v0").aliases).toEqual([]);
  expect(shelf.registry.resolve("other:best").version).toBe("v0");
});

test("the number of a deleted version is not given again", () => {
  using shelf = new Shelf();
  shelf.log([anEntry("a")]);
  shelf.log([anEntry("b")]);
  const db = openSqlite(shelf.options.registryPath);
  db.exec(`DELETE FROM alias; DELETE FROM revision WHERE version_id = 2;
    DELETE FROM version WHERE number = 1`);
  db.close();
  expect(shelf.log([anEntry("c")]).version.version).toBe("v2");
});

test("a collection has one type", () => {
  using shelf = new Shelf();
  shelf.log([anEntry("a")], { type: "a" });
  const wanted = aFault("usage", /^Artifact "mnist" already exists with type 'a'; .*'b'/);
  expect(() => shelf.log([anEntry("b")], { type: "b" })).toThrow(wanted);
  expect(() => shelf.registry.checkLog(aRequest({ type: "b" }))).toThrow(wanted);
  expect(shelf.registry.versions(aRequest())).toHaveLength(1);
  shelf.log([anEntry("b")], { type: "b", project: "elsewhere" });
  expect(() => shelf.registry.resolve("mnist:v0", { type: "b" })).toThrow(
    aFault("usage", /"mnist:v0" is of type "a", not "b"/),
  );
  expect(shelf.registry.resolve("mnist:v0", { type: "a" }).type).toBe("a");
});

test.each([
  [{ name: "a/b" }],
  [{ name: "" }],
  [{ type: "wandb-x" }],
  [{ type: "job" }],
  [{ aliases: ["a:b"] }],
  [{ aliases: ["v7"] }],
  [{ aliases: ["ok", ""] }],
  [{ tags: ["a/b"] }],
  [{ project: "a b" }],
  [{ metadata: { x: Infinity } }],
])("a log with %j is refused and leaves nothing", (differences) => {
  using shelf = new Shelf();
  expect(() => shelf.log([anEntry("a")], differences)).toThrow(aFault("usage", /./));
  expect(() => shelf.registry.checkLog(aRequest(differences))).toThrow(aFault("usage", /./));
  expect(shelf.registry.collections()).toEqual([]);
});

test("what is not there is told with what is", () => {
  using shelf = new Shelf();
  expect(() => shelf.registry.resolve("mnist")).toThrow(
    aFault("not-found", /no artifact "mnist": nothing was logged/),
  );
  shelf.log([anEntry("a")], { aliases: ["best"] });
  shelf.log([anEntry("b")]);
  shelf.log([anEntry("b")], { project: "vision", name: "cifar" });
  for (const [ref, message] of [
    ["mnisd", /no artifact "mnisd": did you mean "mnist"\?/],
    ["cifar:v0", /did you mean "vision\/cifar"\?/],
    ["something", /"refmount ls" shows/],
    ["mnist:v9", /no version or alias "v9": it has versions v0 to v1 and aliases latest, best/],
    ["mnist:besd", /did you mean "mnist:best"\?/],
    ["vision/cifar:v1", /it has version v0 and alias latest/],
  ] as const) {
    expect(() => shelf.registry.resolve(ref)).toThrow(aFault("not-found", message));
  }
  expect(() => shelf.registry.versions(aRequest({ name: "nothing" }))).toThrow(
    aFault("not-found", /./),
  );
});

test("collections are listed with their latest version, aliases and counts", () => {
  using shelf = new Shelf();
  shelf.log([anEntry("a")], { aliases: ["old"] });
  shelf.log([anEntry("b"), anEntry("c")]);
  shelf.log([anEntry("a")], { entity: "team", project: "p", name: "abc", type: "model" });
  const collections = shelf.registry.collections();
  expect(collections.map(({ base, type, versionCount }) => [base, type, versionCount])).toEqual([
    ["mnist", "dataset", 2],
    ["team/p/abc", "model", 1],
  ]);
  expect(collections[0]?.latest).toMatchObject({ ref: "mnist:v1", files: 2 });
  expect(collections[0]?.aliases).toEqual([
    { alias: "latest", version: "v1" },
    { alias: "old", version: "v0" },
  ]);
});

test("a manifest that was not sealed here is not logged", () => {
  using shelf = new Shelf();
  using elsewhere = new Folder();
  const sealed = seal(elsewhere.path, [anEntry("a")]);
  expect(() => shelf.registry.log(aRequest(), sealed)).toThrow(/not sealed/);
});

test("sizes over 2^32 and entries without any pin are kept as they are", () => {
  using shelf = new Shelf();
  const entry = anEntry("a", { sizeBytes: 2 ** 45, pin: NO_PIN, claims: [] });
  const { version } = shelf.log([entry, anEntry("b", { sizeBytes: null })]);
  expect(version).toMatchObject({ bytes: 2 ** 45, unknownSizes: 1, assurances: { none: 1 } });
});

test("the registry is for its owner alone", () => {
  using shelf = new Shelf();
  shelf.log([anEntry("a")]);
  for (const suffix of ["", "-wal"]) {
    expect(statSync(shelf.options.registryPath + suffix).mode & 0o777).toBe(0o600);
  }
});

test("a registry of a newer refmount is refused with advice and left alone", () => {
  using shelf = new Shelf();
  shelf.registry.close();
  const db = openSqlite(shelf.options.registryPath);
  db.pragma("user_version = 99");
  db.close();
  expect(() => Registry.open(shelf.options)).toThrow(
    aFault("usage", /newer refmount .*schema 99.*upgrade refmount/),
  );
});

test("a locked registry is busy for a writer and readable for a reader", () => {
  using shelf = new Shelf();
  shelf.log([anEntry("a")]);
  const other = openSqlite(shelf.options.registryPath);
  other.exec("BEGIN IMMEDIATE");
  expect(() => shelf.log([anEntry("b")])).toThrow(
    aFault("busy", /registry.sqlite is locked by another process; .*try again/),
  );
  expect(shelf.registry.resolve("mnist").version).toBe("v0");
  other.exec("ROLLBACK");
  other.close();
  expect(shelf.log([anEntry("b")]).version.version).toBe("v1");
});

test.each([
  ["something else", (): Buffer => Buffer.alloc(8192, "text ")],
  [
    "without its tables",
    (path: string): Buffer => {
      const db = openSqlite(path);
      db.exec("PRAGMA foreign_keys = OFF; DROP TABLE revision");
      db.close();
      return readFileSync(path);
    },
  ],
  [
    "scrambled after its first page",
    (path: string): Buffer => {
      const bytes = readFileSync(path);
      return bytes.fill(0xa5, 4096);
    },
  ],
])("a registry that is %s is corrupt, with advice", (_, damage) => {
  using shelf = new Shelf();
  shelf.log([anEntry("a")]);
  shelf.registry.close();
  writeFileSync(shelf.options.registryPath, damage(shelf.options.registryPath));
  expect(() => {
    using registry = Registry.open(shelf.options);
    registry.resolve("mnist");
  }).toThrow(aFault("corrupt", /is damaged .*Restore it from a backup, or move it away/));
});

test("a registry that cannot be made is denied", () => {
  using folder = new Folder();
  const registryPath = join(folder.path, "file", "registry.sqlite");
  writeFileSync(join(folder.path, "file"), "");
  expect(() => Registry.open({ registryPath, manifestsDir: folder.path })).toThrow(
    aFault("denied", /registry.sqlite cannot be opened/),
  );
});

test("processes that open a new registry and log at once get a version each", async () => {
  using folder = new Folder();
  const options = {
    registryPath: join(folder.path, "registry.sqlite"),
    manifestsDir: join(folder.path, "manifests"),
  };
  const script = `
    const { Registry } = await import(${JSON.stringify(distFile("registry/registry.js"))});
    const { ManifestWriter } = await import(${JSON.stringify(distFile("registry/manifest-writer.js"))});
    const options = ${JSON.stringify(options)};
    const registry = Registry.open(options);
    const writer = ManifestWriter.create(options.manifestsDir);
    writer.add({ path: "a", sizeBytes: 1, entryDigest: process.argv[1], uri: "s3://b/a", pin: {},
      digests: {}, claims: [], chunks: null, mtimeMs: null });
    const request = { entity: null, project: null, name: "mnist", type: "dataset" };
    process.stdout.write(registry.log(request, writer.seal()).version.version);`;
  const versions = await Promise.all(
    ["1", "2", "3", "4"].map(async (digest) => {
      const child = spawn(process.execPath, ["--input-type=module", "-e", script, digest], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      let output = "";
      child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
      await once(child, "close");
      return output;
    }),
  );
  expect(versions.sort()).toEqual(["v0", "v1", "v2", "v3"]);
});
