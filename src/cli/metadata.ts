// refmount metadata get|set|unset: the JSON object that a version carries.

import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { Fault } from "../model/fault.js";
import { parseMetadata, type Metadata } from "../model/metadata.js";
import { examples, openDesk, type Invocation } from "./verb.js";
import { labelKeys } from "./version-labels.js";

const REF = "[entity/][project/]name[:version or alias]";

interface SetOptions {
  readonly replace?: boolean;
}

export function addMetadata(program: Command, invocation: Invocation): void {
  const metadata = program
    .command("metadata")
    .description("read or change the metadata of a version")
    .addHelpText(
      "after",
      examples(
        "refmount metadata get mnist:v3 accuracy",
        `refmount metadata set mnist:v3 '{"accuracy": 0.98}'`,
        "refmount metadata unset mnist:v3 accuracy",
      ),
    );
  metadata
    .command("get")
    .description("print the metadata, or the value of one key, as JSON")
    .argument("<ref>", REF)
    .argument("[key]")
    .action(async (ref: string, key: string | undefined, _: object, command: Command) => {
      const desk = openDesk(command, invocation);
      const { findVersion } = await import("../daemon/browse.js");
      const version = findVersion(await desk.openHome(), ref);
      const value = key === undefined ? version.metadata : valueOf(version.metadata, key, ref);
      desk.print(value, () => JSON.stringify(value, null, 2));
    });
  metadata
    .command("set")
    .description("set the keys of a JSON object, leaving the others")
    .argument("<ref>", REF)
    .argument("<json|@file>")
    .option("--replace", "drop the keys that are not named")
    .action(async (ref: string, text: string, options: SetOptions, command: Command) => {
      const update = readMetadata(text);
      await change(command, invocation, ref, (current) =>
        options.replace === true ? update : { ...current, ...update },
      );
    });
  metadata
    .command("unset")
    .description("remove keys")
    .argument("<ref>", REF)
    .argument("<key...>")
    .action(async (ref: string, keys: string[], _: object, command: Command) => {
      await change(command, invocation, ref, (current) => {
        for (const key of keys) valueOf(current, key, ref);
        return Object.fromEntries(Object.entries(current).filter(([key]) => !keys.includes(key)));
      });
    });
}

async function change(
  command: Command,
  invocation: Invocation,
  ref: string,
  work: (current: Metadata) => Metadata,
): Promise<void> {
  const desk = openDesk(command, invocation);
  const { changeMetadata } = await import("../daemon/amend.js");
  const version = changeMetadata(await desk.openHome(), ref, work);
  desk.print(
    labelKeys(version),
    () => `${version.ref}: ${JSON.stringify(version.metadata, null, 2)}`,
  );
}

function valueOf(metadata: Metadata, key: string, ref: string): unknown {
  if (Object.hasOwn(metadata, key)) return metadata[key];
  throw new Fault("not-found", `The metadata of "${ref}" have no key "${key}"`, { subject: ref });
}

/**
 * Metadata as an option gives them: a JSON object, or @FILE that holds one.
 * @throws Fault `usage`
 */
export function readMetadata(option: string): Metadata {
  if (!option.startsWith("@")) return parseMetadata(option);
  const path = option.slice(1);
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw new Fault("usage", `Cannot read --metadata ${option}: ${(cause as Error).message}`, {
      subject: path,
      cause,
    });
  }
  return parseMetadata(text);
}
