// What S3, or the way to it, may answer instead of what was asked: each becomes one fault, with what to do
// about it, for a listing as for a fetch. What readers of a mount see is in e2e/s3-bad-luck.test.ts.

import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Entry } from "../../src/model/entry.js";
import { openS3Store } from "../../src/stores/s3/store.js";
import type { Environment, Store } from "../../src/stores/store.js";
import { collect, entryOf, faultOf, listOptions, readAll } from "../contract/store.js";
import { needs } from "../support/needs.js";
import { Rig } from "../support/rig.js";
import type { Accident, Bucket, S3Double } from "../support/s3-double.js";
import { startS3Double } from "../support/s3-double.js";

let double: S3Double;
let store: Store;
let bucket: Bucket;
const others: Store[] = [];

beforeEach(async () => {
  double = await startS3Double();
  store = openS3Store(double.environment, { retryTimeoutMs: 0 });
  bucket = double.bucket("bucket");
});
afterEach(async () => {
  for (const other of others.splice(0)) await other.close();
  await store.close();
  await double[Symbol.asyncDispose]();
});

function open(environment: Environment): Store {
  const other = openS3Store({ ...double.environment, ...environment }, { retryTimeoutMs: 0 });
  others.push(other);
  return other;
}

const list = (at: string, from = store): Promise<unknown> =>
  collect(from.list(`s3://bucket/${at}`, listOptions()));

async function logged(key: string): Promise<Entry> {
  const [listed] = await collect(store.list(`s3://bucket/${key}`, listOptions()));
  return entryOf(listed ?? expect.fail("nothing listed"));
}

interface Case {
  readonly accident: Accident;
  /** The kind and words of a listing's fault, and those of a fetch. */
  readonly listed: readonly [string, RegExp];
  readonly fetched: readonly [string, RegExp];
}

const both = (kind: string, words: RegExp) =>
  ({ listed: [kind, words], fetched: [kind, words] }) as const;

const CASES: Readonly<Record<string, Case>> = {
  "401": { accident: { status: 401, code: "Unauthorized" }, ...both("denied", /the environment/) },
  "403": { accident: { status: 403, code: "AccessDenied" }, ...both("denied", /right s3:/) },
  "403 without a reason": { accident: { status: 403 }, ...both("denied", /HTTP 403/) },
  "403 from a clock that is wrong": {
    accident: { status: 403, code: "RequestTimeTooSkewed" },
    ...both("denied", /clock is wrong; set it/),
  },
  "404": {
    accident: { status: 404, code: "NoSuchKey" },
    listed: ["not-found", /no such object/],
    fetched: ["drifted", /deleted since it was logged/],
  },
  "410": {
    accident: { status: 410, code: "Gone" },
    listed: ["not-found", /no such object/],
    fetched: ["drifted", /deleted since it was logged/],
  },
  "412": {
    accident: { status: 412, code: "PreconditionFailed" },
    ...both("drifted", /overwritten/),
  },
  "416": {
    accident: { status: 416, code: "InvalidRange" },
    listed: ["denied", /refused the request/],
    fetched: ["corrupt", /shorter than logged/],
  },
  "429": {
    accident: { status: 429, code: "TooManyRequests" },
    ...both("unavailable", /overloaded/),
  },
  "503": { accident: { status: 503, code: "SlowDown" }, ...both("unavailable", /SlowDown/) },
  "what is not S3's": {
    accident: { status: 418, code: "Teapot" },
    ...both("denied", /418 Teapot/),
  },
};

describe.each(Object.entries(CASES))("an answer of %s", (_name, { accident, listed, fetched }) => {
  test("to a listing and to a fetch is a fault that names the object", async () => {
    bucket.put("k", "bytes");
    const entry = await logged("k");
    double.upset({}, accident, Infinity);
    for (const [promise, [kind, words]] of [
      [() => list("k"), listed],
      [() => readAll(store, entry), fetched],
    ] as const) {
      const fault = await faultOf(promise());
      expect([fault.kind, fault.message]).toEqual([kind, expect.stringMatching(words)]);
      expect(fault.message).toContain("s3://bucket");
      expect(fault.message).not.toMatch(/double-secret|AKDOUBLE/);
    }
  });
});

test.each([
  [429, "TooManyRequests"],
  [503, "SlowDown"],
])("%i with Retry-After is waited for, by a listing as by a fetch", async (status, code) => {
  bucket.put("k", "bytes");
  const entry = await logged("k");
  double.upset({}, { status, code, headers: { "retry-after": "7" } }, Infinity);
  for (const promise of [() => list("k"), () => readAll(store, entry)]) {
    expect((await faultOf(promise())).retryAfterMs).toBe(7_000);
  }
});

