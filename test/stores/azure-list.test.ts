// What listing Azure finds, how it is pinned, and what it costs in requests. On the double, whose
// signatures are checked, unless azurite is said.

import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { openAzureStore } from "../../src/stores/azure/store.js";
import type { Environment, Listed, ListOptions, Store } from "../../src/stores/store.js";
import { collect, entryOf, faultOf, listOptions, readAll } from "../contract/store.js";
import type { AzureDouble, Container } from "../support/azure-double.js";
import { startAzureDouble } from "../support/azure-double.js";
import type { Azurite } from "../support/azurite.js";
import { startAzurite } from "../support/azurite.js";

let double: AzureDouble;
let store: Store;
let container: Container;

beforeEach(async () => {
  double = await startAzureDouble();
  container = double.container("data");
  store = openAzureStore(double.environment, { retryTimeoutMs: 0 });
});
afterEach(async () => {
  await store.close();
  await double[Symbol.asyncDispose]();
});

const list = (uri: string, options: Partial<ListOptions> = {}): Promise<Listed[]> =>
  collect(store.list(uri, listOptions(options)));
const keys = (listed: readonly Listed[]): string[] => listed.map(({ key }) => key);

describe("what is found", () => {
  test("a prefix costs a look at the name and one page, whatever else begins like it", async () => {
    for (const name of ["set/a", "set/b/c", "set-2/x", "set.txt", "set2"]) container.put(name, "1");
    expect(keys(await list("az://data/set"))).toEqual(["a", "b/c"]);
    expect(double.counts()).toEqual({ GetProperties: 1, ListBlobs: 1 });
    expect(keys(await list("az://data/set/"))).toEqual(["a", "b/c"]);
    expect(double.counts()).toEqual({ GetProperties: 1, ListBlobs: 2 });
  });

  test("a blob is asked for by itself, so that reading it is the only right that is needed", async () => {
    container.put("set", "1");
    container.put("set/a", "2");
    const [listed] = await list("az://data/set");
    expect(listed).toMatchObject({ key: "set", single: true, sizeBytes: 1 });
    expect(double.counts()).toEqual({ GetProperties: 1 });
  });

  test("all pages are read, those without a row included", async () => {
    double.mostRows = 3;
    for (let index = 0; index < 10; index++) container.put(`set/${index}`, "x");
    const counts: number[] = [];
    const found = await list("az://data/set/", { onProgress: (count) => counts.push(count) });
    expect(keys(found)).toEqual(Array.from({ length: 10 }, (_, index) => String(index)));
    expect(double.counts()).toEqual({ ListBlobs: 4 });
    expect(counts).toEqual([3, 6, 9, 10, 10]);
  });

  test("old versions, deleted blobs and snapshots cost nothing and are not listed", async () => {
    for (let index = 0; index < 20; index++) container.put("set/a", `${index}`);
    container.snapshot("set/a");
    container.put("set/gone", "x");
    container.delete("set/gone");
    expect(keys(await list("az://data/set/"))).toEqual(["a"]);
    expect(double.counts()).toEqual({ ListBlobs: 1 });
  });

  test.each([
    ["a stub of WASB", { metadata: { hdi_isfolder: "true" } }],
    ["a stub that another tool wrote", { metadata: { Hdi_isfolder: "True" } }],
    [
      "a directory of a hierarchical namespace",
      { metadata: { hdi_isfolder: "true" }, resourceType: "directory" as const },
    ],
  ])("%s is no object, at the top or below", async (_what, options) => {
    container.put("dir", "", options);
    container.put("dir/sub", "", options);
    container.put("dir/sub/a", "1", { resourceType: "file" });
    container.put("dir/b", "2");
    container.put("dir/empty", "");
    for (const uri of ["az://data/dir", "az://data/dir/"]) {
      expect(keys(await list(uri))).toEqual(["b", "empty", "sub/a"]);
    }
    expect(keys(await list("az://data"))).toEqual(["dir/b", "dir/empty", "dir/sub/a"]);
    const alone = await faultOf(store.stat("az://data/dir", listOptions()));
    expect(alone.kind).toBe("not-found");
  });

  test("empty blobs with a slash at their end are no objects, others are", async () => {
    container.put("set/", "");
    container.put("set/sub/", "");
    container.put("set/odd/", "x");
    expect(keys(await list("az://data/set/"))).toEqual(["odd/"]);
  });

  test("a blob with metadata of its own is an object, also an empty one", async () => {
    container.put("set/a", "", { metadata: { origin: "here" } });
    container.put("set/b", "x", { metadata: { hdi_isfolder: "true" } });
    expect(keys(await list("az://data/set"))).toEqual(["a", "b"]);
  });

  test.each(["az://data/nothing", "az://data/nothing/", "az://other/a", "az://other"])(
    "nothing at %s is not-found",
    async (uri) => {
      container.put("set/a", "1");
      const fault = await faultOf(list(uri));
      expect([fault.kind, fault.message]).toEqual([
        "not-found",
        expect.stringContaining(`${double.endpoint}/${uri.slice(5)}`),
      ]);
    },
  );
});

