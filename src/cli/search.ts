// refmount search PATTERN [REF]: files by their path, in one version, one artifact, or everything.

import type { Command } from "commander";
import type { FoundFile } from "../daemon/search.js";
import { Batch } from "./batch.js";
import { printable } from "./text.js";
import { formatBytes } from "./units.js";
import { examples, openDesk, type Invocation } from "./verb.js";

interface Options {
  readonly allVersions?: boolean;
}

export function addSearch(program: Command, invocation: Invocation): void {
  program
    .command("search")
    .description("find files by their path in what was logged")
    .argument("<pattern>", "a part of a path, or a pattern with * ? [...] for a whole one")
    .argument("[ref]", "an artifact, or a version of it; everything when left out")
    .option("--all-versions", "not only in the latest versions")
    .addHelpText(
      "after",
      examples("refmount search img_0042", "refmount search 'train/*.png' mnist:v3"),
    )
    .action(async (pattern: string, ref: string | undefined, options: Options, own: Command) => {
      const desk = openDesk(own, invocation);
      const { searchPaths } = await import("../daemon/search.js");
      const found = searchPaths(await desk.openHome(), {
        pattern,
        ref: ref ?? null,
        allVersions: options.allVersions === true,
      });
      using out = new Batch(invocation.stdout);
      if (desk.json) out.writeArray("files", found, {});
      else for (const file of found) out.write(`${lineOf(file)}\n`);
    });
}

function lineOf({ ref, path, sizeBytes }: FoundFile): string {
  const size = sizeBytes === null ? "?" : formatBytes(sizeBytes);
  return `${size.padStart(8)}  ${ref}/${printable(path)}`;
}
