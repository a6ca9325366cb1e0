// Listing Google Cloud Storage: which requests are made, what is pinned and claimed, what a uri names.
// Against the double, by the real SDK; the objects are the SDK's own uploads where that matters.

import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import type { Bucket } from "@google-cloud/storage";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openGcsStore } from "../../src/stores/gcs/store.js";
import type { Listed, ListOptions, Store } from "../../src/stores/store.js";
import { collect, entryOf, faultOf, listOptions, readAll } from "../contract/store.js";
import type { GcsBucket, GcsDouble } from "../support/gcs-double.js";
import { startGcsDouble } from "../support/gcs-double.js";
import { sdkOf } from "../support/gcs-sdk.js";

let double: GcsDouble;
let data: GcsBucket;
let sdk: Bucket;
let store: Store;

beforeEach(async () => {
  double = await startGcsDouble();
  data = double.bucket("data");
  sdk = sdkOf(double).bucket("data");
  store = openGcsStore(double.environment, { retryTimeoutMs: 0 });
});
afterEach(async () => {
  await store.close();
  await double[Symbol.asyncDispose]();
});

const list = (uri: string, changes: Partial<ListOptions> = {}): Promise<Listed[]> =>
  collect(store.list(uri, listOptions(changes)));
const keysOf = (listed: readonly Listed[]): string[] => listed.map(({ key }) => key);
const save = (name: string, body: string, more = {}): Promise<void> =>
  sdk.file(name).save(Buffer.from(body), { resumable: false, ...more });

describe("pins and claims", () => {
  test("an object is pinned by its generation alone, and its digest is the JSON API's ETag", async () => {
    await save("set/k", "0123456789");
    const [{ etag, generation, timeCreated }] = await sdk.file("set/k").getMetadata();
    double.requests.length = 0;
    expect(await list("gs://data/set/k")).toEqual([
      {
        key: "k",
        single: true,
        sizeBytes: 10,
        entryDigest: etag,
        uri: "gs://data/set/k",
        pin: { generation },
        claims: [
          { algorithm: "md5", value: "781e5e245d69b566979b86e28d23f2c7", source: "checksum" },
          { algorithm: "crc32c", value: "280c069e", source: "checksum" },
        ],
        mtimeMs: Date.parse(timeCreated ?? ""),
      },
    ]);
    expect(double.counts()).toEqual({ list: 1 });
  });

  test("a composed object has no MD5, and is claimed by its CRC-32C", async () => {
    await save("one", "first ");
    await save("two", "second");
    await sdk.combine(["one", "two"], "both");
    const [both] = await list("gs://data/both");
    expect(both?.claims.map(({ algorithm }) => algorithm)).toEqual(["crc32c"]);
    expect(both && (await readAll(store, entryOf(both))).toString()).toBe("first second");
  });

  test("an upload in a session is listed like any other", async () => {
    const bytes = Buffer.alloc(700_000, "x");
    await sdk.file("k").save(bytes, { resumable: true });
    const [listed] = await list("gs://data/k");
    expect(listed?.sizeBytes).toBe(700_000);
    expect(listed?.claims[0]?.value).toBe(createHash("md5").update(bytes).digest("hex"));
  });

  test("changed metadata changes the digest that W&B records, and not the pin", async () => {
    await save("k", "bytes");
    const [before] = await list("gs://data/k");
    await sdk.file("k").setMetadata({ metadata: { note: "new" } });
    const [after] = await list("gs://data/k");
    expect(after?.entryDigest).not.toBe(before?.entryDigest);
    expect(after).toEqual({ ...before, entryDigest: after?.entryDigest });
  });

  test("noncurrent generations are not listed, deleted objects neither", async () => {
    await save("set/a", "old");
    await save("set/a", "new!");
    await save("set/gone", "x");
    await sdk.file("set/gone").delete();
    const listed = await list("gs://data/set/");
    expect(listed.map(({ key, sizeBytes }) => [key, sizeBytes])).toEqual([["a", 4]]);
  });

  test("generations exist everywhere, so --pin version is met without versions, too", async () => {
    double.bucket("plain", false).put("set/a", "1");
    const [listed] = await list("gs://plain/set", { pinVersion: true });
    expect(listed?.pin.generation).toMatch(/^\d+$/);
  });

  test("--no-checksum pins and claims nothing, and takes the uri as digest", async () => {
    data.put("set/a b#1", "1");
    const options = listOptions({ checksum: false });
    expect(await collect(store.list("gcs://data/set", options))).toMatchObject([
      {
        uri: "gs://data/set/a b%231",
        entryDigest: "gs://data/set/a b%231",
        pin: {},
        claims: [],
        sizeBytes: 1,
      },
    ]);
    expect(options.notices).toEqual([]);
    const fault = await faultOf(list("gs://data/set/a", { checksum: false, pinVersion: true }));
    expect([fault.kind, fault.message]).toEqual(["usage", expect.stringContaining("pins nothing")]);
    expect((await faultOf(list("gs://data/k#1", { checksum: false }))).kind).toBe("usage");
  });

  test("an object stored gzipped is listed as it is stored", async () => {
    const packed = gzipSync("text ".repeat(1_000));
    await sdk.file("k.txt").save(packed, {
      resumable: false,
      metadata: { contentEncoding: "gzip", contentType: "text/plain" },
    });
    const [listed] = await list("gs://data/k.txt");
    expect(listed?.sizeBytes).toBe(packed.length);
  });
});

