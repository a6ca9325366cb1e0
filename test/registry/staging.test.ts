import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ManifestWriter } from "../../src/registry/manifest-writer.js";
import { Staging } from "../../src/registry/staging.js";
import { distFile } from "../support/dist.js";
import { anEntry, Folder } from "../support/entries.js";

/** A writer in another process: as much of one as others can see. */
async function startOtherWriter(dir: string, id: string): Promise<ChildProcess> {
  const sqlite = createRequire(import.meta.url).resolve("better-sqlite3");
  const script = `
    const db = new (require(${JSON.stringify(sqlite)}))(${JSON.stringify(join(dir, `.staging-${id}.lock`))});
    db.exec("BEGIN EXCLUSIVE; CREATE TABLE t (x); INSERT INTO t VALUES (1)");
    require("fs").writeFileSync(${JSON.stringify(join(dir, `.staging-${id}.manifest`))}, "half");
    process.stdout.write("holding");
    setInterval(() => db, 1000);`;
  const child = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  await once(child.stdout, "data");
  return child;
}

test("a writer in another process is left alone until it is killed, then its files go", async () => {
  using folder = new Folder();
  const child = await startOtherWriter(folder.path, "0123456789abcdef");
  const files = [".staging-0123456789abcdef.lock", ".staging-0123456789abcdef.manifest"];
  try {
    Staging.create(folder.path).remove();
    expect(
      readdirSync(folder.path)
        .filter((name) => !name.endsWith("-journal"))
        .sort(),
    ).toEqual(files);
  } finally {
    child.kill("SIGKILL");
    await once(child, "exit");
  }
  Staging.create(folder.path).remove();
  expect(readdirSync(folder.path)).toEqual([]);
});

test("litter of any shape goes, other files stay", () => {
  using folder = new Folder();
  const litter = [
    ".staging-00000000000000aa.lock",
    ".staging-00000000000000aa.manifest",
    ".staging-00000000000000bb.idx",
    ".staging-00000000000000cc.lock",
    ".staging-00000000000000cc.lock-journal",
  ];
  const others = ["0".repeat(64) + ".manifest", ".staging", ".staging-readme.lock", "notes"];
  for (const name of [...litter, ...others])
    writeFileSync(join(folder.path, name), "x".repeat(5000));
  const writer = ManifestWriter.create(folder.path);
  writer.add(anEntry("a"));
  writer.abort();
  expect(readdirSync(folder.path).sort()).toEqual(others.sort());
});

test("a writer of this process is left alone by another", () => {
  using folder = new Folder();
  using first = ManifestWriter.create(folder.path);
  first.add(anEntry("a"));
  const before = readdirSync(folder.path);
  ManifestWriter.create(folder.path).abort();
  expect(readdirSync(folder.path)).toEqual(before);
  expect(first.seal().files).toBe(1);
});

test("a folder that cannot be made is a fault", () => {
  using folder = new Folder();
  const file = join(folder.path, "file");
  writeFileSync(file, "");
  expect(() => ManifestWriter.create(join(file, "manifests"))).toThrow(
    expect.objectContaining({ kind: "denied" }),
  );
});

test("writers that begin and end all the time never take one another for litter", async () => {
  using folder = new Folder();
  const script = `
    const { Staging } = await import(${JSON.stringify(distFile("registry/staging.js"))});
    for (let n = 0; n < 200; n++) Staging.create(${JSON.stringify(folder.path)}).remove();
    process.stdout.write("done");`;
  const ends = await Promise.all(
    Array.from({ length: 4 }, async () => {
      const args = ["--input-type=module", "-e", script];
      const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
      let output = "";
      for (const stream of [child.stdout, child.stderr]) {
        stream.setEncoding("utf8").on("data", (text: string) => (output += text));
      }
      await once(child, "close");
      return output;
    }),
  );
  expect(ends).toEqual(["done", "done", "done", "done"]);
  expect(readdirSync(folder.path)).toEqual([]);
});
