// The S3 store against Ceph RGW, a real server with real versions: the contract, and what the double
// only imitates.

import {
  CompleteMultipartUploadCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  UploadPartCommand,
  type CompletedPart,
  type S3Client,
} from "@aws-sdk/client-s3";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { receive } from "../../src/cache/receive.js";
import { openS3Store } from "../../src/stores/s3/store.js";
import type { Store } from "../../src/stores/store.js";
import { formatS3Uri } from "../../src/stores/uri.js";
import { Folder } from "../cache/origin.js";
import type { StoreUnderTest } from "../contract/store.js";
import {
  collect,
  entryOf,
  faultOf,
  listOptions,
  readAll,
  storeContract,
} from "../contract/store.js";
import { lacks } from "../support/needs.js";
import type { Rgw } from "../support/rgw.js";
import { rgwClient, startRgw } from "../support/rgw.js";

const PART_BYTES = 5 * 1_048_576;

describe.skipIf(lacks("radosgw"))("Ceph RGW", () => {
  let rgw: Rgw;
  let client: S3Client;
  let store: Store;
  let buckets = 0;

  beforeAll(async () => {
    rgw = await startRgw();
    client = rgwClient(rgw);
    store = openS3Store(rgw.environment, {});
  });
  afterAll(async () => {
    await store.close();
    client.destroy();
    await rgw[Symbol.asyncDispose]();
  });

  async function makeBucket(versioned: boolean): Promise<string> {
    const Bucket = `bucket-${buckets++}`;
    await client.send(new CreateBucketCommand({ Bucket }));
    if (versioned) await setVersioning(Bucket, "Enabled");
    return Bucket;
  }

  const setVersioning = (Bucket: string, Status: "Enabled" | "Suspended"): Promise<unknown> =>
    client.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status } }));
  const put = (Bucket: string, Key: string, body: string | Uint8Array, type?: string) =>
    client.send(
      new PutObjectCommand({
        Bucket,
        Key,
        Body: typeof body === "string" ? Buffer.from(body) : body,
        ...(type === undefined ? {} : { ContentType: type }),
      }),
    );

  const make = async (versioned: boolean): Promise<StoreUnderTest> => {
    const bucket = await makeBucket(versioned);
    return {
      store,
      uri: (name) => formatS3Uri(bucket, name),
      put: async (name, bytes) => {
        await put(bucket, name, bytes);
      },
      remove: async (name) => {
        await client.send(new DeleteObjectCommand({ Bucket: bucket, Key: name }));
      },
      oddNames: [
        "a#b",
        "a?b",
        "a%20b",
        "a%3Fb",
        "100%",
        "with space",
        "plus+plus",
        "umlaut-\u00e4",
        "astral-\u{1f600}",
        "a//b",
        "trailing.",
        "trailing..",
        "quote'\"<&>",
        "(!*)",
        "back\\slash",
        "x?versionId=1",
      ],
      keepsVersions: versioned,
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  };
  storeContract("RGW with versions", () => make(true));
  storeContract("RGW without versions", () => make(false));

  test("an old version is read after overwriting and deleting, and drifts when it is deleted", async () => {
    const bucket = await makeBucket(true);
    const { VersionId } = await put(bucket, "k", "old bytes");
    const [listed] = await collect(store.list(`s3://${bucket}/k`, listOptions()));
    expect(listed?.pin.versionId).toBe(VersionId);
    await put(bucket, "k", "new");
    await client.send(new DeleteObjectCommand({ Bucket: bucket, Key: "k" }));
    const entry = entryOf(listed ?? expect.fail("nothing listed"));
    expect((await readAll(store, entry)).toString()).toBe("old bytes");
    expect((await readAll(store, entry, { start: 4, end: 9 })).toString()).toBe("bytes");
    await client.send(
      new DeleteObjectCommand({ Bucket: bucket, Key: "k", ...(VersionId && { VersionId }) }),
    );
    expect((await faultOf(readAll(store, entry))).kind).toBe("drifted");
  });

  test("objects of a suspended bucket are pinned by null and their ETag", async () => {
    const bucket = await makeBucket(true);
    await put(bucket, "kept", "1");
    await setVersioning(bucket, "Suspended");
    await put(bucket, "k", "before");
    const options = listOptions();
    const listed = await collect(store.list(`s3://${bucket}/`, options));
    const entry = entryOf(listed.find(({ key }) => key === "k") ?? expect.fail("not listed"));
    expect(entry.pin.versionId).toBe("null");
    expect(options.notices.join()).toContain("1 of 2 objects have no version id");
    expect((await readAll(store, entry)).toString()).toBe("before");
    await put(bucket, "k", "after!");
    expect((await faultOf(readAll(store, entry))).kind).toBe("drifted");
  });

  test("1,100 objects with old versions and delete markers are listed in pages", async () => {
    const bucket = await makeBucket(true);
    const keys = Array.from(
      { length: 1_100 },
      (_, index) => `set/${String(index).padStart(5, "0")}`,
    );
    for (let at = 0; at < keys.length; at += 32) {
      await Promise.all(keys.slice(at, at + 32).map((key) => put(bucket, key, key)));
    }
    await put(bucket, "set/00999", "again");
    await client.send(new DeleteObjectCommand({ Bucket: bucket, Key: "set/00500" }));
    const listed = await collect(store.list(`s3://${bucket}/set`, listOptions()));
    expect(listed).toHaveLength(1_099);
    expect(new Set(listed.map(({ key }) => key)).size).toBe(1_099);
    expect(listed.find(({ key }) => key === "00999")?.sizeBytes).toBe(5);
  });

  test("a directory marker is recognised by its content type", async () => {
    const bucket = await makeBucket(true);
    await put(bucket, "dir", "", "application/x-directory");
    await put(bucket, "dir/a", "1");
    const listed = await collect(store.list(`s3://${bucket}/dir`, listOptions()));
    expect(listed.map(({ key }) => key)).toEqual(["a"]);
  });

  test("an upload in parts is read; whether its ETag counts depends on what RGW tells of parts", async () => {
    const bucket = await makeBucket(true);
    const bytes = randomBytes(2 * PART_BYTES + 1_000);
    const place = { Bucket: bucket, Key: "k" };
    const { UploadId } = await client.send(new CreateMultipartUploadCommand(place));
    const Parts: CompletedPart[] = [];
    for (let at = 0; at < bytes.length; at += PART_BYTES) {
      const PartNumber = Parts.length + 1;
      const part = { ...place, UploadId, PartNumber, Body: bytes.subarray(at, at + PART_BYTES) };
      const { ETag } = await client.send(new UploadPartCommand(part));
      Parts.push({ PartNumber, ETag });
    }
    const whole = { ...place, UploadId, MultipartUpload: { Parts } };
    await client.send(new CompleteMultipartUploadCommand(whole));
    const [listed] = await collect(store.list(`s3://${bucket}/k`, listOptions()));
    const entry = entryOf(listed ?? expect.fail("nothing listed"));
    expect(entry.claims).toMatchObject([{ algorithm: "md5", ofParts: true }]);
    const { signal } = new AbortController();
    const { parts } = await store.fetch(entry, null, signal).then(async (fetched) => {
      await fetched[Symbol.asyncDispose]();
      return fetched;
    });
    using folder = new Folder();
    const options = { observed: null, timeoutMs: 20_000, signal };
    const received = await receive(entry, store.fetch, join(folder.path, "k"), options);
    expect(readFileSync(join(folder.path, "k")).equals(bytes)).toBe(true);
    // Older versions answer with the whole object.
    expect(received.assurance).toBe(parts === undefined ? "pin" : "provider");
  });

  test("wrong keys are denied", async () => {
    const bucket = await makeBucket(true);
    const wrong = openS3Store({ ...rgw.environment, AWS_SECRET_ACCESS_KEY: "wrong" }, {});
    const fault = await faultOf(collect(wrong.list(`s3://${bucket}/`, listOptions())));
    expect(fault.kind).toBe("denied");
    await wrong.close();
  });
});
