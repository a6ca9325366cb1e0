import { expect, test } from "vitest";
import { checkMetadata, checkTags, parseMetadata } from "../../src/model/metadata.js";

const aUsageFault = expect.objectContaining({ kind: "usage" }) as Error;
const keys = (count: number): object =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`k${index}`, index]));

test("metadata has at most 100 keys at the top, and any number below", () => {
  expect(checkMetadata(keys(100))).toEqual(keys(100));
  expect(checkMetadata({ nested: keys(101) })).toEqual({ nested: keys(101) });
  expect(() => checkMetadata(keys(101))).toThrow(aUsageFault);
});

test("NaN becomes null, infinity is refused, at any depth", () => {
  expect(checkMetadata({ a: NaN, b: [{ c: NaN }] })).toEqual({ a: null, b: [{ c: null }] });
  for (const value of [{ a: Infinity }, { a: [{ b: -Infinity }] }]) {
    expect(() => checkMetadata(value)).toThrow(aUsageFault);
  }
});

test("metadata is a JSON object and nothing else", () => {
  for (const value of [null, undefined, [], "x", 1, { a: () => 1 }, { a: 1n }]) {
    expect(() => checkMetadata(value)).toThrow(aUsageFault);
  }
  expect(checkMetadata({ a: undefined, b: null })).toEqual({ b: null });
});

test("metadata is parsed from JSON text", () => {
  expect(parseMetadata('{"a": [1, "x", true, null]}')).toEqual({ a: [1, "x", true, null] });
  for (const text of ["", "{", "[1]", '"x"', '{"a": 1e999}']) {
    expect(() => parseMetadata(text)).toThrow(aUsageFault);
  }
});

test("a key that means something to JavaScript is a key like any other", () => {
  const metadata = parseMetadata('{"__proto__": {"x": 1}, "constructor": 2}');
  expect(JSON.stringify(metadata)).toBe('{"__proto__":{"x":1},"constructor":2}');
});

test("tags are words with single or more spaces within, each once, in order", () => {
  const tags = ["b", "a", "a b", "a  b", "a-b_c", "b"];
  expect(checkTags(tags)).toEqual(["b", "a", "a b", "a  b", "a-b_c"]);
  for (const tag of ["", " a", "a ", "a!", "a:b", "a/b", "a\n", "\u00e9"]) {
    expect(() => checkTags([tag])).toThrow(aUsageFault);
  }
});
