// Fetching from Google Cloud Storage: what is asked for, what an answer proves, and what every way of
// failing becomes. Against the double, without the cache: no byte is checked here.

import { createHash } from "node:crypto";
import { gunzipSync, gzipSync } from "node:zlib";
import type { Bucket } from "@google-cloud/storage";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Entry } from "../../src/model/entry.js";
import type { ByteRange, Fetched } from "../../src/model/fetch.js";
import { openGcsStore } from "../../src/stores/gcs/store.js";
import type { Store } from "../../src/stores/store.js";
import { collect, entryOf, faultOf, listOptions, readAll } from "../contract/store.js";
import type { GcsAccident, GcsBucket, GcsDouble } from "../support/gcs-double.js";
import { startGcsDouble } from "../support/gcs-double.js";
import { sdkOf } from "../support/gcs-sdk.js";

let double: GcsDouble;
let data: GcsBucket;
let sdk: Bucket;
let store: Store;
let hasty: Store;

beforeEach(async () => {
  double = await startGcsDouble();
  data = double.bucket("data");
  sdk = sdkOf(double).bucket("data");
  store = openGcsStore(double.environment, { retryTimeoutMs: 0 });
  hasty = openGcsStore(double.environment, { retryTimeoutMs: 0, stallTimeoutMs: 200 });
});
afterEach(async () => {
  await store.close();
  await hasty.close();
  await double[Symbol.asyncDispose]();
});

/** The entry that logging `key` as it is now gives. */
async function logged(key: string): Promise<Entry> {
  const [listed] = await collect(store.list(`gs://data/${key}`, listOptions()));
  double.requests.length = 0;
  return entryOf(listed ?? expect.fail("nothing listed"));
}

async function put(content: string | Uint8Array): Promise<Entry> {
  data.put("k", content);
  return logged("k");
}

const open = (entry: Entry, range: ByteRange | null = null): Promise<Fetched> =>
  store.fetch(entry, range, new AbortController().signal);

/** What an answer says, its body left. */
async function answerTo(entry: Entry, range: ByteRange | null = null): Promise<Fetched> {
  await using fetched = await open(entry, range);
  return fetched;
}

const upset = (accident: GcsAccident, times?: number): void =>
  double.upset({ operation: "media" }, accident, times);

const md5 = (text: string, encoding: "hex" | "base64"): string =>
  createHash("md5").update(text).digest(encoding);

describe("what is asked for", () => {
  test("the generation, by one request that accepts what is stored", async () => {
    const entry = await put("bytes");
    await readAll(store, entry);
    expect(double.requests).toHaveLength(1);
    const [seen] = double.requests;
    expect(seen).toMatchObject({ operation: "media", generation: entry.pin.generation });
    expect(seen?.headers["accept-encoding"]).toBe("gzip");
    expect(seen?.headers.range).toBeUndefined();
    expect(seen?.headers.authorization).toBeUndefined();
  });

  test("a uri's own generation, where the entry pins none", async () => {
    const { generation } = data.put("k", "old");
    const entry = await put("new");
    const other = { ...entry, pin: {}, uri: `gs://data/k#${generation}`, sizeBytes: null };
    expect((await readAll(store, other)).toString()).toBe("old");
    expect((await answerTo(other)).pinned).toBe(true);
  });

  test("nothing pinned is asked for as it is, and not promised", async () => {
    const entry = { ...(await put("bytes")), pin: {}, entryDigest: "gs://data/k" };
    expect(await answerTo(entry)).toMatchObject({ pinned: false, claims: [] });
    expect(double.requests[0]?.generation).toBeUndefined();
  });

  test("the whole object asked for as a range is asked for without one", async () => {
    const entry = await put("0123456789");
    await answerTo(entry, { start: 0, end: 10 });
    expect(double.requests[0]?.headers.range).toBeUndefined();
  });

  test("connections are kept: many requests, few sockets", async () => {
    const entry = await put("bytes");
    for (let round = 0; round < 20; round++) await readAll(store, entry);
    expect(new Set(double.requests.map(({ remotePort }) => remotePort)).size).toBe(1);
  });
});

