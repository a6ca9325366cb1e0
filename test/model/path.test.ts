import { expect, test } from "vitest";
import { checkPath, comparePaths } from "../../src/model/path.js";

test.each([
  "a",
  "a/b",
  "a b/c#d?e%f",
  "...",
  "..a/b..",
  "\u00e9/\u{1f600}",
  "a\\b",
  "n".repeat(255),
  Array(16).fill("d".repeat(254)).join("/"),
])("%j is a path", (path) => {
  expect(checkPath(path)).toBe(path);
});

test.each([
  "",
  ".",
  "..",
  "../x",
  "a/../x",
  "a/./x",
  "a/..",
  "/x",
  "//x",
  "/",
  "a//b",
  "a/",
  "C:\\x",
  "C:x",
  "\\x",
  "a\0b",
  "\ud83d",
  "n".repeat(256),
  "\u00e9".repeat(128),
  Array(17).fill("d".repeat(254)).join("/"),
])("%j is refused as a path", (path) => {
  expect(() => checkPath(path)).toThrow(expect.objectContaining({ kind: "usage", subject: path }));
});

test("paths are ordered as their UTF-8 bytes are", () => {
  const pieces = ["a", "b", "/", "-", ".", "0", "\u007f", "\u0080", "\u07ff", "\u0800", "\ud7ff"];
  pieces.push("\ue000", "\uff5e", "\uffff", "\u{10000}", "\u{1f600}", "\u{10ffff}");
  let state = 7;
  const next = (limit: number): number => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return Math.floor((state / 2_147_483_648) * limit);
  };
  const word = (): string =>
    Array.from({ length: next(5) }, () => pieces[next(pieces.length)]).join("");
  for (let count = 0; count < 20_000; count++) {
    const [a, b] = [word(), word()];
    const expected = Buffer.compare(Buffer.from(a), Buffer.from(b));
    expect([a, b, Math.sign(comparePaths(a, b))]).toEqual([a, b, expected]);
  }
});
