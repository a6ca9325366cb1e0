import { spawnSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DIGEST_ALGORITHMS } from "../../src/model/digest.js";
import { addon, holderPath } from "../../src/native/addon.js";
import { crc32cOf, crc64NvmeOf, expectedHashes, hex32 } from "./checksums.js";

const MIB = 1_048_576;
const SIZES = [
  0,
  1,
  63,
  64,
  65,
  127,
  128,
  4095,
  4096,
  4097,
  MIB - 1,
  MIB,
  MIB + 1,
  2 * MIB,
  2_500_000,
];
const EVERYTHING = { algorithms: DIGEST_ALGORITHMS };

let dir: string;
beforeAll(() => (dir = mkdtempSync(join(tmpdir(), "refmount-hasher-"))));
afterAll(() => rmSync(dir, { recursive: true }));

test("the comparison's own CRC-64/NVME gives the published value", () => {
  expect(crc64NvmeOf(Buffer.from("123456789"))).toBe("ae8b14860a799888");
});

test("the check string has the published checksums", async () => {
  const hasher = addon().openHasher(EVERYTHING);
  await hasher.append(Buffer.from("123456789"));
  const { digests } = await hasher.finish();
  expect(digests.crc32c).toBe("e3069283");
  expect(digests.crc64nvme).toBe("ae8b14860a799888");
  expect(digests.crc32).toBe("cbf43926");
});

describe.each(SIZES)("%i bytes", (size) => {
  const bytes = randomBytes(size);
  const expected = expectedHashes(bytes);

  test("hash to what node:crypto and the definitions give, from a file", async () => {
    const path = join(dir, `file-${size}`);
    writeFileSync(path, bytes);
    expect(await addon().hashFile(path, EVERYTHING)).toEqual(expected);
  });

  test("hash to the same in pieces of odd sizes", async () => {
    const hasher = addon().openHasher(EVERYTHING);
    for (let at = 0, step = 1; at < size; at += step, step = step * 3 + 1) {
      await hasher.append(bytes.subarray(at, at + step));
    }
    expect(await hasher.finish()).toEqual(expected);
  });
});

test("the portable code gives what the processor's instructions give", async () => {
  const paths: string[] = [];
  const fast: unknown[] = [];
  for (const size of SIZES) {
    const path = join(dir, `portable-${size}`);
    writeFileSync(path, randomBytes(size));
    paths.push(path);
    fast.push(JSON.parse(JSON.stringify(await addon().hashFile(path, EVERYTHING))));
  }
  const script = `
    const addon = require(${JSON.stringify(join(holderPath(), "../refmount.node"))});
    const [options, ...paths] = process.argv.slice(1).map((text, i) => i === 0 ? JSON.parse(text) : text);
    Promise.all(paths.map((path) => addon.hashFile(path, options)))
      .then((hashes) => process.stdout.write(JSON.stringify(hashes)));`;
  const portable = spawnSync(
    process.execPath,
    ["-e", script, JSON.stringify(EVERYTHING), ...paths],
    { encoding: "utf8", env: { ...process.env, REFMOUNT_PORTABLE: "1" }, maxBuffer: 10 * MIB },
  );
  expect(portable.stderr).toBe("");
  expect(JSON.parse(portable.stdout)).toEqual(fast);
});

test("only SHA-256 is computed when nothing else is asked for", async () => {
  const path = join(dir, "plain");
  writeFileSync(path, "plain");
  expect(Object.keys((await addon().hashFile(path, {})).digests)).toEqual(["sha256"]);
  expect(Object.keys((await addon().hashFile(path, { algorithms: ["md5"] })).digests)).toEqual([
    "sha256",
    "md5",
  ]);
});

test("progress grows, never exceeds the size, and is silent after the promise", async () => {
  const path = join(dir, "long");
  writeFileSync(path, Buffer.alloc(96 * MIB, 7));
  const told: number[] = [];
  await addon().hashFile(path, { algorithms: ["md5"] }, (doneBytes) => told.push(doneBytes));
  const count = told.length;
  expect(count).toBeGreaterThan(0);
  expect(told).toEqual([...told].sort((a, b) => a - b));
  expect(told.at(-1)).toBeLessThanOrEqual(96 * MIB);
  await new Promise(setImmediate);
  expect(told.length).toBe(count);
});