describe("what an answer proves", () => {
  test("the hashes of the whole stored object come with every range", async () => {
    const entry = await put("123456789");
    const claims = [
      { algorithm: "md5", value: md5("123456789", "hex"), source: "checksum" },
      { algorithm: "crc32c", value: "e3069283", source: "checksum" },
    ];
    expect((await answerTo(entry)).claims).toEqual(claims);
    expect((await answerTo(entry, { start: 2, end: 4 })).claims).toEqual(claims);
  });

  test("a composed object is claimed by its CRC-32C alone", async () => {
    data.put("one", "12345");
    data.put("two", "6789");
    await sdk.combine(["one", "two"], "k");
    expect((await answerTo(await logged("k"))).claims).toEqual([
      { algorithm: "crc32c", value: "e3069283", source: "checksum" },
    ]);
  });

  test("a hash that cannot be one claims nothing", async () => {
    const entry = await put("bytes");
    upset({ headers: { "x-goog-hash": "crc32c=AAA=,md5=nothing,sha=1" } });
    expect((await answerTo(entry)).claims).toEqual([]);
  });

  test("another generation than asked for is corrupt, and so is none", async () => {
    const { generation } = data.put("k", "old");
    const entry = await put("new");
    upset({ answerWithGeneration: generation });
    const fault = await faultOf(open(entry));
    expect([fault.kind, fault.message]).toEqual(["corrupt", expect.stringContaining(generation)]);
    upset({ headers: { "x-goog-generation": "" } });
    expect((await faultOf(open(entry))).kind).toBe("corrupt");
  });

  test("a server without ranges gives everything, and says so", async () => {
    const entry = await put("0123456789");
    upset({ ignoreRange: true });
    await using fetched = await open(entry, { start: 2, end: 5 });
    expect(fetched.range).toEqual({ start: 0, end: 10 });
    expect(Buffer.concat(await collect(fetched.body)).toString()).toBe("0123456789");
  });

  test.each([
    ["another range", { "content-range": "bytes 3-5/10" }],
    ["a longer range", { "content-range": "bytes 2-6/10" }],
    ["no range", { "content-range": "" }],
    ["a range of unknown size", { "content-range": "bytes 2-4/*" }],
    ["a range of another size", { "content-range": "bytes 2-4/11" }],
  ])("%s than asked is corrupt", async (_what, headers) => {
    const entry = await put("0123456789");
    upset({ headers });
    expect((await faultOf(open(entry, { start: 2, end: 5 }))).kind).toBe("corrupt");
  });
});

describe("changed metadata", () => {
  test("is no drift: the bytes of the generation are read as before", async () => {
    await sdk.file("k").save("bytes", { resumable: false });
    const entry = await logged("k");
    await sdk.file("k").setMetadata({ contentType: "text/x-other", metadata: { a: "b" } });
    expect((await readAll(store, entry)).toString()).toBe("bytes");
  });
});

