import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { addon } from "../../src/native/addon.js";
import { lacks } from "../support/needs.js";
import { expectedHashes } from "./checksums.js";

let dir: string;
let path: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "refmount-sink-"));
  path = join(dir, "blob");
});
afterEach(() => rmSync(dir, { recursive: true }));

test("a sink writes what it is given, in order, and hashes the same", async () => {
  const bytes = randomBytes(3_000_001);
  const sink = addon().openSink(path, { algorithms: ["md5", "crc64nvme"] });
  await sink.append(bytes.subarray(0, 10));
  await sink.append(bytes.subarray(10, 2_000_000));
  await sink.append(Buffer.alloc(0));
  await sink.append(bytes.subarray(2_000_000));
  const hashes = await sink.finish();
  const expected = expectedHashes(bytes);
  expect(readFileSync(path).equals(bytes)).toBe(true);
  expect(hashes).toMatchObject({ sizeBytes: bytes.length });
  expect(hashes.digests).toEqual({
    sha256: expected.digests.sha256,
    md5: expected.digests.md5,
    crc64nvme: expected.digests.crc64nvme,
  });
  expect(hashes.chunks).toEqual(expected.chunks);
  expect(hashes.blockCrcs).toEqual(expected.blockCrcs);
});

test("the file is private while it is written and read-only once it is finished", async () => {
  const sink = addon().openSink(path, {});
  expect(statSync(path).mode & 0o777).toBe(0o600);
  await sink.finish();
  expect(statSync(path).mode & 0o777).toBe(0o400);
});

test("an existing file is never written over", async () => {
  writeFileSync(path, "mine");
  expect(() => addon().openSink(path, {})).toThrow(expect.objectContaining({ code: "EEXIST" }));
  await expect(addon().writeHashed(path, [Buffer.from("x")], {})).rejects.toMatchObject({
    code: "EEXIST",
  });
  expect(readFileSync(path, "utf8")).toBe("mine");
});

test("an unfinished sink that is aborted leaves no file", async () => {
  const sink = addon().openSink(path, {});
  await sink.append(Buffer.from("some"));
  sink.abort();
  expect(existsSync(path)).toBe(false);
  await expect(sink.append(Buffer.from("more"))).rejects.toMatchObject({ code: "ECANCELED" });
  await expect(sink.finish()).rejects.toMatchObject({ code: "ECANCELED" });
  sink.abort();
});

test("an abort during an append or a finish removes the file and rejects the promise", async () => {
  const appending = addon().openSink(path, {});
  const appended = appending.append(Buffer.alloc(8_000_000));
  appending.abort();
  expect(existsSync(path)).toBe(false);
  await expect(appended).rejects.toMatchObject({ code: "ECANCELED" });

  const finishing = addon().openSink(path, {});
  const finished = finishing.finish();
  finishing.abort();
  await expect(finished).rejects.toMatchObject({ code: "ECANCELED" });
  expect(existsSync(path)).toBe(false);
});

test("an abort after finish does nothing, whoever has the path by then", async () => {
  const sink = addon().openSink(path, {});
  await sink.append(Buffer.from("kept"));
  await sink.finish();
  sink.abort();
  expect(readFileSync(path, "utf8")).toBe("kept");
  await expect(sink.append(Buffer.from("x"))).rejects.toMatchObject({ code: "EBADF" });
});

test("a second append before the first has settled is refused", async () => {
  const sink = addon().openSink(path, {});
  const first = sink.append(Buffer.alloc(1_000_000, 1));
  await expect(sink.append(Buffer.from("x"))).rejects.toMatchObject({ code: "EBUSY" });
  await first;
  expect((await sink.finish()).sizeBytes).toBe(1_000_000);
});

test("writeHashed writes its parts as one file and hashes them as one", async () => {
  const parts = [randomBytes(70_000), Buffer.alloc(0), randomBytes(1)];
  const hashes = await addon().writeHashed(path, parts, { algorithms: ["md5"] });
  const bytes = Buffer.concat(parts);
  expect(readFileSync(path).equals(bytes)).toBe(true);
  expect(statSync(path).mode & 0o777).toBe(0o400);
  expect(hashes.digests.md5).toBe(expectedHashes(bytes).digests.md5);
  expect(hashes.blockCrcs).toEqual(expectedHashes(bytes).blockCrcs);
});

test("writeHashed of no parts is an empty file", async () => {
  const hashes = await addon().writeHashed(path, [], {});
  expect(hashes.sizeBytes).toBe(0);
  expect(hashes.chunks.length + hashes.blockCrcs.length).toBe(0);
  expect(statSync(path).size).toBe(0);
});

describe.skipIf(lacks("root"))("on a full file system", () => {
  beforeEach(() => void execFileSync("mount", ["-t", "tmpfs", "-o", "size=256k", "tmpfs", dir]));
  afterEach(() => void execFileSync("umount", [dir]));

  test("an append fails with ENOSPC and the abort gives the space back", async () => {
    const sink = addon().openSink(path, {});
    await expect(sink.append(Buffer.alloc(1_000_000))).rejects.toMatchObject({
      code: "ENOSPC",
      syscall: "write",
      path,
    });
    await expect(sink.finish()).rejects.toMatchObject({ code: "EBADF" });
    sink.abort();
    expect(existsSync(path)).toBe(false);
    await addon().writeHashed(path, [Buffer.alloc(100_000)], {});
  });

  test("writeHashed that fails leaves no file", async () => {
    await expect(
      addon().writeHashed(path, [Buffer.alloc(100), Buffer.alloc(1_000_000)], {}),
    ).rejects.toMatchObject({ code: "ENOSPC" });
    expect(existsSync(path)).toBe(false);
  });
});
