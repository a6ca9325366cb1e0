// The store of Google Cloud Storage against fake-gcs-server, by the contract that all stores keep, and
// by what of generations it has. It knows no metageneration, and its ETag is the MD5. Skipped where that
// server is not: it is no part of the machine.

import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Bucket } from "@google-cloud/storage";
import { openGcsStore } from "../../src/stores/gcs/store.js";
import { formatGcsUri } from "../../src/stores/gcs/uri.js";
import type { Store } from "../../src/stores/store.js";
import type { StoreUnderTest } from "../contract/store.js";
import {
  collect,
  entryOf,
  faultOf,
  listOptions,
  readAll,
  storeContract,
} from "../contract/store.js";
import type { FakeGcs } from "../support/fake-gcs.js";
import { fakeGcsProgram, startFakeGcs } from "../support/fake-gcs.js";
import { ODD_NAMES } from "../support/gcs-names.js";
import { sdkOf } from "../support/gcs-sdk.js";

const PROGRAM = fakeGcsProgram();

describe.skipIf(PROGRAM === undefined)("fake-gcs-server", () => {
  let server: FakeGcs;
  let store: Store;
  let buckets = 0;

  beforeAll(async () => {
    server = await startFakeGcs(PROGRAM ?? "");
    store = openGcsStore({ STORAGE_EMULATOR_HOST: server.host }, { retryTimeoutMs: 0 });
  });
  afterAll(async () => {
    await store.close();
    await server[Symbol.asyncDispose]();
  });

  async function makeBucket(versioned: boolean): Promise<Bucket> {
    const [bucket] = await sdkOf(server).createBucket(`bucket-${buckets++}`, {
      versioning: { enabled: versioned },
    });
    return bucket;
  }

  const make = async (versioned: boolean): Promise<StoreUnderTest> => {
    const bucket = await makeBucket(versioned);
    return {
      store,
      uri: (name) => formatGcsUri(bucket.name, name),
      put: (name, bytes) => bucket.file(name).save(Buffer.from(bytes), { resumable: false }),
      remove: async (name) => {
        await bucket.file(name).delete();
      },
      oddNames: ODD_NAMES,
      keepsVersions: versioned,
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  };
  storeContract("fake-gcs-server with versions", () => make(true));
  storeContract("fake-gcs-server without versions", () => make(false));

  test("a generation is listed and read after overwriting, and is not found when there is none", async () => {
    const bucket = await makeBucket(true);
    await bucket.file("k").save("old bytes", { resumable: false });
    const [{ generation = "" }] = await bucket.file("k").getMetadata();
    await bucket.file("k").save("new", { resumable: false });
    const uri = `gs://${bucket.name}/k`;
    const [old] = await collect(store.list(`${uri}#${generation}`, listOptions()));
    const entry = entryOf(old ?? expect.fail("nothing listed"));
    expect(entry).toMatchObject({ uri, sizeBytes: 9, pin: { generation: String(generation) } });
    expect(entry.claims.map(({ algorithm }) => algorithm)).toEqual(["md5", "crc32c"]);
    expect((await readAll(store, entry)).toString()).toBe("old bytes");
    expect((await readAll(store, entry, { start: 4, end: 9 })).toString()).toBe("bytes");
    const fault = await faultOf(collect(store.list(`${uri}#2`, listOptions())));
    expect([fault.kind, fault.message]).toEqual(["not-found", `Object does not exist: ${uri}#2`]);
  });

  test("what is stored gzipped is read as it is stored, whole and by ranges", async () => {
    const bucket = await makeBucket(false);
    const packed = gzipSync("the same again ".repeat(1_000));
    await bucket.file("k").save(packed, {
      resumable: false,
      metadata: { contentEncoding: "gzip", contentType: "text/plain" },
    });
    const [listed] = await collect(store.list(`gs://${bucket.name}/k`, listOptions()));
    const entry = entryOf(listed ?? expect.fail("nothing listed"));
    expect((await readAll(store, entry)).equals(packed)).toBe(true);
    const part = await readAll(store, entry, { start: 3, end: 20 });
    expect(part.equals(packed.subarray(3, 20))).toBe(true);
  });

  test("1,100 objects are listed in pages", async () => {
    const bucket = await makeBucket(false);
    const names = Array.from({ length: 1_100 }, (_, index) => `set/${index}`);
    for (let at = 0; at < names.length; at += 50) {
      await Promise.all(
        names
          .slice(at, at + 50)
          .map((name) => bucket.file(name).save("x", { resumable: false, validation: false })),
      );
    }
    const listed = await collect(store.list(`gs://${bucket.name}/set`, listOptions()));
    expect(new Set(listed.map(({ key }) => key)).size).toBe(1_100);
    expect(listed).toHaveLength(1_100);
  });
});