test("a host whose name nobody knows is unavailable, and named", async () => {
  bucket.put("k", "bytes");
  const entry = await logged("k");
  const lost = open({ AWS_S3_ENDPOINT_URL: "http://s3.refmount.invalid" });
  for (const promise of [() => list("k", lost), () => readAll(lost, entry)]) {
    const fault = await faultOf(promise());
    expect([fault.kind, fault.message]).toEqual([
      "unavailable",
      expect.stringMatching(/refmount\.invalid.*name/),
    ]);
  }
});

test("a clock that is an hour off is noticed by the server, and said", async () => {
  bucket.put("k", "bytes");
  const entry = await logged("k");
  double.clockAheadMs = 3_600_000;
  for (const promise of [() => list("k"), () => readAll(store, entry)]) {
    const fault = await faultOf(promise());
    expect([fault.kind, fault.message]).toEqual([
      "denied",
      expect.stringMatching(/clock is wrong/),
    ]);
  }
  double.clockAheadMs = 600_000;
  expect((await readAll(store, entry)).toString()).toBe("bytes");
});

describe.runIf(needs("addon"))("keys that cannot be names of files", () => {
  test.each(["..", "a/../b", "n".repeat(256), "nul\0", "/.."])(
    "such as %j end a log, named, and can be left out",
    async (key) => {
      bucket.put("set/a", "good");
      bucket.put(`set/${key}`, "bad");
      await using rig = await Rig.create(double.environment);
      const log = ["log", "demo", "--type", "t", "--ref", "s3://bucket/set"];
      const refused = await rig.run(...log);
      expect(refused).toMatchObject({ code: 2, stdout: "" });
      expect(refused.stderr).toContain("s3://bucket/set/");
      expect(await rig.json("ls")).toMatchObject({ collections: [] });
      expect(await rig.json(...log, "--on-conflict", "skip")).toMatchObject({ files: 1 });
    },
  );
});

describe("a listing that changes while it is paged", () => {
  const keyOf = (index: number): string => `set/${String(index).padStart(5, "0")}`;

  async function listWith(change: () => void): Promise<string[]> {
    for (let index = 0; index < 2_200; index++) bucket.put(keyOf(index), `${index}`);
    const keys: string[] = [];
    for await (const { key } of store.list("s3://bucket/set/", listOptions())) {
      if (keys.length === 0) change();
      keys.push(`set/${key}`);
    }
    expect(new Set(keys).size).toBe(keys.length);
    return keys;
  }

  test("tells each object once, and those that were always there all", async () => {
    const keys = await listWith(() => {
      // Before the page's end and after it; the page's last key, and one further on.
      bucket.put("set/00000-new", "x");
      bucket.put("set/02000-new", "x");
      bucket.delete(keyOf(999));
      bucket.deleteVersion(keyOf(1_500), bucket.versionsOf(keyOf(1_500))[0]?.versionId ?? "");
      bucket.put(keyOf(1_800), "again");
    });
    const always = Array.from({ length: 2_200 }, (_, index) => keyOf(index)).filter(
      (key) => key !== keyOf(999) && key !== keyOf(1_500),
    );
    expect(keys).toEqual(expect.arrayContaining(always));
    expect(keys).toContain("set/02000-new");
    expect(keys).not.toContain(keyOf(1_500));
  });

  test("goes on where the object at the page's end is gone for ever", async () => {
    const keys = await listWith(() => {
      bucket.deleteVersion(keyOf(999), bucket.versionsOf(keyOf(999))[0]?.versionId ?? "");
    });
    expect(keys).toHaveLength(2_200);
  });
});

test.each([
  ["s3://arn:aws:s3:eu-west-1:1:accesspoint/mine/k", /ARNs are not supported.*alias/],
  ["s3://mine--euw1-az1--x-s3/k", /directory buckets are not supported/],
  ["s3:///k", /names no bucket/],
  ["s3://bucket/k?versionId=a&x=SECRET", /only \?versionId=ID/],
])("%s is refused without a request", async (uri, words) => {
  const fault = await faultOf(collect(store.list(uri, listOptions())));
  expect([fault.kind, fault.message]).toEqual(["usage", expect.stringMatching(words)]);
  expect(fault.message).not.toContain("SECRET");
  expect(double.requests).toEqual([]);
});
