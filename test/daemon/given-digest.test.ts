// A local file that is read a second time, for a digest that files are not hashed with.

import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readFile, realpath, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { checkGiven } from "../../src/daemon/given-digest.js";
import { formatFileUri } from "../../src/stores/uri.js";
import { FaultFs } from "../support/fault-fs.js";
import { lacks } from "../support/needs.js";

const BYTES = Buffer.from("the bytes of a file");
const hex = (algorithm: string): string => createHash(algorithm).update(BYTES).digest("hex");
const HASHED = {
  sizeBytes: BYTES.length,
  digests: { sha256: hex("sha256"), md5: hex("md5") },
  chunks: null,
};
const GIVEN = { algorithm: "sha1", value: hex("sha1") } as const;

let root: string;

beforeEach(async () => {
  root = await realpath(await mkdtemp(join(tmpdir(), "refmount-given-")));
  await mkdir(join(root, "behind"));
  await mkdir(join(root, "nas"));
  await writeFile(join(root, "behind/k"), BYTES);
});
afterEach(async () => {
  await rm(root, { recursive: true, force: true });
});

const check = (folder: string, signal = new AbortController().signal): Promise<void> =>
  checkGiven({ uri: formatFileUri(join(root, folder, "k")) }, HASHED, GIVEN, signal);

test("it has the digest, or changed since it was hashed", async () => {
  await check("behind");
  for (const other of ["the bytes of a fyle", "fewer bytes"]) {
    await writeFile(join(root, "behind/k"), other);
    await expect(check("behind")).rejects.toMatchObject({
      kind: "drifted",
      message: expect.stringMatching(/changed while it was being logged; log it again$/) as string,
    });
  }
  await rm(join(root, "behind/k"));
  await expect(check("behind")).rejects.toMatchObject({ kind: "drifted" });
});

test.skipIf(lacks("root", "fuse", "python3"))(
  "a dead file server stops nothing else, and a signal ends the waiting for it",
  async () => {
    await using fs = await FaultFs.mount(join(root, "behind"), join(root, "nas"));
    const held = await fs.hold({ ops: ["read"], path: /^k$/ });
    const abort = new AbortController();
    // As many as the threads that the rest of the process reads files with.
    const checks = [1, 2, 3, 4].map(() =>
      check("nas", abort.signal).catch((error: unknown) => error),
    );
    await held.reached(1);
    expect((await stat(join(root, "behind/k"))).size).toBe(BYTES.length);
    expect(await readFile(join(root, "behind/k"))).toEqual(BYTES);
    const reason = new Error("enough");
    abort.abort(reason);
    expect(await Promise.all(checks)).toEqual([reason, reason, reason, reason]);
    await held.end();
    await check("nas");
  },
);
