// refmount tag add|rm, refmount describe: words on a version.

import type { Command } from "commander";
import { Fault } from "../model/fault.js";
import { printable } from "./text.js";
import { examples, openDesk, type Invocation } from "./verb.js";
import { labelKeys } from "./version-labels.js";

const REF = "[entity/][project/]name[:version or alias]";

export function addTag(program: Command, invocation: Invocation): void {
  const tag = program
    .command("tag")
    .description("add tags to a version or remove them")
    .addHelpText("after", examples('refmount tag add mnist:v3 raw "needs review"'));
  for (const verb of ["add", "rm"] as const) {
    tag
      .command(verb)
      .description(verb === "add" ? "add tags to a version" : "remove tags from a version")
      .argument("<ref>", REF)
      .argument("<tag...>")
      .action(async (ref: string, tags: string[], _: object, command: Command) => {
        const desk = openDesk(command, invocation);
        const { addTags, removeTags } = await import("../daemon/amend.js");
        const version = (verb === "add" ? addTags : removeTags)(await desk.openHome(), ref, tags);
        desk.print(labelKeys(version), () => `${version.ref}: ${version.tags.join(", ") || "-"}`);
      });
  }
}

interface DescribeOptions {
  readonly clear?: boolean;
}

export function addDescribe(program: Command, invocation: Invocation): void {
  program
    .command("describe")
    .description("say what a version is")
    .argument("<ref>", REF)
    .argument("[text]")
    .option("--clear", "take the description away")
    .addHelpText("after", examples('refmount describe mnist:v3 "without the broken scans"'))
    .action(
      async (ref: string, text: string | undefined, options: DescribeOptions, command: Command) => {
        if ((text === undefined) !== (options.clear === true)) {
          throw new Fault("usage", "describe takes either a text or --clear");
        }
        const desk = openDesk(command, invocation);
        const { describeVersion } = await import("../daemon/amend.js");
        const version = describeVersion(await desk.openHome(), ref, text ?? null);
        desk.print(
          labelKeys(version),
          () => `${version.ref}: ${printable(version.description ?? "no description")}`,
        );
      },
    );
}