describe("an object stored gzipped", () => {
  const text = "the same line again and again\n".repeat(2_000);
  const packed = gzipSync(text);
  const save = async (metadata: Record<string, string>): Promise<Entry> => {
    await sdk
      .file("k")
      .save(packed, { resumable: false, metadata: { contentEncoding: "gzip", ...metadata } });
    return logged("k");
  };

  test("is read as its stored bytes, whole and by ranges", async () => {
    const entry = await save({ contentType: "text/plain" });
    const bytes = await readAll(store, entry);
    expect(bytes.equals(packed)).toBe(true);
    expect(gunzipSync(bytes).toString()).toBe(text);
    const range = { start: 10, end: packed.length - 5 };
    expect((await readAll(store, entry, range)).equals(packed.subarray(10, -5))).toBe(true);
  });

  test("that the store unpacks whatever was asked is refused, with what to do", async () => {
    const entry = await save({ contentType: "application/gzip" });
    for (const range of [null, { start: 10, end: 20 }]) {
      const fault = await faultOf(open(entry, range));
      expect([fault.kind, fault.message]).toEqual([
        "corrupt",
        expect.stringMatching(/gs:\/\/data\/k#\d+: the store gunzipped it.*no-transform/),
      ]);
    }
    await sdk.file("k").setMetadata({ cacheControl: "no-transform" });
    expect((await readAll(store, entry)).equals(packed)).toBe(true);
  });

  test("that is unpacked without a word is noticed by its encoding or its length", async () => {
    const entry = await save({ contentType: "text/plain" });
    upset({ unpackSilently: true, headers: { "x-goog-stored-content-encoding": "gzip" } });
    expect((await faultOf(open(entry))).message).toMatch(/stored with the encoding gzip/);
    const length = { "content-length": String(text.length) };
    upset({ unpackSilently: true, headers: length });
    expect((await faultOf(open(entry))).message).toContain(`${text.length} were sent`);
    // Not even the length is told: the entry's own does not fit.
    upset({ unpackSilently: true });
    expect((await faultOf(readAll(store, entry))).kind).toBe("corrupt");
  });

  test("is noticed by the warning alone", async () => {
    const entry = await put("bytes");
    upset({ headers: { warning: "214 UploadServer gunzipped" } });
    expect((await faultOf(open(entry))).message).toMatch(/the store gunzipped it on the way/);
    upset({ headers: { "content-encoding": "gzip" } });
    expect((await faultOf(open(entry))).message).toMatch(/encoding identity, .* with gzip/);
  });
});

describe("entries of older manifests", () => {
  const without = (entry: Entry, changes: Partial<Entry>): Entry => ({
    ...entry,
    claims: [],
    ...changes,
  });

  test("a digest that is a base64 MD5 is checked against the store's, and by the bytes", async () => {
    const entry = await put("bytes");
    const old = without(entry, { entryDigest: md5("bytes", "base64"), pin: {} });
    const fetched = await answerTo(old);
    expect(fetched.claims).toEqual([
      { algorithm: "md5", value: md5("bytes", "hex"), source: "checksum" },
    ]);
    data.put("k", "other");
    const fault = await faultOf(open(old));
    expect([fault.kind, fault.message]).toEqual([
      "drifted",
      expect.stringContaining(md5("other", "hex")),
    ]);
    const pinned = { ...old, pin: entry.pin };
    expect((await readAll(store, pinned)).toString()).toBe("bytes");
    const wrong = { ...pinned, entryDigest: md5("another", "base64") };
    expect((await faultOf(open(wrong))).kind).toBe("drifted");
  });

  test("where the store holds no MD5, the digest itself becomes the claim", async () => {
    data.put("one", "by");
    data.put("two", "tes");
    await sdk.combine(["one", "two"], "k");
    const old = without(await logged("k"), { entryDigest: md5("bytes", "base64"), pin: {} });
    expect((await answerTo(old)).claims).toEqual([
      { algorithm: "md5", value: md5("bytes", "hex"), source: "checksum" },
    ]);
  });

  test("a digest that is an ETag pins while it is the same", async () => {
    const entry = without(await put("bytes"), { pin: {} });
    expect((await answerTo(entry)).pinned).toBe(true);
    await sdk.file("k").setMetadata({ metadata: { a: "b" } });
    const fault = await faultOf(open(entry));
    expect([fault.kind, fault.message]).toEqual([
      "drifted",
      expect.stringContaining(entry.entryDigest),
    ]);
    // With a hash to compare, the bytes decide.
    const claims = [{ algorithm: "crc32c", value: "00000000", source: "checksum" }] as const;
    expect((await answerTo({ ...entry, claims })).pinned).toBe(false);
  });
});

describe("an object that is gone or another", () => {
  test.each([
    ["deleted for ever", (generation: string) => void data.delete("k", generation)],
    ["overwritten without versions", () => ((data.versioning = false), void data.put("k", "new"))],
    ["deleted without versions", () => ((data.versioning = false), void data.delete("k"))],
  ])("%s has drifted, naming the generation", async (_how, change) => {
    const entry = await put("bytes");
    const { generation = "" } = entry.pin;
    change(generation);
    const fault = await faultOf(open(entry));
    expect([fault.kind, fault.subject]).toEqual(["drifted", `gs://data/k#${generation}`]);
    expect(fault.message).toContain(`generation ${generation} is gone`);
  });

  test("unpinned and deleted has drifted", async () => {
    const entry = { ...(await put("bytes")), pin: {} };
    data.delete("k");
    expect((await faultOf(open(entry))).message).toContain("deleted since it was logged");
  });

  test("a bucket that is gone has drifted", async () => {
    const entry = await put("bytes");
    const fault = await faultOf(open({ ...entry, uri: "gs://nobody/k" }));
    expect([fault.kind, fault.message]).toEqual([
      "drifted",
      expect.stringContaining("the bucket does not exist"),
    ]);
  });

  test("a pinned object shorter than a range of it is corrupt, any other has drifted", async () => {
    const entry = { ...(await put("bytes")), sizeBytes: 100 };
    const range = { start: 50, end: 60 };
    expect((await faultOf(open(entry, range))).kind).toBe("corrupt");
    expect((await faultOf(open({ ...entry, pin: {} }, range))).kind).toBe("drifted");
  });
});

describe("refusals", () => {
  test.each([
    [400, "denied", /refused the request: the double says/],
    [403, "denied", /no credentials were found.*storage\.objects\.get/],
    [405, "denied", /refused the request/],
    [408, "unavailable", /overloaded/],
    [410, "drifted", /is gone/],
    [412, "drifted", /overwritten/],
    [429, "unavailable", /HTTP 429/],
    [500, "unavailable", /overloaded/],
    [501, "denied", /not implement/],
    [502, "unavailable", /overloaded/],
    [503, "unavailable", /HTTP 503/],
    [504, "unavailable", /overloaded/],
    [307, "denied", /redirects are not followed/],
  ] as const)("%i is %s", async (status, kind, message) => {
    const entry = await put("bytes");
    upset({ status }, Infinity);
    const fault = await faultOf(open(entry));
    expect([fault.kind, fault.message]).toEqual([kind, expect.stringMatching(message)]);
    expect(fault.message).toContain("gs://data/k");
  });

  test("a key of the customer's own is said to be missing", async () => {
    const entry = await put("bytes");
    const message = "The target object is encrypted by a customer-supplied encryption key.";
    upset({ status: 400, message });
    const fault = await faultOf(open(entry));
    expect([fault.kind, fault.message]).toEqual([
      "denied",
      expect.stringMatching(/customer's own/),
    ]);
  });

  test("a store that names a time to wait is given it", async () => {
    const entry = await put("bytes");
    upset({ status: 429, headers: { "retry-after": "3" } });
    expect((await faultOf(open(entry))).retryAfterMs).toBe(3_000);
  });
});

describe("transfers that go wrong", () => {
  const bytes = Buffer.alloc(400_000, 3);

  test.each([
    ["is reset before the first byte", { resetAfterBytes: 0 }],
    ["is reset midway", { resetAfterBytes: 100_000 }],
    ["is closed early", { shortByBytes: 1 }],
    ["stalls midway", { stallAfterBytes: 100_000 }],
    ["stalls before the first byte", { stallAfterBytes: 0 }],
  ] as const)("a body that %s is unavailable", async (_how, accident) => {
    const entry = await put(bytes);
    upset(accident);
    expect((await faultOf(readAll(hasty, entry))).kind).toBe("unavailable");
    expect((await readAll(store, entry)).equals(bytes)).toBe(true);
  });

  test("a body longer than the object is corrupt", async () => {
    const entry = await put(bytes);
    upset({ longByBytes: 1 });
    expect((await faultOf(readAll(store, entry))).kind).toBe("corrupt");
  });

  test("an answer that never comes is unavailable", async () => {
    const entry = await put(bytes);
    upset({ silent: true });
    const fault = await faultOf(hasty.fetch(entry, null, new AbortController().signal));
    expect([fault.kind, fault.message]).toEqual([
      "unavailable",
      expect.stringContaining("no answer"),
    ]);
  });

  test("two hundred fetches held by the store do not stop another", async () => {
    data.put("free", "free");
    const free = await logged("free");
    const entry = await put(bytes);
    const held = double.hold({ operation: "media", key: "k" });
    const waiting = Promise.all(Array.from({ length: 200 }, () => readAll(store, entry)));
    await held.arrived;
    expect((await readAll(store, free)).toString()).toBe("free");
    held.release();
    for (const body of await waiting) expect(body.equals(bytes)).toBe(true);
  });

  test("nobody listening is unavailable", async () => {
    const entry = await put(bytes);
    const gone = await startGcsDouble();
    const { environment } = gone;
    await gone[Symbol.asyncDispose]();
    const other = openGcsStore(environment, { retryTimeoutMs: 0 });
    for (const asking of [
      other.fetch(entry, null, new AbortController().signal),
      collect(other.list("gs://data/k", listOptions())),
    ]) {
      const fault = await faultOf(asking);
      expect([fault.kind, fault.message]).toEqual([
        "unavailable",
        expect.stringContaining("refused"),
      ]);
    }
    await other.close();
  });

  test("a port that speaks no TLS is denied, with what to check", async () => {
    const entry = await put(bytes);
    const secure = { STORAGE_EMULATOR_HOST: `https://${double.host}` };
    const other = openGcsStore(secure, { retryTimeoutMs: 0 });
    const fault = await faultOf(other.fetch(entry, null, new AbortController().signal));
    expect([fault.kind, fault.message]).toEqual(["denied", expect.stringContaining("scheme")]);
    await other.close();
  });

  test("a host that nobody knows is unavailable", async () => {
    const entry = await put(bytes);
    const unknown = { STORAGE_EMULATOR_HOST: "http://nobody.invalid" };
    const other = openGcsStore(unknown, { retryTimeoutMs: 0 });
    const fault = await faultOf(other.fetch(entry, null, new AbortController().signal));
    expect([fault.kind, fault.message]).toEqual([
      "unavailable",
      expect.stringContaining("nobody.invalid"),
    ]);
    await other.close();
  });
});
