// What a reader of a mount sees when S3, or the way to it, has an accident: which error, what `status`
// says of it, and that the file reads when the accident is over. Never a wrong byte.

import { join } from "node:path";
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
  digestOf,
  expectOutcome,
  expectRecovery,
  hashOf,
  keyOf,
  mountDemo,
  otherContentOf,
  type Luck,
  type SizeName,
} from "../support/bad-luck.js";
import { needs } from "../support/needs.js";
import { complaintOf, run } from "../support/reader.js";
import { Rig } from "../support/rig.js";
import { generated, startS3Double, type Accident, type S3Double } from "../support/s3-double.js";
import { statusOf } from "../support/status.js";

/** Of the buckets that are elsewhere. */
const FAR_REGION = "eu-west-3";
/** Opens and nothing more. */
const OPEN = "import os, sys; os.open(sys.argv[1], os.O_RDONLY)";

type Bucket = "kept" | "plain" | "parts";

/** The object that one test reads. */
interface Target {
  readonly key: string;
  readonly sizeBytes: number;
}

interface S3Luck extends Luck<S3Double, Target> {
  /** "kept" has versions, "plain" has none, "parts" was written in parts, so that its ETag is no MD5. */
  readonly bucket?: Bucket;
}

const ACCIDENTS: readonly S3Luck[] = [
  {
    name: "403 AccessDenied",
    accident: () => ({ status: 403, code: "AccessDenied" }),
    outcome: { ...DENIED, message: /access was refused; check the credentials.*AccessDenied/ },
  },
  {
    name: "404 NoSuchKey",
    bucket: "plain",
    accident: () => ({ status: 404, code: "NoSuchKey" }),
    outcome: { ...STALE, message: /the object is gone/ },
  },
  {
    name: "404 NoSuchBucket",
    accident: () => ({ status: 404, code: "NoSuchBucket" }),
    outcome: { ...STALE, message: /the bucket does not exist/ },
  },
  {
    name: "a version deleted for ever",
    accident: () => ({ status: 404, code: "NoSuchVersion" }),
    outcome: { ...STALE, message: /the pinned version is gone/ },
  },
  {
    name: "412, overwritten",
    bucket: "plain",
    accident: () => ({ status: 412, code: "PreconditionFailed" }),
    outcome: { ...STALE, message: /overwritten since it was logged/ },
  },
  {
    name: "an archived object",
    accident: () => ({ status: 403, code: "InvalidObjectState" }),
    outcome: { ...DENIED, message: /archived.*restore it first/ },
  },
  {
    name: "wrong credentials",
    harm: (double) => {
      double.keys = { ...double.keys, secretAccessKey: "rotated" };
    },
    mend: (double) => {
      double.keys = { ...double.keys, secretAccessKey: "double-secret" };
    },
    outcome: { ...DENIED, message: /check the credentials.*SignatureDoesNotMatch/ },
  },
  {
    name: "a key that was removed",
    harm: (double) => {
      double.keys = { ...double.keys, accessKeyId: "AKNEW" };
    },
    mend: (double) => {
      double.keys = { ...double.keys, accessKeyId: "AKDOUBLE" };
    },
    outcome: { ...DENIED, message: /check the credentials.*InvalidAccessKeyId/ },
  },
  {
    name: "an expired token",
    accident: () => ({ status: 400, code: "ExpiredToken" }),
    outcome: { ...DENIED, message: /credentials have expired/ },
  },
  {
    name: "a bucket that moved to a region nobody names",
    accident: () => ({ status: 301, code: "PermanentRedirect" }),
    outcome: { ...DENIED, message: /another region.*set AWS_REGION/ },
  },
  {
    name: "503 SlowDown four times",
    accident: () => ({ status: 503, code: "SlowDown" }),
    times: 4,
    outcome: "read",
  },
  {
    name: "503 SlowDown for ever",
    accident: () => ({ status: 503, code: "SlowDown" }),
    outcome: { ...UNAVAILABLE, message: /overloaded or failing \(503 SlowDown\)/ },
  },
  {
    name: "short bodies for ever",
    accident: () => ({ shortByBytes: 1 }),
    outcome: { ...UNAVAILABLE, message: /reset|ended/ },
  },
  { name: "a long body", accident: () => ({ longByBytes: 10 }), times: 1, outcome: "read" },
  {
    name: "long bodies for ever",
    accident: () => ({ longByBytes: 10 }),
    outcome: { ...CORRUPT, message: /more than .* promised/ },
  },
  {
    name: "a bit flipped for ever",
    accident: () => ({ flipByteAt: 70_000 }),
    outcome: { ...CORRUPT, message: /received damaged.*md5 that the store holds/ },
  },
  {
    name: "a bit flipped for ever, without versions",
    bucket: "plain",
    accident: () => ({ flipByteAt: 70_000 }),
    outcome: { ...CORRUPT, message: /received damaged.*md5 that the store holds/ },
  },
  {
    name: "a bit flipped for ever near the end, checked by CRC-64/NVME",
    bucket: "parts",
    accident: ({ sizeBytes }) => ({ flipByteAt: sizeBytes - 1 }),
    outcome: { ...CORRUPT, message: /received damaged.*crc64nvme that the store holds/ },
  },
  {
    name: "a server that stalls once, before the first byte",
    accident: () => ({ silent: true }),
    times: 1,
    // One stall is as long as the time that was given.
    outcome: { ...UNAVAILABLE, message: /no answer within 2000 ms/ },
  },
  {
    name: "another version's bytes under this version's headers",
    accident: ({ key }, double) => ({ bytesOfVersion: otherVersion(double, key) }),
    outcome: { ...CORRUPT, message: /md5 that the store holds/ },
  },
  {
    name: "a server that answers with another version",
    accident: ({ key }, double) => ({ answerWithVersion: otherVersion(double, key) }),
    outcome: { ...CORRUPT, message: /answered with version/ },
  },
  {
    name: "another ETag than asked for",
    bucket: "plain",
    accident: () => ({ headers: { etag: '"00000000000000000000000000000000"' } }),
    outcome: { ...STALE, message: /has the ETag/ },
  },
  {
    name: "an answer about another range",
    accident: ({ sizeBytes }) =>
      sizeBytes > 16_777_216
        ? { headers: { "content-range": `bytes 1-8388608/${sizeBytes}` } }
        : { status: 206 },
    outcome: { ...CORRUPT, message: /another range/ },
  },
  {
    name: "another size than logged",
    accident: () => ({ headers: { "content-length": "5", "content-range": "bytes 0-4/5" } }),
    outcome: { ...CORRUPT, message: /size|range/ },
  },
  ...OTHERWISE_IN_RANGES,
  ...ALIKE_IN_RANGES,
  REFUSED_CONNECTIONS,
];

