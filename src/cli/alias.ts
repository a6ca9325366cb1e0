// refmount alias add|rm|ls: names for versions besides their numbers.

import type { Command } from "commander";
import { printable, table } from "./text.js";
import { examples, openDesk, type Invocation } from "./verb.js";
import { labelKeys } from "./version-labels.js";

export function addAlias(program: Command, invocation: Invocation): void {
  const alias = program
    .command("alias")
    .description("name versions: add, move, remove or list aliases")
    .addHelpText(
      "after",
      examples("refmount alias add mnist:v3 best prod", "refmount alias rm mnist prod"),
    );
  alias
    .command("add")
    .description("give a version aliases; one that another version has moves to it")
    .argument("<ref>", "[entity/][project/]name[:version or alias]")
    .argument("<alias...>")
    .action(async (ref: string, aliases: string[], _: object, command: Command) => {
      const desk = openDesk(command, invocation);
      const { addAliases } = await import("../daemon/amend.js");
      const version = addAliases(await desk.openHome(), ref, aliases);
      desk.print(labelKeys(version), () => `${version.ref}: ${version.aliases.join(", ")}`);
    });
  alias
    .command("rm")
    .description("take aliases away from whichever versions have them")
    .argument("<name>", "[entity/][project/]name")
    .argument("<alias...>")
    .action(async (name: string, aliases: string[], _: object, command: Command) => {
      const desk = openDesk(command, invocation);
      const { removeAliases } = await import("../daemon/amend.js");
      removeAliases(await desk.openHome(), name, aliases);
      desk.print({ name, removed: aliases }, () => `${name}: removed ${aliases.join(", ")}`);
    });
  alias
    .command("ls")
    .description("list the aliases of an artifact")
    .argument("<name>", "[entity/][project/]name")
    .action(async (name: string, _: object, command: Command) => {
      const desk = openDesk(command, invocation);
      const { listAliases } = await import("../daemon/amend.js");
      const aliases = listAliases(await desk.openHome(), name);
      desk.print({ name, aliases }, () =>
        aliases.length === 0
          ? `${name} has no aliases`
          : table(
              ["ALIAS", "VERSION"],
              ["left", "left"],
              aliases.map((row) => [printable(row.alias), row.version]),
            ),
      );
    });
}
