// refmount lineage REF: what a version was made from, and what was made from it.

import { Option, type Command } from "commander";
import type { Lineage, LineageNode } from "../daemon/provenance.js";
import { describeWhat, runKeys } from "./runs.js";
import { printable } from "./text.js";
import { examples, openDesk, type Invocation } from "./verb.js";

interface Options {
  readonly up?: boolean;
  readonly down?: boolean;
  readonly dot?: boolean;
  readonly mermaid?: boolean;
}

export function addLineage(program: Command, invocation: Invocation): void {
  program
    .command("lineage")
    .description("show what a version was made from, and what was made from it")
    .argument("<ref>", "[entity/][project/]name[:version or alias]")
    .option("--up", "only what it was made from")
    .option("--down", "only what was made from it")
    .addOption(new Option("--dot", "as a graph for Graphviz").conflicts("mermaid"))
    .addOption(new Option("--mermaid", "as a graph for Mermaid"))
    .addHelpText(
      "after",
      examples("refmount lineage model:v4 --up", "refmount lineage mnist:v3 --dot | dot -Tsvg"),
    )
    .action(async (ref: string, options: Options, command: Command) => {
      const desk = openDesk(command, invocation);
      const { traceVersion } = await import("../daemon/provenance.js");
      const both = options.up === options.down;
      const lineage = traceVersion(await desk.openHome(), ref, {
        up: both || options.up === true,
        down: both || options.down === true,
      });
      desk.print(lineageKeys(lineage), () => {
        if (options.dot === true) return formatDot(lineage);
        return options.mermaid === true ? formatMermaid(lineage) : formatTrees(lineage);
      });
    });
}

function lineageKeys({ root, nodes, edges }: Lineage): object {
  return {
    root,
    nodes: nodes.map((node) =>
      node.kind === "run"
        ? { id: node.id, kind: node.kind, run: runKeys(node.run) }
        : { id: node.id, kind: node.kind, ...node.version },
    ),
    edges,
  };
}

function labelOf(node: LineageNode): string {
  if (node.kind === "run") return `run ${node.run.id}: ${describeWhat(node.run)}`;
  const { ref, type, deleted } = node.version;
  return `${ref} (${type}${deleted ? ", deleted" : ""})`;
}

/** The root, and below it a tree up and a tree down; a node that was shown before is not opened again. */
function formatTrees(lineage: Lineage): string {
  const nodes = new Map(lineage.nodes.map((node) => [node.id, node]));
  const lines: string[] = [];
  const branch = (id: string, indent: string, up: boolean, seen: Set<string>): void => {
    const edges = lineage.edges.filter((edge) => (up ? edge.to : edge.from) === id);
    edges.forEach((edge, index) => {
      const next = up ? edge.from : edge.to;
      const node = nodes.get(next);
      if (node === undefined) return;
      const last = index === edges.length - 1;
      const again = seen.has(next);
      const verb = verbOf(edge.role, up);
      lines.push(
        `${indent}${last ? "└─" : "├─"} ${verb} ${labelOf(node)}${again ? " (above)" : ""}`,
      );
      if (again) return;
      seen.add(next);
      branch(next, `${indent}${last ? "   " : "│  "}`, up, seen);
    });
  };
  const root = nodes.get(lineage.root);
  if (root !== undefined) lines.push(labelOf(root));
  branch(lineage.root, "", true, new Set([lineage.root]));
  branch(lineage.root, "", false, new Set([lineage.root]));
  if (lines.length === 1) lines.push("No run is known that produced or used it.");
  return lines.join("\n");
}

function verbOf(role: "used" | "produced", up: boolean): string {
  if (role === "produced") return up ? "produced by" : "produced";
  return up ? "used" : "used by";
}

function formatDot({ nodes, edges }: Lineage): string {
  const quote = (text: string): string => `"${text.replace(/["\\]/g, "\\$&")}"`;
  return [
    "digraph lineage {",
    "  rankdir=LR;",
    ...nodes.map(
      (node) =>
        `  ${quote(node.id)} [label=${quote(labelOf(node))}, shape=${node.kind === "run" ? "box" : "ellipse"}];`,
    ),
    ...edges.map(
      ({ from, to, role }) => `  ${quote(from)} -> ${quote(to)} [label=${quote(role)}];`,
    ),
    "}",
  ].join("\n");
}

function formatMermaid({ nodes, edges }: Lineage): string {
  const names = new Map(nodes.map((node, index) => [node.id, `n${index}`]));
  const quote = (text: string): string => `"${printable(text).replace(/["#;<>&]/g, entity)}"`;
  return [
    "flowchart LR",
    ...nodes.map((node) => {
      const [open, close] = node.kind === "run" ? ["[", "]"] : ["([", "])"];
      return `  ${names.get(node.id) ?? ""}${open}${quote(labelOf(node))}${close}`;
    }),
    ...edges.map(
      ({ from, to, role }) => `  ${names.get(from) ?? ""} -->|${role}| ${names.get(to) ?? ""}`,
    ),
  ].join("\n");
}

function entity(character: string): string {
  return `#${character.charCodeAt(0)};`;
}
