// What a reader of a mount sees when Google Cloud Storage, or the way to it, has an accident: which
// error, what `status` says of it, and that the file reads when it is over. Never a wrong byte.

import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import {
  ALIKE_IN_RANGES,
  BOTH,
  CORRUPT,
  DENIED,
  OTHERWISE_IN_RANGES,
  REFUSED_CONNECTIONS,
  SIZES,
  STALE,
  UNAVAILABLE,
  contentOf,
  expectOutcome,
  expectRecovery,
  keyOf,
  mountDemo,
  otherContentOf,
  type Luck,
} from "../support/bad-luck.js";
import { startGcsDouble, type GcsAccident, type GcsDouble } from "../support/gcs-double.js";
import { needs } from "../support/needs.js";
import { Rig } from "../support/rig.js";

/** The object that one test reads, and the generation before. */
interface Target {
  readonly sizeBytes: number;
  readonly older: string;
}

const ACCIDENTS: readonly Luck<GcsDouble, Target, GcsAccident>[] = [
  {
    name: "401",
    accident: () => ({ status: 401, message: "Invalid Credentials" }),
    outcome: {
      ...DENIED,
      message: /no credentials were found: set GOOGLE_APPLICATION_CREDENTIALS/,
    },
  },
  {
    name: "403",
    accident: () => ({ status: 403, message: "no access" }),
    outcome: { ...DENIED, message: /access was refused.*storage\.objects\.get/ },
  },
  {
    name: "a requester who must pay",
    accident: () => ({
      status: 400,
      message: "Bucket is a requester pays bucket but no user project",
    }),
    outcome: { ...DENIED, message: /requester pays/ },
  },
  {
    name: "a generation deleted for ever",
    accident: () => ({ status: 404, message: "No such object: data/x" }),
    outcome: { ...STALE, message: /generation \d+ is gone/ },
  },
  {
    name: "a bucket deleted for ever",
    accident: () => ({ status: 404, message: "The specified bucket does not exist." }),
    outcome: { ...STALE, message: /the bucket does not exist/ },
  },
  {
    name: "410",
    accident: () => ({ status: 410, message: "Gone" }),
    outcome: { ...STALE, message: /generation \d+ is gone/ },
  },
  {
    name: "412",
    accident: () => ({ status: 412, message: "Precondition Failed" }),
    outcome: { ...STALE, message: /overwritten since it was logged/ },
  },
  {
    name: "416",
    accident: () => ({ status: 416, message: "no such range" }),
    outcome: { ...CORRUPT, message: /is shorter than logged/ },
  },
  { name: "503 four times", accident: () => ({ status: 503 }), times: 4, outcome: "read" },
  {
    name: "503 for ever",
    accident: () => ({ status: 503 }),
    outcome: { ...UNAVAILABLE, message: /overloaded or failing \(HTTP 503\)/ },
  },
  {
    name: "long bodies for ever",
    accident: () => ({ longByBytes: 10 }),
    outcome: { ...CORRUPT, message: /more than .* promised|bytes are stored/ },
  },
  {
    name: "a bit flipped for ever",
    accident: () => ({ flipByteAt: 70_000 }),
    outcome: { ...CORRUPT, message: /received damaged.*(crc32c|md5) that the store holds/ },
  },
  {
    name: "a bit flipped for ever near the end",
    accident: ({ sizeBytes }) => ({ flipByteAt: sizeBytes - 1 }),
    outcome: { ...CORRUPT, message: /received damaged.*(crc32c|md5) that the store holds/ },
  },
  {
    name: "another generation's bytes under this one's headers",
    accident: ({ older }) => ({ bytesOfGeneration: older }),
    outcome: { ...CORRUPT, message: /(crc32c|md5) that the store holds/ },
  },
  {
    name: "a server that ignores the generation",
    accident: ({ older }) => ({ answerWithGeneration: older }),
    outcome: { ...CORRUPT, message: /answered with generation/ },
  },
  {
    name: "a server that names no generation",
    accident: () => ({ headers: { "x-goog-generation": "" } }),
    outcome: { ...CORRUPT, message: /answered with generation unknown/ },
  },
  {
    name: "bytes that were unpacked on the way",
    accident: () => ({ headers: { warning: "214 UploadServer gunzipped" } }),
    outcome: { ...CORRUPT, message: /did not send the stored bytes.*gunzipped/ },
  },
  {
    name: "other hashes than logged",
    accident: () => ({ headers: { "x-goog-hash": "crc32c=AAAAAA==" } }),
    outcome: { ...CORRUPT, message: /crc32c that the store holds/ },
  },
  {
    name: "an answer about another range",
    accident: ({ sizeBytes }) =>
      sizeBytes > 16_777_216
        ? { headers: { "content-range": `bytes 1-8388608/${sizeBytes}` } }
        : { status: 206 },
    outcome: { ...CORRUPT, message: /another range|generation unknown/ },
  },
  {
    name: "another size than logged",
    accident: () => ({ headers: { "content-length": "5", "content-range": "bytes 0-4/5" } }),
    outcome: { ...CORRUPT, message: /size|range|bytes are stored/ },
  },
  ...OTHERWISE_IN_RANGES,
  ...ALIKE_IN_RANGES,
  REFUSED_CONNECTIONS,
];

describe.runIf(needs("fuse", "addon", "root"))("a reader, when GCS has bad luck:", () => {
  let rig: Rig;
  let double: GcsDouble;
  let dir: string;

  beforeAll(async () => {
    double = await startGcsDouble();
    rig = await Rig.create(double.environment);
    const data = double.bucket("data");
    for (const index of ACCIDENTS.keys()) {
      for (const size of BOTH) {
        data.put(keyOf(index, size), otherContentOf(index, size));
        data.put(keyOf(index, size), contentOf(index, size));
      }
    }
    await rig.ok("log", "demo", "--type", "t", "--ref", "gs://data");
    dir = await mountDemo(rig);
  });

  afterEach(() => {
    double.calm();
  });

  afterAll(async () => {
    await rig[Symbol.asyncDispose]();
    await double[Symbol.asyncDispose]();
  });

  const cases = ACCIDENTS.flatMap((luck, index) => BOTH.map((size) => ({ luck, index, size })));

  test.each(cases)("$luck.name ($size)", async ({ luck, index, size }) => {
    const { outcome } = luck;
    const key = keyOf(index, size);
    const file = { dir, path: key, uri: `gs://data/${key}`, content: contentOf(index, size) };
    const older =
      double.bucket("data").generationsOf(key)[1]?.generation ?? expect.fail("no older");
    const accident = luck.accident?.({ sizeBytes: SIZES[size], older }, double);
    if (accident !== undefined) {
      double.upset({ operation: "media", key }, accident, luck.times ?? Infinity);
    }
    await luck.harm?.(double);
    await expectOutcome(rig, file, outcome);
    if (outcome === "read") {
      const fetches = double.requests.filter((seen) => seen.key === key).length;
      expect(fetches).toBeGreaterThan(luck.times ?? 0);
    }
    double.calm();
    await luck.mend?.(double);
    await expectRecovery(file);
  });
});
