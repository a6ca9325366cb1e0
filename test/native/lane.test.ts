// A lane on real files. What it does when a file system hangs is in test/e2e/nfs.test.ts.

import { createHash, randomBytes } from "node:crypto";
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { addon } from "../../src/native/addon.js";
import type { DirectoryChild } from "../../src/native/lane.js";

const MIB = 1_048_576;
const lane = addon().openLane(4);

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "refmount-lane-"));
});
afterAll(() => {
  rmSync(dir, { recursive: true });
});

function file(name: string, bytes: string | Uint8Array): string {
  writeFileSync(join(dir, name), bytes);
  return join(dir, name);
}

test("a file is looked at, with and without following a link", async () => {
  const path = file("looked-at", "12345");
  const link = join(dir, "link-to-it");
  symlinkSync("looked-at", link);
  expect(await lane.stat(path, false)).toMatchObject({ kind: "file", sizeBytes: 5 });
  expect(await lane.stat(link, false)).toMatchObject({ kind: "link" });
  expect(await lane.stat(link, true)).toEqual(await lane.stat(path, true));
  expect([await lane.readLink(link), await lane.readLink(path)]).toEqual(["looked-at", null]);
  await expect(lane.open(link, false)).rejects.toMatchObject({ code: "ELOOP" });
  await expect(lane.stat(join(dir, "none"), true)).rejects.toMatchObject({ code: "ENOENT" });
});

test("the stamp tells that a file was written to", async () => {
  const path = file("stamped", "12345");
  const { stamp } = await lane.stat(path, true);
  expect((await lane.stat(path, true)).stamp).toBe(stamp);
  appendFileSync(path, "6");
  expect((await lane.stat(path, true)).stamp).not.toBe(stamp);
});

test("a file is read where it is asked for, and no further than its end", async () => {
  const path = file("read", "0123456789");
  const { fd, sizeBytes } = await lane.open(path, false);
  expect(sizeBytes).toBe(10);
  const buffer = Buffer.alloc(4);
  expect([await lane.read(fd, buffer, 3), buffer.toString()]).toEqual([4, "3456"]);
  expect([await lane.read(fd, buffer, 8), buffer.toString("latin1", 0, 2)]).toEqual([2, "89"]);
  expect(await lane.read(fd, buffer, 10)).toBe(0);
  await lane.close(fd);
  await expect(lane.read(fd, buffer, 0)).rejects.toMatchObject({ code: "EBADF" });
});

test("a directory gives its children in pieces, each once", async () => {
  const path = join(dir, "many");
  mkdirSync(join(path, "sub"), { recursive: true });
  for (let index = 0; index < 600; index++) writeFileSync(join(path, `f${index}`), "x");
  const directory = await lane.openDirectory(path);
  const children: DirectoryChild[] = [];
  let pieces = 0;
  for (;;) {
    const more = await directory.next();
    if (more.length === 0) break;
    children.push(...more);
    pieces += 1;
  }
  await directory.close();
  expect(pieces).toBeGreaterThan(1);
  expect(new Set(children.map(({ name }) => name)).size).toBe(601);
  expect(children.find(({ name }) => name === "sub")).toMatchObject({ kind: "directory" });
  expect(children.find(({ name }) => name === "f7")).toMatchObject({ kind: "file", sizeBytes: 1 });
  await expect(directory.next()).rejects.toMatchObject({ code: "EBADF" });
  await expect(lane.openDirectory(join(path, "f0"))).rejects.toMatchObject({ code: "ENOTDIR" });
});

test("files of any sizes side by side have the hashes that node:crypto gives each", async () => {
  const sizes = [0, 1, 55, 56, 63, 64, 65, 4096, 32_768, 32_769, 65_536, MIB, MIB + 1, 2_500_000];
  const contents = sizes.map((size) => randomBytes(size));
  const paths = contents.map((bytes, index) => file(`hashed-${index}`, bytes));
  paths.splice(3, 0, join(dir, "none"));
  let told = 0;
  const results = await lane.hashFiles([...paths, dir], (bytes) => (told += bytes)).done;
  expect(results[3]).toMatchObject({ code: "ENOENT" });
  expect(results.at(-1)).toMatchObject({ code: "EINVAL" });
  const hashed = results.filter((_result, index) => index !== 3).slice(0, -1);
  const hex = (algorithm: string, bytes: Uint8Array): string =>
    createHash(algorithm).update(bytes).digest("hex");
  expect(hashed).toEqual(
    contents.map((bytes) => ({
      sizeBytes: bytes.length,
      digests: { sha256: hex("sha256", bytes), md5: hex("md5", bytes) },
      chunks:
        bytes.length <= MIB
          ? null
          : Buffer.concat(
              Array.from({ length: Math.ceil(bytes.length / MIB) }, (_each, index) =>
                createHash("sha256")
                  .update(bytes.subarray(index * MIB, (index + 1) * MIB))
                  .digest(),
              ),
            ),
      changed: false,
    })),
  );
  expect(told).toBe(sizes.reduce((sum, size) => sum + size, 0));
});

test("hashing ends soon after it is cancelled", async () => {
  const path = file("large", Buffer.alloc(64 * MIB));
  const hashing = lane.hashFiles([path], () => {
    hashing.cancel();
  });
  expect(await hashing.done).toMatchObject([{ code: "ECANCELED" }]);
});