describe("how it is pinned", () => {
  test("by version and ETag, with the MD5 that the store holds, as W&B digests it", async () => {
    container.put("set/a", "older");
    const { writtenAt, etag } = container.put("set/a", "hello");
    const options = listOptions();
    const [listed] = await collect(store.list("az://data/set", options));
    expect(listed).toEqual({
      key: "a",
      single: false,
      sizeBytes: 5,
      uri: `${double.endpoint}/data/set/a`,
      entryDigest: etag,
      pin: { versionId: writtenAt, etag },
      claims: [{ algorithm: "md5", value: "5d41402abc4b2a76b9719d911017c592", source: "checksum" }],
      mtimeMs: expect.any(Number) as number,
    });
    expect(etag).toMatch(/^0x8D[0-9A-F]+$/);
    expect(options.notices).toEqual([]);
    expect(await store.stat("az://data/set/a", options)).toEqual({ ...listed, single: true });
  });

  test("a blob that tells no MD5 claims nothing", async () => {
    container.put("a", "hello", { md5: null });
    expect(await list("az://data/a")).toMatchObject([{ claims: [] }]);
    expect(await list("az://data")).toMatchObject([{ claims: [] }]);
  });

  test("by ETag where no versions are kept, and says so once", async () => {
    container.keepsVersions = false;
    container.put("set/a", "1");
    container.put("set/b", "2");
    const options = listOptions();
    const listed = await collect(store.list("az://data/set", options));
    for (const { pin, entryDigest } of listed) expect(pin).toEqual({ etag: entryDigest });
    expect(options.notices).toEqual([expect.stringMatching(/the blobs have no version id.*ETag/)]);
  });

  test("blobs older than versioning are counted", async () => {
    container.keepsVersions = false;
    container.put("set/a", "1");
    container.keepsVersions = true;
    container.put("set/b", "2");
    const options = listOptions();
    await collect(store.list("az://data/set", options));
    expect(options.notices).toEqual([expect.stringContaining("1 of 2 blobs have no version id")]);
    const fault = await faultOf(list("az://data/set", { pinVersion: true }));
    expect([fault.kind, fault.message]).toEqual([
      "usage",
      expect.stringContaining("--pin version"),
    ]);
    expect(await list("az://data/set/b", { pinVersion: true })).toHaveLength(1);
  });

  test.each(["list", "stat"] as const)("a named version is exactly that one (%s)", async (how) => {
    const old = container.put("a", "old bytes");
    container.put("a", "new");
    const uri = `az://data/a?versionId=${old.writtenAt}`;
    const listed = how === "list" ? (await list(uri))[0] : await store.stat(uri, listOptions());
    expect(listed).toMatchObject({
      key: "a",
      single: true,
      sizeBytes: 9,
      uri: `${double.endpoint}/data/a`,
      entryDigest: old.etag,
      pin: { versionId: old.writtenAt, etag: old.etag },
    });
    if (listed !== undefined) {
      expect(String(await readAll(store, entryOf(listed)))).toBe("old bytes");
    }
  });

  test.each([
    ["versionId=2020-01-01T00:00:00.0000000Z", /BlobNotFound/],
    ["snapshot=2020-01-01T00:00:00.0000000Z", /BlobNotFound/],
  ])(
    "a missing ?%s is not-found, naming it, and is not taken for a prefix",
    async (query, message) => {
      container.put("a", "1");
      container.put("a/b", "1");
      const fault = await faultOf(list(`az://data/a?${query}`));
      expect([fault.kind, fault.message]).toEqual(["not-found", expect.stringMatching(message)]);
      expect(fault.message).toContain("2020-01-01");
    },
  );

  test("without checksums nothing is pinned, and the digest is the uri", async () => {
    container.put("set/a b", "1");
    const options = listOptions({ checksum: false });
    const uri = `${double.endpoint}/data/set/a b`;
    expect(await collect(store.list("az://data/set", options))).toMatchObject([
      { uri, entryDigest: uri, pin: {}, claims: [], sizeBytes: 1 },
    ]);
    expect(options.notices).toEqual([]);
  });

  test.each([
    ["az://data/a?versionId=1", { checksum: false }],
    ["az://data/a", { checksum: false, pinVersion: true }],
    ["az://data/set/?versionId=1", {}],
    ["az://data?snapshot=1", {}],
  ])("%s with %j is a contradiction", async (uri, options) => {
    expect((await faultOf(list(uri, options))).kind).toBe("usage");
    expect(double.requests).toEqual([]);
  });

  test("what is not a blob has no stat", async () => {
    expect((await faultOf(store.stat("az://data", listOptions()))).kind).toBe("usage");
    container.put("set/a", "1");
    expect((await faultOf(store.stat("az://data/set", listOptions()))).kind).toBe("not-found");
  });
});

