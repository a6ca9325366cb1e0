// What a reader of a mount sees when an HTTP server has bad luck: the right bytes or an error, in time,
// and the reason in status.

import { createHash } from "node:crypto";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Accident, HttpDouble } from "../support/http-double.js";
import { generated, startHttpDouble } from "../support/http-double.js";
import { needs } from "../support/needs.js";
import { complaintOf, run } from "../support/reader.js";
import { Rig } from "../support/rig.js";
import { blocks } from "../support/double/content.js";
import { statusOf } from "../support/status.js";

const STALE = /Stale file handle/;
const EIO = /Input\/output error/;
const DENIED = /Permission denied/;

const TIMEOUT_MS = 2_000;
const CONTENTS = { small: generated(100_000, 4), large: generated(20_000_000, 5) };

interface Luck {
  readonly name: string;
  readonly accident: Accident;
  /** Only the first requests meet it, when given. */
  readonly times?: number;
  readonly outcome:
    "read" | { readonly errno: RegExp; readonly kind: string; readonly message: RegExp };
}

const LUCK: readonly Luck[] = [
  { name: "503 twice", accident: { status: 503 }, times: 2, outcome: "read" },
  {
    name: "429 with Retry-After",
    accident: { status: 429, headers: { "retry-after": "1" } },
    times: 1,
    outcome: "read",
  },
  { name: "a reset in mid-body", accident: { resetAfterBytes: 60_000 }, times: 2, outcome: "read" },
  { name: "a short body", accident: { shortByBytes: 10 }, times: 1, outcome: "read" },
  { name: "a long body", accident: { longByBytes: 10 }, times: 1, outcome: "read" },
  { name: "a server that ignores Range", accident: { ignoreRange: true }, outcome: "read" },
  { name: "one flipped bit", accident: { flipByteAt: 70_000 }, times: 1, outcome: "read" },
  {
    name: "a bit flipped for ever",
    accident: { flipByteAt: 70_000 },
    outcome: { errno: EIO, kind: "corrupt", message: /received damaged.*sha256/ },
  },
  {
    name: "503 for ever",
    accident: { status: 503 },
    outcome: { errno: EIO, kind: "unavailable", message: /overloaded or failing/ },
  },
  {
    name: "a server that never answers",
    accident: { silent: true },
    outcome: { errno: EIO, kind: "unavailable", message: /no answer|no progress/ },
  },
  {
    name: "a stall in mid-body",
    accident: { stallAfterBytes: 1_000 },
    outcome: { errno: EIO, kind: "unavailable", message: /no byte|no progress/ },
  },
  {
    name: "403",
    accident: { status: 403 },
    outcome: { errno: DENIED, kind: "denied", message: /no credentials were sent/ },
  },
  {
    name: "410",
    accident: { status: 410 },
    outcome: { errno: STALE, kind: "drifted", message: /the object is gone/ },
  },
  {
    name: "another ETag",
    accident: { headers: { etag: '"another"' } },
    outcome: { errno: STALE, kind: "drifted", message: /its ETag is another/ },
  },
];

describe.runIf(needs("fuse", "addon", "root"))("a reader, when a server has bad luck:", () => {
  let rig: Rig;
  let double: HttpDouble;
  let dir: string;
  const cases = LUCK.flatMap((luck, index) =>
    (["small", "large"] as const).map((size) => ({ luck, size, name: `${index}-${size}` })),
  );
  beforeAll(async () => {
    rig = await Rig.create();
    double = await startHttpDouble();
    for (const { name, size } of cases) {
      const headers = { "repr-digest": `sha-256=:${digestOf(size).toString("base64")}:` };
      double.put(`/${name}`, CONTENTS[size], { headers });
    }
    const refs = cases.flatMap(({ name }) => ["--ref", `${double.origin}/${name}`]);
    await rig.ok("log", "demo", "--type", "t", ...refs);
    dir = await rig.mount("demo", "mnt", "--timeout", `${TIMEOUT_MS}ms`, "--require", "provider");
  });
  afterAll(async () => {
    await rig[Symbol.asyncDispose]();
    await double[Symbol.asyncDispose]();
  });

  test.each(cases)("$luck.name ($size)", async ({ luck, size, name }) => {
    const file = join(dir, name);
    const right = digestOf(size).toString("hex");
    const hashOf = async (): Promise<string> =>
      String(await run("sha256sum", "--", file)).slice(0, 64);
    double.upset({ method: "GET", path: `/${name}` }, luck.accident, luck.times ?? Infinity);
    const errorsBefore = (await statusOf(rig)).errors.length;
    if (luck.outcome === "read") {
      expect(await hashOf()).toBe(right);
      expect((await statusOf(rig)).errors).toHaveLength(errorsBefore);
    } else {
      expect(await complaintOf(file)).toMatch(luck.outcome.errno);
      const [error] = (await statusOf(rig)).errors;
      expect(error).toMatchObject({ path: name, kind: luck.outcome.kind });
      expect(error?.message).toMatch(luck.outcome.message);
    }
    double.calm();
    await expect.poll(() => complaintOf(file), { timeout: 8_000, interval: 200 }).toBe("read");
    expect(await hashOf()).toBe(right);
  });
});

function digestOf(size: keyof typeof CONTENTS): Buffer {
  const hash = createHash("sha256");
  for (const block of blocks(CONTENTS[size], 0, CONTENTS[size].sizeBytes)) hash.update(block);
  return hash.digest();
}
