import { expect, test } from "vitest";
import { chooseIo } from "../../src/daemon/io-choice.js";
import { addon } from "../../src/native/addon.js";
import { Manifest } from "../../src/registry/manifest.js";
import { anEntry, Folder, seal } from "../support/entries.js";

const MIB = 1_048_576;

function chosenFor(
  sizes: readonly (number | null)[],
  wish: "auto" | "cached" | "passthrough" = "auto",
): string {
  using folder = new Folder();
  const entries = sizes.map((sizeBytes, at) => anEntry(`file-${at}`, { sizeBytes }));
  using manifest = Manifest.open(folder.path, seal(folder.path, entries).digest);
  return chooseIo(manifest, wish);
}

/** What the machine can do is no matter of choice. */
const PASSTHROUGH = addon().canPassthrough() ? "passthrough" : "cached";

test("a wish is kept as far as the machine allows", () => {
  expect(chosenFor([1000 * MIB], "cached")).toBe("cached");
  expect(chosenFor([1], "passthrough")).toBe(PASSTHROUGH);
});

test("files of 64 MiB and more are passed through when they hold nine tenths of the bytes", () => {
  expect(chosenFor([64 * MIB])).toBe(PASSTHROUGH);
  expect(chosenFor([64 * MIB - 1])).toBe("cached");
  expect(chosenFor([90 * MIB, 10 * MIB])).toBe(PASSTHROUGH);
  expect(chosenFor([90 * MIB, 10 * MIB + 1])).toBe("cached");
});

test("a thousand files are too many, and nothing is not large", () => {
  const large = Array.from({ length: 999 }, () => 64 * MIB);
  expect(chosenFor(large)).toBe(PASSTHROUGH);
  expect(chosenFor([...large, 64 * MIB])).toBe("cached");
  expect(chosenFor([0, 0])).toBe("cached");
  expect(chosenFor([null])).toBe("cached");
});
