import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { comparePaths } from "../../src/model/path.js";
import { WandbDigest, wandbDigest } from "../../src/registry/wandb-digest.js";

const HELLO = "XUFAKrxLKna5cZ2REBfFkg==";
const MY = "aGTzidmHZDa8h3j/Bx0bbA==";
const DUDE = "E7c+2uhEOZC+GqjxpIO8Jw==";

// The first nine are W&B's own.
const VECTORS: readonly (readonly [entries: Record<string, string>, digest: string])[] = [
  [{}, "64e7c61456b10382e2f3b571ac24b659"],
  [{ "file1.txt": HELLO }, "a00c2239f036fb656c1dcbf9a32d89b4"],
  [{ "great-file.txt": HELLO }, "585b9ada17797e37c9cbab391e69b8c5"],
  [{ "file1.txt": "abc" }, "48237ccc050a88af9dcd869dd5a7e9f4"],
  [{ ref: "ref://example.com/somefile.txt" }, "410ade94865e89ebe1f593f4379ac228"],
  [{ "my_object.pb": "1234567890abcde" }, "8aec0d6978da8c2b0bf5662b3fd043a4"],
  [
    { "my_object.pb": "1234567890abcde", "my_other_object.pb": "1234567890abcde" },
    "17955d00a20e1074c3bc96c74b724bfe",
  ],
  [
    { "nest/nest/file3.txt": DUDE, "file1.txt": HELLO, "nest/file2.txt": MY },
    "72414374bfd4b0f60a116e7267845f71",
  ],
  [
    { "top/file1.txt": HELLO, "top/nest/file2.txt": MY, "top/nest/nest/file3.txt": DUDE },
    "f718baf2d4c910dc6ccd0d9c586fa00f",
  ],
  [{ "a/b": "1", "a.txt": "2", a: "3", "a-b": "4" }, "3f15f169e19d146b5bc12dbd1eab2106"],
  [{ "\u{1f600}": "y", "\uff5e": "x" }, "1c9fbbf341a611b5bd9756764b5fa762"],
];

test.each(VECTORS)("the digest of %j is W&B's", (entries, digest) => {
  const list = Object.entries(entries).map(([path, entryDigest]) => ({ path, entryDigest }));
  expect(wandbDigest(list)).toBe(digest);
});

test("many entries added one by one give the digest of the whole text", () => {
  const paths = Array.from({ length: 20_000 }, (_, index) => `dir/\u00e9-${index}`);
  paths.sort(comparePaths);
  const digest = new WandbDigest();
  for (const path of paths) digest.add(path, "x");
  const text = ["wandb-artifact-manifest-v1", ...paths.map((path) => `${path}:x`), ""].join("\n");
  expect(digest.finish()).toBe(createHash("md5").update(text).digest("hex"));
});
