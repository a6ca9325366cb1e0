import { expect, test } from "vitest";
import { entryPath, placementBase } from "../../src/daemon/entry-path.js";

const TOP = { base: "", single: false };

test.each([
  ["a/b", "a/b"],
  ["a//b", "a/b"],
  ["a//b/", "a/b"],
  ["a/b/", "a/b"],
  ["..notevil/a...", "..notevil/a..."],
  [".hidden", ".hidden"],
  ["a.", "a."],
  [" ", " "],
])("the key %j becomes the path %j", (key, path) => {
  expect(entryPath(key, TOP)).toBe(path);
});

test.each([
  ...["..", "a/../b", "../a", ".", "a/./b", "./a", "/", "/a", "//a"],
  ...["", "a\0b", "C:\\x", "C:x", "\\x", `${"x".repeat(256)}/a`],
])("the key %j is no path", (key) => {
  expect(() => entryPath(key, TOP)).toThrow(/Invalid artifact path/);
  // What is wrong with the name of an object is not mended by the folder that it goes to.
  if (!/^(?:C:|\\|$)/.test(key)) {
    expect(() => entryPath(key, { base: "train", single: false })).toThrow(/Invalid/);
  }
});

test("a base stands before what is below a prefix and names a single object", () => {
  expect(entryPath("a/b", { base: "train", single: false })).toBe("train/a/b");
  expect(entryPath("a.bin", { base: "model/weights.bin", single: true })).toBe("model/weights.bin");
  expect(entryPath("a.bin", { base: "", single: true })).toBe("a.bin");
});

test("an object without a name needs a base", () => {
  expect(() => entryPath("", { base: "", single: true })).toThrow(/--ref PATH=URI/);
  expect(entryPath("", { base: "index.html", single: true })).toBe("index.html");
});

test("a base is normalised, and checked like any path", () => {
  expect(placementBase("train//x/")).toBe("train/x");
  expect(placementBase("./train/./x")).toBe("train/x");
  for (const bad of ["", ".", "..", "a/../b", "/x", "//x"])
    expect(() => placementBase(bad)).toThrow(/Invalid/);
});
