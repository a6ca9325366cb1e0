// What references to GCS, Azure and HTTP must do: cases 25 to 33 of the reference text on Weights &
// Biases, by their numbers there. Where our design differs the test says so.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { receive } from "../../src/cache/receive.js";
import { entryPath } from "../../src/daemon/entry-path.js";
import { openAzureStore } from "../../src/stores/azure/store.js";
import { openGcsStore } from "../../src/stores/gcs/store.js";
import { openHttpStore } from "../../src/stores/http/store.js";
import type { Listed, ListOptions, Store } from "../../src/stores/store.js";
import { Folder } from "../cache/origin.js";
import { collect, entryOf, faultOf, listOptions, readAll } from "../contract/store.js";
import { startAzureDouble, type AzureDouble } from "../support/azure-double.js";
import { startGcsDouble, type GcsDouble } from "../support/gcs-double.js";
import { startHttpDouble, type HttpDouble } from "../support/http-double.js";
import { Rig } from "../support/rig.js";

let store: Store;

const list = (uri: string, changes: Partial<ListOptions> = {}): Promise<Listed[]> =>
  collect(store.list(uri, listOptions(changes)));

async function one(uri: string, changes: Partial<ListOptions> = {}): Promise<Listed> {
  const [listed, ...others] = await list(uri, changes);
  expect(others).toEqual([]);
  return listed ?? expect.fail(`nothing listed at ${uri}`);
}

const pathsOf = (listed: readonly Listed[], base = ""): string[] =>
  listed.map(({ key, single }) => entryPath(key, { base, single }));

/** The bytes of an entry as the cache takes them: checked, or a fault. */
async function checked(listed: Listed): Promise<string> {
  using folder = new Folder();
  const path = join(folder.path, "k");
  const options = {
    observed: null,
    timeoutMs: 5_000,
    signal: new AbortController().signal,
  };
  await receive(entryOf(listed), store.fetch, path, options);
  return readFileSync(path, "utf8");
}

describe("Google Cloud Storage", () => {
  let double: GcsDouble;
  beforeEach(async () => {
    double = await startGcsDouble();
    store = openGcsStore(double.environment, { retryTimeoutMs: 0 });
  });
  afterEach(async () => {
    await store.close();
    await double[Symbol.asyncDispose]();
  });

  test("25: an object is its ETag and its generation, #generation is that one or not there", async () => {
    const bucket = double.bucket("data");
    const old = bucket.put("dir/k", "old");
    const current = bucket.put("dir/k", "current");
    const listed = await one("gs://data/dir/k");
    expect(listed).toMatchObject({
      pin: { generation: current.generation },
      sizeBytes: 7,
    });
    expect(pathsOf([listed])).toEqual(["k"]);
    const named = await one(`gs://data/dir/k#${old.generation}`);
    expect(named.pin).toEqual({ generation: old.generation });
    expect(named.entryDigest).not.toBe(listed.entryDigest);
    expect((await readAll(store, entryOf(named))).toString()).toBe("old");
    const missing = await faultOf(list("gs://data/dir/k#2"));
    expect(missing.kind).toBe("not-found");
    expect(missing.message).toContain("Object does not exist: gs://data/dir/k#2");
  });

  test("26: a prefix leaves out its folder marker, with a slash or without", async () => {
    const bucket = double.bucket("data");
    bucket.put("my_folder/", "");
    bucket.put("my_folder/my_object.pb", "x");
    bucket.put("my_folder2/other", "x");
    for (const uri of ["gs://data/my_folder", "gs://data/my_folder/"]) {
      expect(pathsOf(await list(uri))).toEqual(["my_object.pb"]);
    }
  });

  test("27: no MD5 is no reason to skip an object, and changed metadata is no other object", async () => {
    const bucket = double.bucket("data");
    const object = bucket.put("k", "bytes", { componentCount: 2 });
    const listed = await one("gs://data/k");
    expect(listed.claims.map(({ algorithm }) => algorithm)).toEqual(["crc32c"]);
    bucket.patch(object, { contentType: "text/x-other" });
    expect((await one("gs://data/k")).entryDigest).not.toBe(listed.entryDigest);
    expect(await checked(listed)).toBe("bytes");
  });
});