describe("pages", () => {
  const fill = (count: number): void => {
    for (let index = 0; index < count; index++) {
      data.put(`set/${String(index).padStart(5, "0")}`, "x");
    }
  };

  test("one request per thousand objects, asking for nothing but what is needed", async () => {
    fill(2_499);
    const counts: number[] = [];
    const listed = await list("gs://data/set/", { onProgress: (found) => counts.push(found) });
    expect(new Set(keysOf(listed)).size).toBe(2_499);
    expect(listed).toHaveLength(2_499);
    expect(double.counts()).toEqual({ list: 3 });
    expect(counts).toEqual([1_000, 2_000, 2_499, 2_499]);
    expect(double.requests[0]?.query.get("maxResults")).toBe("1000");
    expect(double.requests[0]?.query.get("fields")).toBe(
      "items(name,size,generation,etag,md5Hash,crc32c,timeCreated),nextPageToken",
    );
  });

  test("a page that fails or breaks off is asked for again, and no row is lost or doubled", async () => {
    fill(1_500);
    const patient = openGcsStore(double.environment, { retryTimeoutMs: 60_000 });
    double.upset({ operation: "list" }, { status: 503, reason: "backendError" });
    double.upset({ operation: "list" }, { resetAfterBytes: 20_000 });
    double.upset({ operation: "list" }, { status: 403, reason: "rateLimitExceeded" });
    double.upset({ operation: "list" }, { text: "<html>a login page</html>" });
    const keys = keysOf(await collect(patient.list("gs://data/set/", listOptions())));
    expect(new Set(keys).size).toBe(1_500);
    expect(keys).toHaveLength(1_500);
    expect(double.counts()).toEqual({ list: 6 });
    const tokens = double.requests.map(({ query }) => query.get("pageToken") !== null);
    expect(tokens).toEqual([false, false, false, false, false, true]);
    await patient.close();
  });

  test("any number of names beside the prefix does not hide what is below it", async () => {
    for (let index = 0; index < 1_500; index++) data.put(`set-${index}`, "x");
    data.put("set/a", "1");
    expect(keysOf(await list("gs://data/set"))).toEqual(["a"]);
    expect(double.counts()).toEqual({ list: 2 });
  });

  test("one object too many ends the listing before the next page", async () => {
    fill(1_001);
    const fault = await faultOf(list("gs://data/set/", { maxObjects: 10 }));
    expect(fault.message).toContain("--max-objects");
    expect(double.counts()).toEqual({ list: 1 });
  });

  test("an empty page before the last ends nothing", async () => {
    data.put("set/a", "1");
    const empty = JSON.stringify({
      nextPageToken: Buffer.from("set/0").toString("base64url"),
    });
    double.upset({ operation: "list" }, { text: empty });
    expect(keysOf(await list("gs://data/set/"))).toEqual(["a"]);
    double.upset({ operation: "list" }, { text: empty });
    expect(keysOf(await list("gs://data/set"))).toEqual(["a"]);
    data.put("one", "1");
    const before = JSON.stringify({ nextPageToken: Buffer.from("on").toString("base64url") });
    double.upset({ operation: "list" }, { text: before });
    expect(await list("gs://data/one")).toMatchObject([{ key: "one", single: true }]);
  });

  test("a store that repeats a page is noticed", async () => {
    const text = JSON.stringify({ items: [], nextPageToken: "again" });
    double.upset({ operation: "list" }, { text }, Infinity);
    const fault = await faultOf(list("gs://data/set/"));
    expect([fault.kind, fault.message]).toEqual([
      "unavailable",
      expect.stringContaining("repeats a page"),
    ]);
  });

  test.each([
    ["no object", "[1]"],
    ["no list of items", '{"items":{}}'],
    ["an item that is none", '{"items":["x"]}'],
    ["an item without a generation", '{"items":[{"name":"set/a","size":"1"}]}'],
    ["an item whose size is no number", '{"items":[{"name":"a","size":"x","generation":"1"}]}'],
    ["no JSON", "OK"],
  ])("an answer that is %s is not Google's, and is unavailable", async (_what, text) => {
    double.upset({ operation: "list" }, { text });
    const fault = await faultOf(list("gs://data/set/"));
    expect([fault.kind, fault.message]).toEqual([
      "unavailable",
      expect.stringContaining("not Google Cloud Storage's"),
    ]);
  });
});

