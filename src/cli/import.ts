// refmount import wandb-manifest FILE, refmount export wandb-manifest REF: manifests of W&B.

import type { Command } from "commander";
import { Batch } from "./batch.js";
import { printLogged } from "./log.js";
import { formatCount } from "./units.js";
import { examples, openDesk, repeatable, type Invocation } from "./verb.js";

interface Options {
  readonly name: string;
  readonly type: string;
  readonly alias?: readonly string[];
  readonly digest?: string;
}

export function addImport(program: Command, invocation: Invocation): void {
  const verb = program
    .command("import")
    .description("make a version of what another system recorded")
    .addHelpText(
      "after",
      examples("refmount import wandb-manifest wandb_manifest.json --name mnist --type dataset"),
    );
  verb
    .command("wandb-manifest")
    .description("a manifest of Weights & Biases: JSON or JSON lines, packed with gzip or not")
    .argument("<file>")
    .requiredOption("--name <name>", "[entity/][project/]name")
    .requiredOption("--type <type>", "what kind of artifact it is, such as dataset")
    .option("--alias <alias>", "name the version, besides latest; repeatable", repeatable)
    .option("--digest <hex>", "the artifact's digest as W&B tells it: must be the manifest's")
    .action(async (file: string, options: Options, command: Command) => {
      const desk = openDesk(command, invocation);
      const { importWandbManifest } = await import("../daemon/wandb-manifest.js");
      using interruption = invocation.interrupts.abortable();
      using progress = desk.progress;
      const { name, type, alias = [], digest = null } = options;
      const report = await importWandbManifest(
        await desk.openHome(),
        { file, name, type, aliases: alias, digest },
        {
          environment: invocation.environment,
          signal: interruption.signal,
          onNotice: (message) => desk.note(message),
          onProgress: (count) => progress.update(() => `${formatCount(count)} entries read`),
        },
      );
      await printLogged(desk, report);
    });
}

export function addExport(program: Command, invocation: Invocation): void {
  const verb = program
    .command("export")
    .description("write a version in the form of another system")
    .addHelpText(
      "after",
      examples("refmount export wandb-manifest mnist:v3 > wandb_manifest.json"),
    );
  verb
    .command("wandb-manifest")
    .description("as a manifest of Weights & Biases, on stdout")
    .argument("<ref>", "[entity/][project/]name[:version or alias]")
    .action(async (ref: string, _: object, command: Command) => {
      const desk = openDesk(command, invocation);
      const { exportWandbManifest } = await import("../daemon/wandb-manifest.js");
      using out = new Batch(invocation.stdout);
      for (const piece of exportWandbManifest(await desk.openHome(), ref)) out.write(piece);
    });
}