describe("Azure", () => {
  let double: AzureDouble;
  beforeEach(async () => {
    double = await startAzureDouble();
    store = openAzureStore(double.environment, { retryTimeoutMs: 0 });
  });
  afterEach(async () => {
    await store.close();
    await double[Symbol.asyncDispose]();
  });

  test("28: a blob is its ETag and version, ?versionId= that one's, its uri without the query", async () => {
    const container = double.container("data");
    const old = container.put("dir/k", "old");
    const current = container.put("dir/k", "current");
    const bare = (etag: string): string => etag.replaceAll('"', "");
    expect(await one("az://data/dir/k")).toMatchObject({
      entryDigest: bare(current.etag),
      pin: { etag: bare(current.etag), versionId: current.writtenAt },
    });
    const named = await one(`${double.endpoint}/data/dir/k?versionId=${old.writtenAt}`);
    expect(named).toMatchObject({
      uri: `${double.endpoint}/data/dir/k`,
      entryDigest: bare(old.etag),
      pin: { etag: bare(old.etag), versionId: old.writtenAt },
    });
    expect((await readAll(store, entryOf(named))).toString()).toBe("old");
  });

  test("29: a directory is what is in it, and one blob too many is an error", async () => {
    const container = double.container("data");
    container.put("dir", "", {
      metadata: { hdi_isfolder: "true" },
      resourceType: "directory",
    });
    container.put("dir/a", "x");
    container.put("dir/b", "x");
    for (const uri of ["az://data/dir", "az://data/dir/"]) {
      expect(pathsOf(await list(uri))).toEqual(["a", "b"]);
      expect(pathsOf(await list(uri), "my-name")).toEqual(["my-name/a", "my-name/b"]);
    }
    // W&B warns and takes the first.
    expect((await faultOf(list("az://data/dir", { maxObjects: 1 }))).kind).toBe("usage");
  });

  test("30: without checksums a blob is its uri, but has to be there", async () => {
    double.container("data").put("k", "bytes");
    const uri = `${double.endpoint}/data/k`;
    expect(await one(uri, { checksum: false })).toMatchObject({
      uri,
      entryDigest: uri,
      pin: {},
      claims: [],
      sizeBytes: 5,
    });
    // W&B records an entry that nothing can be read from.
    const absent = faultOf(list(`${double.endpoint}/data/absent`, { checksum: false }));
    expect((await absent).kind).toBe("not-found");
  });
});

describe("HTTP", () => {
  let double: HttpDouble;
  beforeEach(async () => {
    double = await startHttpDouble();
    store = openHttpStore({}, { retryTimeoutMs: 0 });
  });
  afterEach(async () => {
    await store.close();
    await double[Symbol.asyncDispose]();
  });

  test("31: an ETag without its quotes is the digest, Content-Length the size", async () => {
    double.put("/dir/file1.txt", "x".repeat(256), { etag: '"abc"' });
    const listed = await one(`${double.origin}/dir/file1.txt`);
    expect(listed).toMatchObject({
      entryDigest: "abc",
      sizeBytes: 256,
      pin: { etag: "abc" },
    });
    expect(pathsOf([listed])).toEqual(["file1.txt"]);
    const manifest = "wandb-artifact-manifest-v1\nfile1.txt:abc\n";
    expect(createHash("md5").update(manifest).digest("hex")).toBe(
      "48237ccc050a88af9dcd869dd5a7e9f4",
    );
  });

  test("32: without an ETag the digest is the address, and the bytes are hashed", async () => {
    const served = { etag: null, ignoresConditions: true };
    double.put("/a.bin", "bytes", served);
    const uri = `${double.origin}/a.bin`;
    expect(await one(uri)).toMatchObject({ entryDigest: uri, needsHash: true });
    await using rig = await Rig.create();
    const dir = rig.path("copy");
    await rig.ok("log", "demo", "--type", "t", "--ref", uri);
    double.put("/a.bin", "BYTES", served);
    expect((await rig.run("download", "demo", dir)).code).toBe(5);
    double.put("/a.bin", "bytes", served);
    expect((await rig.run("download", "demo", dir)).code).toBe(0);
  });

  test("33: a query stays in the uri and out of the name", async () => {
    double.put("/foo.json?bar=abc", "{}");
    const uri = `${double.origin}/foo.json?bar=abc`;
    const listed = await one(uri);
    expect(listed.uri).toBe(uri);
    expect(pathsOf([listed])).toEqual(["foo.json"]);
    expect(pathsOf([listed], "fizz.json")).toEqual(["fizz.json"]);
  });
});
