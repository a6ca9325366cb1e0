import { expect, test } from "vitest";
import type { Entry } from "../../src/model/entry.js";
import { compareEntries } from "../../src/model/entry-change.js";
import { comparePaths } from "../../src/model/path.js";
import { openSqlite } from "../../src/native/sqlite.js";
import { diffManifests, type Difference } from "../../src/registry/manifest-diff.js";
import { manifestPath } from "../../src/registry/manifest-file.js";
import { Manifest } from "../../src/registry/manifest.js";
import { anEntry, Folder, seal } from "../support/entries.js";

function diff(folder: Folder, before: readonly Entry[], after: readonly Entry[]): Difference[] {
  const [old, now] = [seal(folder.path, before), seal(folder.path, after)];
  using left = Manifest.open(folder.path, old.digest);
  using right = Manifest.open(folder.path, now.digest);
  return [...diffManifests(left, right)];
}

test("equal manifests do not differ, and an empty side is all added or all removed", () => {
  using folder = new Folder();
  const some = [anEntry("a"), anEntry("b/c")];
  expect(diff(folder, some, some)).toEqual([]);
  expect(diff(folder, [], some).map(({ kind, path }) => [kind, path])).toEqual([
    ["added", "a"],
    ["added", "b/c"],
  ]);
  expect(diff(folder, some, []).map(({ kind }) => kind)).toEqual(["removed", "removed"]);
});

test("a time alone is no difference: it does not say which bytes these are", () => {
  using folder = new Folder();
  const b = anEntry("b");
  expect(diff(folder, [anEntry("a"), b], [anEntry("a", { mtimeMs: 7 }), b])).toEqual([]);
});

test("random trees give what comparing them in memory gives, in path order", () => {
  using folder = new Folder();
  let seed = 7;
  const random = (below: number): number => {
    seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
    return Math.floor((seed / 2 ** 31) * below);
  };
  // Names whose UTF-16 order is not their byte order.
  const names = ["a", "a-b", "a.txt", "\uff5e", "\u{1f600}", "z", "10", "9"];
  const tree = (): Map<string, Entry> => {
    const entries = new Map<string, Entry>();
    for (let count = 0; count < 60; count++) {
      const path = `d${random(3)}/${names[random(names.length)]}-${random(4)}`;
      const versionId = String(random(2));
      entries.set(path, anEntry(path, { pin: { versionId }, sizeBytes: random(2) }));
    }
    return entries;
  };
  for (let round = 0; round < 20; round++) {
    const [before, after] = [tree(), tree()];
    const paths = [...new Set([...before.keys(), ...after.keys()])].sort(comparePaths);
    const expected = paths.flatMap((path) => {
      const [old, now] = [before.get(path), after.get(path)];
      if (old === undefined) return [["added", path]];
      if (now === undefined) return [["removed", path]];
      const same = old.pin.versionId === now.pin.versionId && old.sizeBytes === now.sizeBytes;
      return same ? [] : [[compareEntries(old, now), path]];
    });
    const found = diff(folder, [...before.values()], [...after.values()]);
    expect(
      found.map((each) => [each.kind === "changed" ? each.change : each.kind, each.path]),
    ).toEqual(expected);
  }
});

test("a damaged row that differs is a fault, not a difference", () => {
  using folder = new Folder();
  const old = seal(folder.path, [anEntry("a"), anEntry("b")]);
  const now = seal(folder.path, [anEntry("a"), anEntry("c")]);
  {
    const db = openSqlite(manifestPath(folder.path, now.digest), {});
    db.exec("UPDATE entry SET uri = 's3://elsewhere/c' WHERE path = 'c'");
    db.close();
  }
  using left = Manifest.open(folder.path, old.digest);
  using right = Manifest.open(folder.path, now.digest);
  expect(() => [...diffManifests(left, right)]).toThrow(/row 3 is damaged/);
});
