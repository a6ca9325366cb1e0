// search through the built command line.

import { expect, test } from "vitest";
import { Rig } from "../support/rig.js";

interface Found {
  readonly files: readonly { readonly ref: string; readonly path: string }[];
}

test("search finds files by a part of their path or by a pattern", async () => {
  await using rig = await Rig.create();
  const log = async (name: string, files: Record<string, string>): Promise<void> => {
    const dir = await rig.tree(name + String(Object.keys(files).length), files);
    await rig.ok("log", name, "--type", "dataset", "--ref", `file://${dir}`);
  };
  await log("mnist", { "train/img_1.png": "1", "test/img_2.png": "2", "labels.csv": "3" });
  await log("mnist", { "train/img_1.png": "1", "new/img_9.jpg": "9" });
  await log("other", { "IMG_1.png": "1" });
  const search = async (...args: string[]): Promise<string[]> =>
    (await rig.json<Found>("search", ...args)).files.map(({ ref, path }) => `${ref}/${path}`);

  expect(await search("img_")).toEqual(["mnist:v1/new/img_9.jpg", "mnist:v1/train/img_1.png"]);
  expect(await search("*_1.png")).toEqual(["mnist:v1/train/img_1.png", "other:v0/IMG_1.png"]);
  expect(await search("*/img_[0-3].*", "mnist:v0")).toEqual([
    "mnist:v0/test/img_2.png",
    "mnist:v0/train/img_1.png",
  ]);
  expect(await search("labels", "mnist")).toEqual([]);
  expect(await search("labels", "mnist", "--all-versions")).toEqual(["mnist:v0/labels.csv"]);
  expect(await rig.ok("search", "IMG")).toBe("     1 B  other:v0/IMG_1.png\n");
  expect((await rig.run("search", "x", "nosuch")).code).toBe(3);
  expect((await rig.run("search", "")).code).toBe(2);
});