describe("digests over parts", () => {
  const ALGORITHMS = ["sha256", "md5", "sha1", "crc32c", "crc32"] as const;
  const digest = (algorithm: (typeof ALGORITHMS)[number], bytes: Uint8Array): Buffer => {
    if (algorithm === "crc32c") return Buffer.from(hex32(crc32cOf(bytes)), "hex");
    if (algorithm === "crc32") return Buffer.from(hex32(crc32(bytes)), "hex");
    return createHash(algorithm).update(bytes).digest();
  };
  const composite = (
    algorithm: (typeof ALGORITHMS)[number],
    bytes: Buffer,
    sizes: readonly number[],
  ): string => {
    let at = 0;
    const parts = sizes.map((size) => digest(algorithm, bytes.subarray(at, (at += size))));
    return `${digest(algorithm, Buffer.concat(parts)).toString("hex")}-${sizes.length}`;
  };

  test.each([
    ["of one size", 100_000, [30_000], [30_000, 30_000, 30_000, 10_000]],
    ["that are larger than slices", 5 * MIB, [2 * MIB], [2 * MIB, 2 * MIB, MIB]],
    ["whose last one is full", 60, [20], [20, 20, 20]],
    ["of other sizes", 100, [1, 60, 0, 39], [1, 60, 0, 39]],
    ["that begin and end empty", 5, [0, 5, 0, 0], [0, 5, 0, 0]],
    ["that are one", 70_000, [1], [70_000]],
    ["that are one and empty", 0, [0], [0]],
    ["of one byte", 300, [1], Array<number>(300).fill(1)],
  ])("%s", async (_what, sizeBytes, sizes, actual) => {
    const bytes = randomBytes(sizeBytes);
    const parts = { algorithms: ALGORITHMS, sizes, count: actual.length };
    const expected = Object.fromEntries(ALGORITHMS.map((one) => [one, composite(one, bytes, actual)]));
    const hasher = addon().openHasher({ parts });
    for (let at = 0, step = 1; at < sizeBytes; at += step, step = step * 3 + 1) {
      await hasher.append(bytes.subarray(at, at + step));
    }
    const hashes = await hasher.finish();
    expect(hashes.composites).toEqual(expected);
    expect(hashes.digests).toEqual({ sha256: digest("sha256", bytes).toString("hex") });
    const path = join(dir, "parts");
    rmSync(path, { force: true });
    const written = await addon().writeHashed(path, [bytes], { algorithms: ["md5"], parts });
    expect(written.composites).toEqual(expected);
    expect((await addon().hashFile(path, { parts })).composites).toEqual(expected);
  });

  test("are only those asked for", async () => {
    const hasher = addon().openHasher({ parts: { algorithms: ["md5"], sizes: [1], count: 2 } });
    await hasher.append(Buffer.from("ab"));
    expect(Object.keys((await hasher.finish()).composites ?? {})).toEqual(["md5"]);
  });

  test.each([
    ["no size", [], 1],
    ["no part", [1], 0],
    ["more sizes than parts", [1, 2], 1],
    ["a negative size", [-1], 1],
    ["a size that is no number", [Number.NaN], 1],
    ["a size beyond every object", [2 ** 53], 1],
    ["too many parts", [1], 2_000_000],
  ])("with %s are a TypeError", (_what, sizes, count) => {
    const parts = { algorithms: ["md5"] as const, sizes, count };
    expect(() => addon().openHasher({ parts })).toThrow(TypeError);
  });
});

test("an unknown algorithm is a TypeError that names it", () => {
  const options = { algorithms: ["sha512"] } as unknown as { algorithms: readonly ["md5"] };
  expect(() => addon().openHasher(options)).toThrow(/sha512/);
});

test("a missing file, a directory and a FIFO are refused with their code", async () => {
  await expect(addon().hashFile(join(dir, "none"), {})).rejects.toMatchObject({
    code: "ENOENT",
    errno: -2,
    syscall: "open",
    path: join(dir, "none"),
  });
  await expect(addon().hashFile(dir, {})).rejects.toMatchObject({ code: "EISDIR" });
  const fifo = join(dir, "fifo");
  expect(spawnSync("mkfifo", [fifo]).status).toBe(0);
  await expect(addon().hashFile(fifo, {})).rejects.toMatchObject({ code: "EINVAL" });
});