describe("a listing that goes wrong", () => {
  const patient = async (change: () => void): Promise<number> => {
    const other = openAzureStore(double.environment, { retryTimeoutMs: 10_000 });
    try {
      change();
      return (await collect(other.list("az://data/set/", listOptions()))).length;
    } finally {
      await other.close();
    }
  };

  test.each([
    ["an overloaded store", { status: 503, code: "ServerBusy" }],
    ["too many requests", { status: 429, code: "TooManyRequests" }],
    ["an answer cut short", { resetAfterBytes: 500 }],
  ])("%s costs that page again, and no other", async (_what, accident) => {
    double.mostRows = 5;
    for (let index = 0; index < 12; index++) container.put(`set/${index}`, "x");
    const count = await patient(() => {
      double.upset({ operation: "ListBlobs" }, {}, 1);
      double.upset({ operation: "ListBlobs" }, accident, 2);
    });
    expect(count).toBe(12);
    expect(double.counts()).toEqual({ ListBlobs: 5 });
  });

  test.each([
    ["<html>Please log in</html>", /the answer is not Azure's/],
    ["no XML at all", /the answer is not Azure's/],
    ["<EnumerationResults><Blobs>", /the answer is not Azure's/],
    [
      '<EnumerationResults ServiceEndpoint="x" ContainerName="data"><Blobs /><NextMarker>again</NextMarker></EnumerationResults>',
      /repeats a page/,
    ],
  ])("%s instead of a listing is unavailable", async (text, message) => {
    const stranger = createServer((_request, response) => {
      response.setHeader("content-type", "application/xml");
      response.end(text);
    });
    stranger.listen(0, "127.0.0.1");
    await once(stranger, "listening");
    const { port } = stranger.address() as AddressInfo;
    const environment = { AZURE_STORAGE_BLOB_ENDPOINT: `http://127.0.0.1:${port}/acc` };
    const other = openAzureStore(environment, { retryTimeoutMs: 0 });
    const fault = await faultOf(collect(other.list("az://data/set/", listOptions())));
    expect([fault.kind, fault.message]).toEqual(["unavailable", expect.stringMatching(message)]);
    await other.close();
    stranger.close();
  });

  test.each([
    [
      403,
      "AuthorizationPermissionMismatch",
      "denied",
      /account key in .*Storage Blob Data Reader.*r and l/,
    ],
    [403, "AuthenticationFailed", "denied", /was not accepted/],
    [404, "ContainerNotFound", "not-found", /container does not exist/],
    [409, "ContainerBeingDeleted", "not-found", /container does not exist/],
    [400, "InvalidQueryParameterValue", "not-found", /no such version/],
    [400, "InvalidHeaderValue", "denied", /refused the request \(400 InvalidHeaderValue\)/],
    [501, "", "denied", /HTTP 501/],
    [307, "TemporaryRedirect", "denied", /refused the request/],
  ])("%i %s while listing is %s", async (status, code, kind, message) => {
    container.put("set/a", "1");
    double.upset(
      { operation: "ListBlobs" },
      { status, code, headers: { location: "http://127.0.0.1:9/" } },
    );
    const fault = await faultOf(list("az://data/set/"));
    expect([fault.kind, fault.message]).toEqual([kind, expect.stringMatching(message)]);
    expect(fault.subject).toBe(`${double.endpoint}/data/set/`);
    expect(double.requests).toHaveLength(1);
  });

  test("a name that is both a blob and a folder is told of as it is", async () => {
    container.put("set/a", "1");
    container.put("set/a/b", "2");
    expect(keys(await list("az://data/set"))).toEqual(["a", "a/b"]);
  });
});

describe("on azurite", () => {
  let azurite: Azurite;
  let environment: Environment;
  beforeAll(async () => {
    azurite = await startAzurite();
    ({ environment } = azurite);
  });
  afterAll(async () => {
    await azurite[Symbol.asyncDispose]();
  });

  test("a prefix with a stub and a snapshot are listed; a version is refused", async () => {
    const real = openAzureStore(environment, { retryTimeoutMs: 0 });
    const name = randomUUID();
    const client = azurite.client.getContainerClient(name);
    await client.create();
    const blob = client.getBlockBlobClient("dir/a");
    await blob.uploadData(Buffer.from("first"));
    const { snapshot = "" } = await blob.createSnapshot();
    await blob.uploadData(Buffer.from("second"));
    await client
      .getBlockBlobClient("dir")
      .uploadData(Buffer.alloc(0), { metadata: { hdi_isfolder: "true" } });

    expect(keys(await collect(real.list(`az://${name}/dir`, listOptions())))).toEqual(["a"]);
    const [old] = await collect(
      real.list(`az://${name}/dir/a?snapshot=${snapshot}`, listOptions()),
    );
    expect(old).toMatchObject({ pin: { snapshot }, sizeBytes: 5 });
    expect(old && String(await readAll(real, entryOf(old)))).toBe("first");

    // It answers with what is current, as if that were the version.
    const version = `az://${name}/dir/a?versionId=2020-01-01T00:00:00.0000000Z`;
    expect((await faultOf(collect(real.list(version, listOptions())))).kind).toBe("not-found");
    const strict = real.list(`az://${name}/dir`, listOptions({ pinVersion: true }));
    expect((await faultOf(collect(strict))).kind).toBe("usage");

    await real.close();
  });

  test("a wrong key is denied, and appears nowhere", async () => {
    const key = Buffer.from("not the key").toString("base64");
    const wrong = azurite.connectionString.replace(/AccountKey=[^;]*/, `AccountKey=${key}`);
    const real = openAzureStore({ AZURE_STORAGE_CONNECTION_STRING: wrong }, { retryTimeoutMs: 0 });
    const fault = await faultOf(collect(real.list("az://data/a", listOptions())));
    expect([fault.kind, fault.message]).toEqual([
      "denied",
      expect.stringMatching(/the account key in AZURE_STORAGE_CONNECTION_STRING/),
    ]);
    expect(JSON.stringify([fault, String(fault.cause)])).not.toContain(key);
    await real.close();
  });
});
