import { createHash, randomBytes } from "node:crypto";
import { appendFile, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { hashLocalFile, type Hashed, type HashWatch } from "../../src/daemon/hash-file.js";

const MIB = 1_048_576;

let dir: string;
let path: string;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "refmount-test-"));
  path = join(dir, "file");
});

afterEach(async () => {
  await rm(dir, { recursive: true, force: true });
});

async function hash(watched: HashWatch): Promise<Hashed> {
  const sizeBytes = (await stat(path).catch(() => null))?.size ?? 0;
  return hashLocalFile({ path, uri: "file:///x", sizeBytes }, watched);
}

function watch(onBytes: (bytes: number) => void = () => undefined): HashWatch {
  return { signal: new AbortController().signal, onBytes };
}

test.each([0, 1, MIB, MIB + 1, 16 * MIB, 16 * MIB + 1, 23 * MIB + 12345])(
  "%d bytes have the digests that node:crypto computes",
  async (sizeBytes) => {
    const bytes = randomBytes(sizeBytes);
    await writeFile(path, bytes);
    let hashedBytes = 0;
    const hashed = await hash(watch((more) => (hashedBytes += more)));
    const hex = (algorithm: string): string => createHash(algorithm).update(bytes).digest("hex");
    expect(hashed.sizeBytes).toBe(sizeBytes);
    expect(hashed.digests).toEqual({ sha256: hex("sha256"), md5: hex("md5") });
    expect(hashedBytes).toBe(sizeBytes);
    const chunks = Array.from({ length: Math.ceil(sizeBytes / MIB) }, (_, index) =>
      createHash("sha256")
        .update(bytes.subarray(index * MIB, (index + 1) * MIB))
        .digest(),
    );
    const expected = chunks.length > 1 ? Buffer.concat(chunks).toString("hex") : null;
    expect(hashed.chunks === null ? null : Buffer.from(hashed.chunks).toString("hex")).toBe(
      expected,
    );
  },
);

test("a file that grows while it is hashed is drifted", async () => {
  await writeFile(path, Buffer.alloc(20 * MIB));
  let grown: Promise<void> | undefined;
  const hashed = hash(
    watch(() => {
      grown ??= appendFile(path, "more");
    }),
  );
  await expect(hashed).rejects.toMatchObject({
    kind: "drifted",
    message: expect.stringMatching(/file:\/\/\/x changed while it was being logged/) as string,
  });
  await grown;
});

test("a signal stops the hashing of a large file", async () => {
  await writeFile(path, Buffer.alloc(40 * MIB));
  const controller = new AbortController();
  let calls = 0;
  const hashed = hash({
    signal: controller.signal,
    onBytes: () => {
      calls += 1;
      controller.abort(new Error("stop"));
    },
  });
  await expect(hashed).rejects.toThrow("stop");
  expect(calls).toBe(1);
});

test("a missing file is not found", async () => {
  await expect(hash(watch())).rejects.toMatchObject({ kind: "not-found" });
});