describe.runIf(needs("fuse", "addon", "root"))("a reader, when S3 has bad luck:", () => {
  let rig: Rig;
  let double: S3Double;
  let dir: string;

  beforeAll(async () => {
    double = await startS3Double();
    rig = await Rig.create(double.environment);
    for (const [index, { bucket = "kept" }] of ACCIDENTS.entries()) {
      for (const size of BOTH) put(double, bucket, index, size);
    }
    await rig.ok(
      ...["log", "demo", "--type", "t"],
      ...(["kept", "plain", "parts"] as const).flatMap((name) => ["--ref", `${name}=s3://${name}`]),
    );
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
    const { bucket = "kept", outcome } = luck;
    const key = keyOf(index, size);
    const content = contentOf(index, size);
    const file = { dir, path: `${bucket}/${key}`, uri: `s3://${bucket}/${key}`, content };
    const accident = luck.accident?.({ key, sizeBytes: SIZES[size] }, double);
    if (accident !== undefined) {
      double.upset({ operation: "GetObject", bucket, key }, accident, luck.times ?? Infinity);
    }
    await luck.harm?.(double);
    await expectOutcome(rig, file, outcome);
    if (outcome === "read") expect(gets(double, key)).toBeGreaterThan(luck.times ?? 0);
    double.calm();
    await luck.mend?.(double);
    await expectRecovery(file);
  });
});

describe.runIf(needs("fuse", "addon", "root"))(
  "an open that waits for the bytes (passthrough)",
  () => {
    test("fails with the same errors, and succeeds when the store recovers", async () => {
      const cases: readonly { accident: Accident; errno: RegExp; kind: string }[] = [
        { accident: { status: 403, code: "AccessDenied" }, ...DENIED },
        { accident: { status: 404, code: "NoSuchVersion" }, ...STALE },
        { accident: { status: 503, code: "SlowDown" }, ...UNAVAILABLE },
        { accident: { stallAfterBytes: 0 }, ...UNAVAILABLE },
        { accident: { flipByteAt: 99_999 }, ...CORRUPT },
      ];
      await using double = await startS3Double();
      for (const index of cases.keys()) {
        double.bucket("data").put(`set/${index}`, generated(SIZES.small, index + 1));
      }
      await using rig = await Rig.create(double.environment);
      await rig.ok("log", "demo", "--type", "t", "--ref", "s3://data/set");
      const dir = await rig.mount("demo", "mnt", "--io", "passthrough", "--timeout", "1s");
      for (const [index, { accident, errno, kind }] of cases.entries()) {
        const path = join(dir, String(index));
        double.upset({ operation: "GetObject" }, accident, Infinity);
        const opened = await run("python3", "-c", OPEN, path).catch((error: unknown) => error);
        expect(String(opened)).toMatch(errno);
        expect((await statusOf(rig)).errors[0]).toMatchObject({ kind, path: String(index) });
        double.calm();
        await expect.poll(() => complaintOf(path), { timeout: 8_000 }).toBe("read");
        expect(await hashOf(path)).toBe(digestOf(generated(SIZES.small, index + 1)));
      }
    });
  },
);

