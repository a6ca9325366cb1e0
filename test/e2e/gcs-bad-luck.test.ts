// What a reader of a mount sees when Google Cloud Storage, or the way to it, has an accident: which
// error, what `status` says of it, and that the file reads when it is over. Never a wrong byte.

import { createHash } from "node:crypto";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { Content, GcsAccident, GcsDouble } from "../support/gcs-double.js";
import { generated, startGcsDouble } from "../support/gcs-double.js";
import { needs } from "../support/needs.js";
import { complaintOf, run } from "../support/reader.js";
import { Rig } from "../support/rig.js";
import { blocks } from "../support/double/content.js";
import { statusOf } from "../support/status.js";

/** What the daemon is told to wait for bytes at most. */
const TIMEOUT_MS = 2_000;
/** How much longer a reader may have to wait: the machine may be busy. */
const SLACK_MS = 6_000;
const SIZES = { small: 100_000, large: 20_000_000 } as const;
const SIZE_NAMES = ["small", "large"] as const;

type SizeName = (typeof SIZE_NAMES)[number];

interface Refusal {
  readonly errno: RegExp;
  readonly kind: string;
  readonly message: RegExp;
}

interface Luck {
  readonly name: string;
  /** What each request for the object's bytes meets, given the generation before. */
  readonly accident?: (target: { sizeBytes: number; older: string }) => GcsAccident;
  /** How many requests; all unless given. */
  readonly times?: number;
  /** Any other harm, and how to undo it. */
  readonly harm?: (double: GcsDouble) => void | Promise<void>;
  readonly mend?: (double: GcsDouble) => void | Promise<void>;
  /** "read": the reader notices nothing. */
  readonly outcome: "read" | Refusal;
}

const STALE = { errno: /Stale file handle/, kind: "drifted" };
const DENIED = { errno: /Permission denied/, kind: "denied" };
const CORRUPT = { errno: /Input\/output error/, kind: "corrupt" };
const UNAVAILABLE = { errno: /Input\/output error/, kind: "unavailable" };

const ACCIDENTS: readonly Luck[] = [
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
    name: "429 with Retry-After",
    accident: () => ({ status: 429, headers: { "retry-after": "1" } }),
    times: 1,
    outcome: "read",
  },
  {
    name: "a reset in mid-body",
    accident: () => ({ resetAfterBytes: 60_000 }),
    times: 1,
    outcome: "read",
  },
  {
    name: "resets again and again, each a little further on",
    accident: ({ sizeBytes }) => ({ resetAfterBytes: Math.floor(sizeBytes / 7) }),
    outcome: "read",
  },
  {
    name: "resets before the first byte for ever",
    accident: () => ({ resetAfterBytes: 0 }),
    outcome: { ...UNAVAILABLE, message: /reset|ended early/ },
  },
  { name: "a short body", accident: () => ({ shortByBytes: 10 }), times: 1, outcome: "read" },
  {
    name: "long bodies for ever",
    accident: () => ({ longByBytes: 10 }),
    outcome: { ...CORRUPT, message: /more than .* promised|bytes are stored/ },
  },
  { name: "one flipped bit", accident: () => ({ flipByteAt: 70_000 }), times: 1, outcome: "read" },
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
  { name: "a server that ignores Range", accident: () => ({ ignoreRange: true }), outcome: "read" },
  {
    name: "a server that never answers",
    accident: () => ({ silent: true }),
    outcome: { ...UNAVAILABLE, message: /no answer within|no progress/ },
  },
  {
    name: "a server that stalls in mid-body",
    accident: () => ({ stallAfterBytes: 1_000 }),
    outcome: { ...UNAVAILABLE, message: /no byte for|no progress/ },
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
  {
    name: "refused connections",
    harm: (double) => double.stop(),
    mend: (double) => double.resume(),
    outcome: { ...UNAVAILABLE, message: /the connection was refused/ },
  },
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
      for (const size of SIZE_NAMES) {
        data.put(keyOf(index, size), generated(SIZES[size], 1_000 + index));
        data.put(keyOf(index, size), generated(SIZES[size], index + 1));
      }
    }
    await rig.ok("log", "demo", "--type", "t", "--ref", "gs://data");
    const timeout = `${TIMEOUT_MS}ms`;
    dir = await rig.mount("demo", "mnt", "--timeout", timeout, "--require", "provider");
  });

  afterEach(() => {
    double.calm();
  });

  afterAll(async () => {
    await rig[Symbol.asyncDispose]();
    await double[Symbol.asyncDispose]();
  });

  const cases = ACCIDENTS.flatMap((luck, index) =>
    SIZE_NAMES.map((size) => ({ luck, index, size })),
  );

  test.each(cases)("$luck.name ($size)", async ({ luck, index, size }) => {
    const { outcome } = luck;
    const key = keyOf(index, size);
    const path = join(dir, key);
    const content = generated(SIZES[size], index + 1);
    const older =
      double.bucket("data").generationsOf(key)[1]?.generation ?? expect.fail("no older");
    const accident = luck.accident?.({ sizeBytes: SIZES[size], older });
    if (accident !== undefined) {
      double.upset({ operation: "media", key }, accident, luck.times ?? Infinity);
    }
    await luck.harm?.(double);
    const errorsBefore = (await statusOf(rig)).errors.length;
    const beginMs = performance.now();
    const complaint = outcome === "read" ? await hashOf(path) : await complaintOf(path);
    const tookMs = performance.now() - beginMs;
    if (outcome === "read") {
      expect(complaint).toBe(digestOf(content));
      expect((await statusOf(rig)).errors).toHaveLength(errorsBefore);
      const fetches = double.requests.filter((seen) => seen.key === key).length;
      expect(fetches).toBeGreaterThan(luck.times ?? 0);
    } else {
      expect(complaint).toMatch(outcome.errno);
      const [error] = (await statusOf(rig)).errors;
      expect(error).toMatchObject({ path: key, mount: "demo:v0" });
      expect(error?.message).toMatch(outcome.message);
      expect(error).toMatchObject({ kind: outcome.kind });
      expect(error?.message).toContain(`gs://data/${key}`);
      expect(tookMs).toBeLessThan(TIMEOUT_MS + SLACK_MS);
    }
    double.calm();
    await luck.mend?.(double);
    // A failure is remembered for about a second.
    await expect.poll(() => complaintOf(path), { timeout: 8_000, interval: 200 }).toBe("read");
    expect(await hashOf(path)).toBe(digestOf(content));
  });
});

function keyOf(index: number, size: SizeName): string {
  return `${index}/${size}.bin`;
}

function digestOf(content: Content): string {
  const hash = createHash("sha256");
  for (const block of blocks(content, 0, content.sizeBytes)) hash.update(block);
  return hash.digest("hex");
}

/** SHA-256 of the file at `path`, by another process. */
async function hashOf(path: string): Promise<string> {
  return String(await run("sha256sum", "--", path)).slice(0, 64);
}
