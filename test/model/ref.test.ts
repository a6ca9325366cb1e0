import { expect, test } from "vitest";
import {
  checkAlias,
  checkName,
  checkType,
  formatRef,
  parseRef,
  splitRefPath,
  versionNumber,
} from "../../src/model/ref.js";

const usage = (message = /./): unknown =>
  expect.objectContaining({ kind: "usage", message: expect.stringMatching(message) as string });

test.each([
  ["mnist", [null, null, "mnist", "latest"]],
  ["mnist:v3", [null, null, "mnist", "v3"]],
  ["project/mnist", [null, "project", "mnist", "latest"]],
  ["entity/project/mnist:v0", ["entity", "project", "mnist", "v0"]],
  ["a.b-c_D9:best-model", [null, null, "a.b-c_D9", "best-model"]],
])("%s is a ref", (text, [entity, project, name, alias]) => {
  const ref = parseRef(text);
  expect(ref).toEqual({ entity, project, name, alias });
  expect(parseRef(formatRef(ref))).toEqual(ref);
});

test.each([
  "",
  ":v0",
  "a/b/c/d",
  "a/b/c/d:v0",
  "/mnist",
  "project/",
  "//mnist",
  "mnist:",
  "mnist:a/b",
  "a:b:c",
  "mnist: v0",
  "mn ist",
  "mnist\n",
  ".",
  "..",
  "../mnist",
  "m\u00fcnze",
  "pro#ject/mnist",
  "pro ject/mnist",
  "x".repeat(129),
])("%j is no ref", (text) => {
  expect(() => parseRef(text)).toThrow(usage());
});

test.each([
  ["mnist", "mnist", ""],
  ["mnist:v3", "mnist:v3", ""],
  ["mnist:v3/", "mnist:v3", ""],
  ["mnist:v3/train/0", "mnist:v3", "train/0"],
  ["e/p/mnist:v3/train/a:b", "e/p/mnist:v3", "train/a:b"],
  ["e/p/mnist", "e/p/mnist", ""],
])("the ref of %s ends at the first slash after its colon", (text, ref, path) => {
  expect(splitRefPath(text)).toEqual({ ref, path });
});

test("versions are v and a number without leading zeros", () => {
  expect(["v0", "v10", "v01", "v", "V1", "v-1", "latest"].map(versionNumber)).toEqual([
    0,
    10,
    null,
    null,
    null,
    null,
    null,
  ]);
});

test("names have at most 128 characters of a few kinds", () => {
  expect(checkName("x".repeat(128))).toHaveLength(128);
  expect(() => checkName("x".repeat(129))).toThrow(usage(/at most 128 characters.*129/));
  for (const name of ["", "a/b", "a:b", "a b", ".", "..", "mnist\n"]) {
    expect(() => checkName(name)).toThrow(usage());
  }
});

test("aliases hold no slash, colon or white space", () => {
  expect(checkAlias("best_model-1.0")).toBe("best_model-1.0");
  for (const alias of ["", "a/b", "a:b", "a b", "a\n", "\ud800"]) {
    expect(() => checkAlias(alias)).toThrow(usage());
  }
});

test.each([
  ["job", "x"],
  ["wandb-foo", "x"],
  ["run_table", "run-x"],
  ["code", "source-x"],
  ["", "x"],
  ["a/b", "x"],
  ["a:b", "x"],
  ["x".repeat(129), "x"],
])("the type %j for %s is refused", (type, name) => {
  expect(() => checkType(type, name)).toThrow(usage());
});

test.each([
  ["run_table", "name"],
  ["code", "name"],
  ["wandbtype", "x"],
  ["dataset", "run-x"],
  ["jobs", "x"],
])("the type %j for %s is allowed", (type, name) => {
  expect(checkType(type, name)).toBe(type);
});
