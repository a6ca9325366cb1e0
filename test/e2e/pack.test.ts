// The package as it would be published: packed, installed in an empty folder, used from there.

import { execFile } from "node:child_process";
import { cp, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { distFile } from "../support/dist.js";
import { lacks } from "../support/needs.js";
import { readFileElsewhere } from "../support/reader.js";
import { Rig } from "../support/rig.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** Compiling the native part on a busy machine. */
const TIMEOUT_MS = 400_000;
const MAX_PACKED_BYTES = 1_000_000;

interface Packed {
  readonly filename: string;
  readonly size: number;
  readonly files: readonly { readonly path: string; readonly mode: number }[];
}

interface Lock {
  readonly packages: Readonly<Record<string, { readonly dev?: boolean }>>;
}

test("the package holds what was built and the native sources, and nothing else", async () => {
  await using rig = await Rig.create();
  const { size, files } = await pack(rig.dir);
  const paths = files.map(({ path }) => path);
  const sources = await readdir(join(ROOT, "native"), { withFileTypes: true });
  for (const file of sources.filter((item) => item.isFile() && !item.name.startsWith("."))) {
    expect(paths).toContain(`native/${file.name}`);
  }
  for (const path of ["dist/main.js", "dist/index.js", "dist/index.d.ts", "README.md", "LICENSE"]) {
    expect(paths).toContain(path);
  }
  const known = /^(dist\/.*\.(js|d\.ts)|native\/[^/]*|[A-Z]+\.md|LICENSE|package\.json)$/;
  expect(paths.filter((path) => !known.test(path))).toEqual([]);
  expect(size).toBeLessThan(MAX_PACKED_BYTES);
});

test.skipIf(lacks("fuse", "c++", "python3"))(
  "installed in an empty folder, it logs, mounts, reads and unmounts, and can be imported",
  { timeout: TIMEOUT_MS },
  async () => {
    await using rig = await Rig.create();
    const { filename } = await pack(rig.dir);
    const folder = rig.path("project");
    await installDependencies(folder);
    await npm(folder, "install", "--offline", "--prefix", folder, rig.path(filename));

    const refmount = async (...args: string[]): Promise<string> => {
      const bin = join(folder, "node_modules/.bin/refmount");
      return (await promisify(execFile)(bin, args, { env: rig.environment })).stdout;
    };
    const data = await rig.tree("data", { "a.txt": "hello", "sub/b.txt": "my" });
    expect(await refmount("log", "demo", "--type", "dataset", "--ref", `file://${data}`)).toMatch(
      /^demo:v0 {2}[0-9a-f]{32} {2}2 files/,
    );
    await mkdir(rig.path("mnt"));
    await refmount("mount", "demo:v0", rig.path("mnt"));
    expect(String(await readFileElsewhere(rig.path("mnt/sub/b.txt")))).toBe("my");
    await refmount("unmount", rig.path("mnt"));
    expect(rig.mountPoints()).toEqual([]);

    const program = `
      import { Refmount } from "refmount";
      const refmount = await Refmount.open();
      console.log((await refmount.use("demo:latest")).ref);
    `;
    const imported = await promisify(execFile)(
      process.execPath,
      ["--input-type=module", "-e", program],
      { cwd: folder, env: rig.environment },
    );
    expect(imported.stdout).toBe("demo:v0\n");
  },
);

/** Packs what is built, which others use at this time: without building it again. */
async function pack(destination: string): Promise<Packed> {
  distFile("main.js");
  const args = ["pack", "--ignore-scripts", "--json", "--pack-destination", destination];
  const [packed] = JSON.parse(await npm(ROOT, ...args)) as Packed[];
  if (packed === undefined) throw new Error("npm pack packed nothing");
  return packed;
}

/**
 * What npm would fetch from its registry and compile for minutes, as it was installed for us: npm
 * checks that it is what the package asks for, and leaves it.
 */
async function installDependencies(folder: string): Promise<void> {
  await mkdir(join(folder, "node_modules"), { recursive: true });
  await writeFile(join(folder, "package.json"), '{ "private": true }');
  const lock = JSON.parse(await readFile(join(ROOT, "package-lock.json"), "utf8")) as Lock;
  const installed = new Set(await readdir(join(ROOT, "node_modules")));
  for (const [path, { dev }] of Object.entries(lock.packages)) {
    const [, name = ""] = path.split("/");
    // What is nested comes with the package around it.
    const top = path !== "" && path.lastIndexOf("node_modules/") === 0;
    if (!top || dev === true || !installed.has(name)) continue;
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await cp(join(ROOT, path), join(folder, path), { recursive: true });
  }
  await cp(join(ROOT, "node_modules/.bin"), join(folder, "node_modules/.bin"), {
    recursive: true,
    verbatimSymlinks: true,
  });
}

async function npm(cwd: string, ...args: string[]): Promise<string> {
  // The settings of an npm that runs these tests are about our own folder.
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^npm_/i.test(name) || /^npm_config_nodedir$/i.test(name),
  );
  const options = {
    cwd,
    env: { ...Object.fromEntries(inherited), npm_config_update_notifier: "false" },
    maxBuffer: 64 * 1024 * 1024,
  };
  return (await promisify(execFile)("npm", [...args, "--no-audit", "--no-fund"], options)).stdout;
}