describe.runIf(needs("fuse", "addon", "root"))("a bucket in another region than AWS_REGION", () => {
  test.each(["redirect", "malformed"] as const)("is found by the answer (%s)", async (answer) => {
    await using double = await startS3Double();
    double.wrongRegionAnswer = answer;
    const content = generated(SIZES.large);
    double.bucket("far", "enabled", FAR_REGION).put("set/large", content);
    double.bucket("far").put("set/small", "small");
    await using rig = await Rig.create(double.environment);
    await rig.ok("log", "demo", "--type", "t", "--ref", "s3://far/set");
    const dir = await rig.mount("demo", "mnt");
    expect(await hashOf(join(dir, "large"))).toBe(digestOf(content));
    expect(await complaintOf(join(dir, "small"))).toBe("read");
    expect((await statusOf(rig)).errors).toEqual([]);
  });
});

describe.runIf(needs("fuse", "addon", "root"))("an expired session token", () => {
  test("is refused with EACCES and the reason", async () => {
    const keys = { accessKeyId: "ASIA", secretAccessKey: "temporary", sessionToken: "token-1" };
    await using double = await startS3Double({ keys });
    double.bucket("data").put("set/a", "bytes");
    await using rig = await Rig.create(double.environment);
    await rig.ok("log", "demo", "--type", "t", "--ref", "s3://data/set");
    const dir = await rig.mount("demo", "mnt");
    double.expiredTokens.add("token-1");
    expect(await complaintOf(join(dir, "a"))).toMatch(/Permission denied/);
    const [error] = (await statusOf(rig)).errors;
    expect(error).toMatchObject({ kind: "denied" });
    expect(error?.message).toMatch(/expired; renew them and mount again/);
    expect(error?.message).not.toMatch(/token-1|temporary/);
  });
});

describe.runIf(needs("fuse", "addon", "root"))("a credential process", () => {
  test("that does not end holds no reader for ever, and counts when it ends", async () => {
    await using double = await startS3Double();
    double.bucket("data").put("set/a", "bytes");
    await using rig = await Rig.create(double.environment);
    await rig.ok("log", "demo", "--type", "t", "--ref", "s3://data/set");
    const { accessKeyId, secretAccessKey } = double.keys;
    const { dir: home } = rig;
    await rig.tree("aws", {
      config: `[default]\ncredential_process = /bin/sh ${home}/aws/process\n`,
      process: `while test -d ${home}/aws && ! test -e ${home}/aws/go; do sleep 0.1; done; cat ${home}/aws/go\n`,
    });
    const mnt = await rig.tree("mnt", {});
    const environment = {
      AWS_CONFIG_FILE: `${home}/aws/config`,
      AWS_SHARED_CREDENTIALS_FILE: "/dev/null",
      AWS_ACCESS_KEY_ID: "",
      AWS_SECRET_ACCESS_KEY: "",
    };
    const mounting = rig.start(["mount", "demo", mnt, "--timeout", "1s"], { environment });
    expect(await mounting.ended).toMatchObject({ code: 0 });
    expect(await complaintOf(join(mnt, "a"))).toMatch(/Input\/output error/);
    const [error] = (await statusOf(rig)).errors;
    expect(error).toMatchObject({ kind: "unavailable", path: "a" });
    const go = { Version: 1, AccessKeyId: accessKeyId, SecretAccessKey: secretAccessKey };
    await rig.tree("aws", { go: JSON.stringify(go) });
    await expect.poll(() => complaintOf(join(mnt, "a")), { timeout: 8_000 }).toBe("read");
    expect(error?.message).not.toContain(secretAccessKey);
  });
});

/** Puts an object, and before it another version of it. */
function put(double: S3Double, name: Bucket, index: number, size: SizeName): void {
  const bucket = double.bucket(name, name === "plain" ? "never" : "enabled");
  const parts = { partBytes: 8_388_608, checksum: "CRC64NVME" } as const;
  const key = keyOf(index, size);
  if (name === "kept") bucket.put(key, otherContentOf(index, size));
  bucket.put(key, contentOf(index, size), name === "parts" ? parts : {});
}

function otherVersion(double: S3Double, key: string): string {
  const version = double.bucket("kept").versionsOf(key)[1];
  if (version === undefined) throw new Error(`${key} has no other version`);
  return version.versionId;
}

function gets(double: S3Double, key: string): number {
  return double.requests.filter((seen) => seen.operation === "GetObject" && seen.key === key)
    .length;
}