describe("what a uri names", () => {
  test("#generation names that generation and records its own ETag", async () => {
    await save("k", "old bytes");
    const [{ etag, generation }] = await sdk.file("k").getMetadata();
    await save("k", "new");
    for (const listed of [
      (await list(`gs://data/k#${generation ?? ""}`))[0],
      await store.stat(`gs://data/k#${generation ?? ""}`, listOptions()),
    ]) {
      expect(listed).toMatchObject({
        key: "k",
        single: true,
        sizeBytes: 9,
        uri: "gs://data/k",
        entryDigest: etag,
        pin: { generation },
      });
      expect(listed && (await readAll(store, entryOf(listed))).toString()).toBe("old bytes");
    }
  });

  test("a generation that is not there does not exist", async () => {
    await save("k", "x");
    for (const asking of [list("gs://data/k#2"), store.stat("gs://data/k#2", listOptions())]) {
      const fault = await faultOf(asking);
      expect([fault.kind, fault.message]).toEqual([
        "not-found",
        "Object does not exist: gs://data/k#2",
      ]);
    }
  });

  test("a server that ignores generations does not pass its current object for one", async () => {
    const { generation } = data.put("k", "x");
    double.upset({ operation: "metadata" }, { answerWithGeneration: generation });
    const fault = await faultOf(list("gs://data/k#2"));
    expect([fault.kind, fault.message]).toEqual(["usage", expect.stringContaining(generation)]);
  });

  test("folder markers are no objects, and a folder of markers alone is not-found", async () => {
    await save("my_folder/", "");
    await save("my_folder/sub/", "");
    await save("my_folder/sub/a", "1");
    await save("my_folder/empty", "");
    await save("lonely/", "");
    for (const uri of ["gs://data/my_folder", "gs://data/my_folder/"]) {
      expect(keysOf(await list(uri))).toEqual(["empty", "sub/a"]);
    }
    expect((await faultOf(list("gs://data/lonely"))).kind).toBe("not-found");
  });

  test("an object wins over the prefix of the same name, but not with a slash", async () => {
    await save("both", "");
    await save("both/a", "1");
    expect(keysOf(await list("gs://data/both"))).toEqual(["both"]);
    expect(keysOf(await list("gs://data/both/"))).toEqual(["a"]);
  });

  test("stat tells of an object as the listing does, and takes no prefix or bucket", async () => {
    await save("set/a", "1");
    expect(await store.stat("gs://data/set/a", listOptions())).toEqual(
      (await list("gs://data/set/a"))[0],
    );
    expect((await faultOf(store.stat("gs://data/set", listOptions()))).kind).toBe("not-found");
    expect((await faultOf(store.stat("gs://data", listOptions()))).kind).toBe("usage");
  });

  test("an unknown bucket is not-found and named", async () => {
    for (const asking of [list("gs://nobody/k"), list("gs://nobody/k#1")]) {
      const fault = await faultOf(asking);
      expect([fault.kind, fault.message]).toEqual([
        "not-found",
        expect.stringMatching(/gs:\/\/nobody\/k.*the bucket does not exist/),
      ]);
    }
  });
});

describe("bad luck", () => {
  test("a listing without an answer is unavailable when time is up", async () => {
    const hasty = openGcsStore(double.environment, { retryTimeoutMs: 0, stallTimeoutMs: 100 });
    double.upset({}, { silent: true });
    const fault = await faultOf(collect(hasty.list("gs://data/a", listOptions())));
    expect([fault.kind, fault.message]).toEqual(["unavailable", expect.stringContaining("100 ms")]);
    await hasty.close();
  });

  test("an aborted signal ends a request that waits", async () => {
    const held = double.hold({ operation: "list" });
    const controller = new AbortController();
    const listing = list("gs://data/a", { signal: controller.signal });
    await held.arrived;
    const reason = new Error("enough");
    controller.abort(reason);
    await expect(listing).rejects.toBe(reason);
    held.release();
  });

  test("a store that fails for longer is told about once", async () => {
    data.put("a", "1");
    const patient = openGcsStore(double.environment, { retryTimeoutMs: 60_000 });
    double.upset({}, { status: 503, reason: "backendError", headers: { "retry-after": "1" } }, 3);
    const options = listOptions();
    await collect(patient.list("gs://data/a", options));
    expect(options.notices).toEqual([expect.stringMatching(/trying again for up to 60 s/)]);
    await patient.close();
  });
});
