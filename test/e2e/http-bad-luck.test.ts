// What a reader of a mount sees when an HTTP server has bad luck: the right bytes or an error, in time,
// and the reason in status.

import { afterAll, beforeAll, describe, test } from "vitest";
import {
  BOTH,
  CORRUPT,
  DENIED,
  SIZES,
  STALE,
  UNAVAILABLE,
  expectOutcome,
  expectRecovery,
  mountDemo,
  type Outcome,
} from "../support/bad-luck.js";
import { sha256 } from "../support/double/content.js";
import type { Accident, HttpDouble } from "../support/http-double.js";
import { generated, startHttpDouble } from "../support/http-double.js";
import { needs } from "../support/needs.js";
import { Rig } from "../support/rig.js";

const CONTENTS = { small: generated(SIZES.small, 4), large: generated(SIZES.large, 5) };

interface Luck {
  readonly name: string;
  readonly accident: Accident;
  /** Only the first requests meet it, when given. */
  readonly times?: number;
  readonly outcome: Outcome;
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
    outcome: { ...CORRUPT, message: /received damaged.*sha256/ },
  },
  {
    name: "503 for ever",
    accident: { status: 503 },
    outcome: { ...UNAVAILABLE, message: /overloaded or failing/ },
  },
  {
    name: "a server that never answers",
    accident: { silent: true },
    outcome: { ...UNAVAILABLE, message: /no answer|no progress/ },
  },
  {
    name: "a stall in mid-body",
    accident: { stallAfterBytes: 1_000 },
    outcome: { ...UNAVAILABLE, message: /no byte|no progress/ },
  },
  {
    name: "403",
    accident: { status: 403 },
    outcome: { ...DENIED, message: /no credentials were sent/ },
  },
  {
    name: "410",
    accident: { status: 410 },
    outcome: { ...STALE, message: /the object is gone/ },
  },
  {
    name: "another ETag",
    accident: { headers: { etag: '"another"' } },
    outcome: { ...STALE, message: /its ETag is another/ },
  },
];

describe.runIf(needs("fuse", "addon", "root"))("a reader, when a server has bad luck:", () => {
  let rig: Rig;
  let double: HttpDouble;
  let dir: string;
  const cases = LUCK.flatMap((luck, index) =>
    BOTH.map((size) => ({ luck, size, name: `${index}-${size}` })),
  );
  beforeAll(async () => {
    rig = await Rig.create();
    double = await startHttpDouble();
    for (const { name, size } of cases) {
      const headers = { "repr-digest": `sha-256=:${sha256(CONTENTS[size]).toString("base64")}:` };
      double.put(`/${name}`, CONTENTS[size], { headers });
    }
    const refs = cases.flatMap(({ name }) => ["--ref", `${double.origin}/${name}`]);
    await rig.ok("log", "demo", "--type", "t", ...refs);
    dir = await mountDemo(rig);
  });
  afterAll(async () => {
    await rig[Symbol.asyncDispose]();
    await double[Symbol.asyncDispose]();
  });

  test.each(cases)("$luck.name ($size)", async ({ luck, size, name }) => {
    const file = { dir, path: name, uri: `${double.origin}/${name}`, content: CONTENTS[size] };
    double.upset({ method: "GET", path: `/${name}` }, luck.accident, luck.times ?? Infinity);
    await expectOutcome(rig, file, luck.outcome);
    double.calm();
    await expectRecovery(file);
  });
});
