import { expect, test } from "vitest";
import { nearest } from "../../src/model/nearest.js";

test("slips are found, nearest first, strangers are not", () => {
  expect(nearest("mnits", ["cifar", "mnist", "mnits2", "m"])).toEqual(["mnits2"]);
  expect(nearest("imagenat", ["imagenet", "imgenat", "other"])).toEqual(["imagenet", "imgenat"]);
  expect(nearest("v1", ["v0", "v2", "latest"], 1)).toHaveLength(1);
  expect(nearest("anything", [])).toEqual([]);
});

test("case does not matter", () => {
  expect(nearest("MNIST", ["mnist"])).toEqual(["mnist"]);
});
