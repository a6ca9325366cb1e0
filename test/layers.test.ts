// The arrows between the rooms, and what each room alone may touch. Reads the sources; runs nothing.

import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { describe, expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const SRC = join(ROOT, "src");

const LOWEST = ["model"];
const SIBLING = ["native", ...LOWEST];
const ABOVE_SIBLINGS = ["registry", "stores", "cache", "mount", ...SIBLING];

/** What each room may import besides itself. A file at the top of src is a room of its own. */
const ROOMS: Readonly<Record<string, readonly string[]>> = {
  model: [],
  native: LOWEST,
  registry: SIBLING,
  stores: SIBLING,
  cache: SIBLING,
  mount: SIBLING,
  daemon: ABOVE_SIBLINGS,
  web: ABOVE_SIBLINGS,
  cli: ["web", "daemon", ...LOWEST],
  "main.ts": ["cli", ...LOWEST],
  "index.ts": ["daemon", ...ABOVE_SIBLINGS],
};

/** Who may speak SQL. */
const SQL = /^(?:registry\/.*|cache\/(?:ledger-file|observed))\.ts$/;
const NETWORK = /^(?:node:)?(?:http|https|http2|net|tls|dgram|dns|dns\/promises)$|^undici(?:\/|$)/;

/** Who may import what is not ours; the first row that matches decides. */
const OUTSIDE: readonly (readonly [module: RegExp, importers: RegExp])[] = [
  // The control socket is a unix socket.
  [/^node:(?:net|http)$/, /^(?:stores|daemon)\//],
  [NETWORK, /^stores\//],
  [/^@(?:aws-sdk|aws-crypto|smithy|azure|google-cloud)\//, /^stores\//],
  [/^(?:https?-proxy-agent|google-auth-library|structured-headers)$/, /^stores\//],
  [
    /^better-sqlite3(?:-13)?$/,
    /^(?:native\/sqlite|registry\/.*|cache\/(?:ledger-file|observed))\.ts$/,
  ],
  [/^lru-cache$/, /^(?:cache|mount)\//],
  [/^fuse-native$/, /^mount\//],
  [/^commander$/, /^cli\//],
  [/^node:module$/, /^(?:native\/(?:addon|sqlite)|mount\/fuse-[a-z]+)\.ts$/],
  [/^node:/, /./],
];

interface Import {
  readonly module: string;
  readonly typeOnly: boolean;
}

interface Source {
  /** Relative to src, with "/". */
  readonly file: string;
  readonly text: string;
}

function sources(): Source[] {
  return readdirSync(SRC, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .map((file) => ({ file, text: readFileSync(join(SRC, file), "utf8") }));
}

/** All nodes of a source file. */
function* nodesOf(source: Source): Generator<ts.Node> {
  const stack: ts.Node[] = [
    ts.createSourceFile(source.file, source.text, ts.ScriptTarget.Latest, true),
  ];
  for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
    yield node;
    ts.forEachChild(node, (child) => void stack.push(child));
  }
}

function importsOf(source: Source): Import[] {
  const found: Import[] = [];
  const add = (node: ts.Node | undefined, typeOnly: boolean): void => {
    if (node === undefined) return;
    const literal = ts.isLiteralTypeNode(node) ? node.literal : node;
    const module = ts.isStringLiteralLike(literal) ? literal.text : `computed: ${node.getText()}`;
    found.push({ module, typeOnly });
  };
  for (const node of nodesOf(source)) {
    if (ts.isImportDeclaration(node)) {
      add(node.moduleSpecifier, node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword);
    } else if (ts.isExportDeclaration(node)) {
      add(node.moduleSpecifier, node.isTypeOnly);
    } else if (ts.isExternalModuleReference(node)) {
      add(node.expression, false);
    } else if (ts.isImportTypeNode(node)) {
      add(node.argument, true);
    } else if (ts.isCallExpression(node) && isLoad(node.expression)) {
      add(node.arguments[0], false);
    }
  }
  return found;
}

/** `import(...)`, `require(...)`, `createRequire(...)(...)`. */
function isLoad(callee: ts.Expression): boolean {
  if (callee.kind === ts.SyntaxKind.ImportKeyword) return true;
  if (ts.isIdentifier(callee)) return callee.text === "require";
  return (
    ts.isCallExpression(callee) &&
    ts.isIdentifier(callee.expression) &&
    callee.expression.text === "createRequire"
  );
}

function roomOf(file: string): string {
  return file.split("/")[0] ?? file;
}

/** What is wrong with the imports of a file, as sentences. */
function forbiddenImports(source: Source): string[] {
  const room = roomOf(source.file);
  const allowed = ROOMS[room];
  if (allowed === undefined) return [`${source.file} is in no room of the table`];
  const wrong: string[] = [];
  for (const { module } of importsOf(source)) {
    if (module.endsWith(".node") && source.file === "native/addon.ts") continue;
    if (module.startsWith(".")) {
      const target = roomOf(relative(SRC, join(SRC, dirname(source.file), module)));
      const targetRoom = target.replace(/\.js$/, ".ts");
      if (targetRoom !== room && !allowed.includes(targetRoom)) {
        wrong.push(`${source.file} may not import ${targetRoom} (${module})`);
      }
      if (module.endsWith("native/sqlite.js") && !SQL.test(source.file)) {
        wrong.push(`${source.file} may not speak SQL`);
      }
    } else if (room === "model") {
      // node:buffer and the like would be I/O or the machine; model is neither.
      wrong.push(`${source.file} may not import anything but model (${module})`);
    } else {
      const row = OUTSIDE.find(([pattern]) => pattern.test(module));
      if (row?.[1].test(source.file) !== true) {
        wrong.push(`${source.file} may not import ${module}`);
      }
    }
  }
  return wrong;
}

/** What is wrong with a file besides its imports. */
function forbiddenUses(source: Source): string[] {
  const wrong: string[] = [];
  for (const node of nodesOf(source)) {
    if (ts.isStringLiteralLike(node) && node.text.endsWith(".node")) {
      if (source.file !== "native/addon.ts") wrong.push(`${source.file} may not load the addon`);
    }
    if (ts.isPropertyAccessExpression(node) && node.expression.getText() === "process") {
      const { text } = node.name;
      if (["exit", "exitCode", "reallyExit", "abort"].includes(text) && source.file !== "main.ts") {
        wrong.push(`${source.file} may not use process.${text}`);
      }
    }
    if (
      ts.isCallExpression(node) &&
      /^(?:globalThis\.)?fetch$/.test(node.expression.getText()) &&
      roomOf(source.file) !== "stores" &&
      !declares(source, "fetch")
    ) {
      wrong.push(`${source.file} may not use the global fetch`);
    }
  }
  return wrong;
}

/** True when the file gives `name` a meaning of its own: a parameter, a variable, a function. */
function declares(source: Source, name: string): boolean {
  for (const node of nodesOf(source)) {
    const declared =
      ts.isParameter(node) ||
      ts.isVariableDeclaration(node) ||
      ts.isBindingElement(node) ||
      ts.isFunctionDeclaration(node) ||
      ts.isImportSpecifier(node);
    if (declared && node.name?.getText() === name) return true;
  }
  return false;
}

test("every import follows the arrows", () => {
  expect(sources().flatMap(forbiddenImports)).toEqual([]);
});

test("only main.ts ends the process, only native/addon.ts loads the addon, only stores fetches", () => {
  expect(sources().flatMap(forbiddenUses)).toEqual([]);
});

test("every package that is loaded is a dependency of ours", () => {
  const { dependencies, optionalDependencies } = JSON.parse(
    readFileSync(join(ROOT, "package.json"), "utf8"),
  ) as Record<"dependencies" | "optionalDependencies", Record<string, string>>;
  const known = { ...dependencies, ...optionalDependencies };
  const missing = sources().flatMap((source) =>
    importsOf(source)
      .filter(({ module, typeOnly }) => !typeOnly && !/^(?:node:|\.)/.test(module))
      .map(({ module }) =>
        module
          .split("/")
          .slice(0, module.startsWith("@") ? 2 : 1)
          .join("/"),
      )
      .filter((name) => !Object.hasOwn(known, name))
      .map((name) => `${source.file} loads ${name}`),
  );
  expect(missing).toEqual([]);
});

describe("this test finds", () => {
  test.each([
    ["registry/x.ts", 'import { Cache } from "../cache/cache.js";'],
    ["registry/x.ts", 'import type { Cache } from "../cache/cache.js";'],
    ["registry/x.ts", 'export * from "../stores/store.js";'],
    ["registry/x.ts", 'export type { A } from "../mount/driver.js";'],
    ["registry/x.ts", 'const a = await import("../daemon/home.js");'],
    ["registry/x.ts", 'type A = import("../cache/cache.js").Cache;'],
    ["registry/x.ts", "const a = await import(name);"],
    ["registry/deep/x.ts", 'import { Cache } from "../../cache/cache.js";'],
    ["cli/x.ts", 'import { Registry } from "../registry/registry.js";'],
    ["daemon/x.ts", 'import { main } from "../main.js";'],
    ["model/x.ts", 'import { addon } from "../native/addon.js";'],
    ["model/x.ts", 'import { readFileSync } from "node:fs";'],
    ["native/addon.ts", 'import { Registry } from "../registry/registry.js";'],
    ["cache/cache.ts", 'import Sqlite from "better-sqlite3";'],
    ["cache/cache.ts", 'import { openSqlite } from "../native/sqlite.js";'],
    ["cache/cache.ts", 'import { get } from "node:https";'],
    ["cache/cache.ts", 'import { get } from "http";'],
    ["daemon/x.ts", 'import { S3Client } from "@aws-sdk/client-s3";'],
    ["daemon/x.ts", 'import { connect } from "node:tls";'],
    ["daemon/x.ts", 'import leftPad from "left-pad";'],
    ["daemon/x.ts", 'import { createRequire } from "node:module";'],
    ["attic/x.ts", ""],
  ])("in %s the import %s", (file, text) => {
    expect(forbiddenImports({ file, text })).toHaveLength(1);
  });

  test.each([
    ["cli/x.ts", "process.exitCode = 1;"],
    ["daemon/worker.ts", "process.exit();"],
    ["mount/x.ts", 'createRequire(import.meta.url)("../../native/build/Release/refmount.node");'],
    ["cache/x.ts", 'const answer = await fetch("http://localhost");'],
  ])("in %s the use %s", (file, text) => {
    expect(forbiddenUses({ file, text })).toHaveLength(1);
  });

  test.each([
    ["daemon/x.ts", 'import { Cache } from "../cache/cache.js"; import "./y.js";'],
    ["daemon/x.ts", 'import { connect } from "node:net";'],
    ["cache/ledger-file.ts", 'import { openSqlite } from "../native/sqlite.js";'],
    ["stores/s3/x.ts", 'import { S3Client } from "@aws-sdk/client-s3"; import "../store.js";'],
    ["main.ts", 'import { run } from "./cli/program.js"; process.exitCode = 1;'],
    ["cache/x.ts", "const f = (fetch: Fetch) => fetch(entry, null, signal);"],
  ])("nothing wrong in %s with %s", (file, text) => {
    expect([...forbiddenImports({ file, text }), ...forbiddenUses({ file, text })]).toEqual([]);
  });
});
