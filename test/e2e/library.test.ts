// The library as a program has it that depends on the package: README's example, compiled against the
// package's types by its name, and run.

import { execFile } from "node:child_process";
import { mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { distFile } from "../support/dist.js";
import { lacks } from "../support/needs.js";
import { Rig } from "../support/rig.js";
import { startS3Double } from "../support/s3-double.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const TSC = join(ROOT, "node_modules/typescript/bin/tsc");
const TIMEOUT_MS = 120_000;

/** A program's own settings: strict, and checking our declarations too. */
const SETTINGS = {
  target: "es2023",
  lib: ["es2023", "esnext.disposable"],
  module: "nodenext",
  strict: true,
  exactOptionalPropertyTypes: true,
  skipLibCheck: false,
};

test.skipIf(lacks("fuse"))(
  "README's example compiles, logs from S3, mounts and unmounts",
  { timeout: TIMEOUT_MS },
  async () => {
    await using double = await startS3Double();
    double.bucket("my-bucket").put("datasets/mnist/train/a.txt", "hello");
    await using rig = await Rig.create(double.environment);
    await mkdir(rig.path("data/mnist"), { recursive: true });
    const example = await readmeExample();
    const program = `${example.replace("/data/mnist", rig.path("data/mnist"))}
      import { execFileSync } from "node:child_process";
      console.log(version.ref, mount.ref, mount.path, (await refmount.use("mnist:best")).files);
      process.stdout.write(execFileSync("cat", [mount.path + "/train/a.txt"]));
    `;
    await compile(rig, program, {
      typeRoots: [join(ROOT, "node_modules/@types")],
      types: ["node"],
    });
    const { stdout } = await promisify(execFile)(process.execPath, ["program.js"], {
      cwd: rig.path("project"),
      env: rig.environment,
    });
    expect(stdout).toBe(`mnist:v0 mnist:v0 ${rig.path("data/mnist")} 1\nhello`);
    expect(rig.mountPoints()).toEqual([]);
  },
);

test(
  "the declarations stand on their own, and say what is no request",
  { timeout: TIMEOUT_MS },
  async () => {
    await using rig = await Rig.create();
    // Without the types of Node.js, which a program need not have.
    await compile(
      rig,
      `
      import { Artifact, Fault, Mount, Refmount, Version } from "refmount";
      import type { Assurance, DownloadReport, Entry, FaultKind, Pin, StatusReport } from "refmount";
      export async function use(refmount: Refmount): Promise<DownloadReport> {
        const version: Version = await refmount.use("mnist:v0", { type: "dataset" });
        const status: StatusReport | null = await refmount.status();
        const limit: number | undefined = status?.cache.limitBytes;
        const level: Assurance = "content";
        const mount: Mount = await version.mount("/mnt", { require: level, cacheBytes: limit ?? 1e9 });
        await mount.unmount({ force: true });
        for await (const entry of version.entries()) pinOf(entry);
        return version.download("out", { pathPrefix: "train/", onProgress: (p) => void p.doneBytes });
      }
      function pinOf(entry: Entry): Pin { return entry.pin; }
      export function kind(error: unknown): FaultKind | null {
        return error instanceof Fault ? error.kind : null;
      }
      // @ts-expect-error the type is not optional
      new Artifact("mnist");
      // @ts-expect-error no such level
      export const wrong = (v: Version) => v.mount("/mnt", { require: "sure" });
      `,
      { types: [] },
    );
  },
);

/** Compiles `program` in a folder in which the package is installed by its name. */
async function compile(rig: Rig, program: string, settings: object): Promise<void> {
  distFile("index.js");
  const project = rig.path("project");
  await rig.tree("project", { "package.json": '{ "type": "module" }', "program.ts": program });
  await mkdir(join(project, "node_modules"));
  await symlink(ROOT, join(project, "node_modules/refmount"));
  const tsconfig = { compilerOptions: { ...SETTINGS, ...settings }, files: ["program.ts"] };
  await writeFile(join(project, "tsconfig.json"), JSON.stringify(tsconfig));
  const compiling = promisify(execFile)(process.execPath, [TSC, "-p", project]);
  // The compiler tells on stdout what is wrong.
  await compiling.catch((error: unknown) => {
    throw new Error((error as { stdout?: string }).stdout ?? String(error));
  });
}

async function readmeExample(): Promise<string> {
  const readme = await readFile(join(ROOT, "README.md"), "utf8");
  const example = /\n## Library\n[^]*?```ts\n([^]*?)```/.exec(readme)?.[1];
  if (example === undefined) throw new Error("README.md has no example of the library");
  return example;
}
