// The whole job on a real S3 server: Ceph RGW with real versions, the built command line, the kernel.

import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  type S3Client,
} from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { needs } from "../support/needs.js";
import { complaintOf, readFileElsewhere } from "../support/reader.js";
import { Rig } from "../support/rig.js";
import { rgwClient, startRgw, type Rgw } from "../support/rgw.js";
import { statusOf } from "../support/status.js";

const LARGE = randomBytes(20_000_000);
const ODD = ["a b", "#?%41+&", "ü/日本", "dot."];

describe.runIf(needs("fuse", "addon", "root", "radosgw"))("on Ceph RGW, a version", () => {
  let rgw: Rgw;
  let client: S3Client;

  beforeAll(async () => {
    rgw = await startRgw();
    client = rgwClient(rgw);
  });

  afterAll(async () => {
    client.destroy();
    await rgw[Symbol.asyncDispose]();
  });

  const put = (Bucket: string, Key: string, Body: Buffer | string): Promise<unknown> =>
    client.send(new PutObjectCommand({ Bucket, Key, Body }));

  async function makeBucket(Bucket: string, versioned: boolean): Promise<void> {
    await client.send(new CreateBucketCommand({ Bucket }));
    if (!versioned) return;
    const VersioningConfiguration = { Status: "Enabled" } as const;
    await client.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration }));
  }

  test("is logged, mounted and read as it was, whatever happens to the objects", async () => {
    await makeBucket("kept", true);
    await put("kept", "set/large", LARGE);
    await put("kept", "set/small", "small");
    await put("kept", "set/empty", "");
    await put("kept", "set2/other", "other");
    for (const name of ODD) await put("kept", `set/odd/${name}`, `bytes of ${name}`);
    await using rig = await Rig.create(rgw.environment);
    const report = await rig.json("log", "demo", "--type", "t", "--ref", "s3://kept/set");
    expect(report).toMatchObject({ ref: "demo:v0", files: 3 + ODD.length });
    await put("kept", "set/large", randomBytes(LARGE.length));
    await client.send(new DeleteObjectCommand({ Bucket: "kept", Key: "set/small" }));

    const dir = await rig.mount("demo", "mnt", "--require", "provider");
    expect((await readFileElsewhere(join(dir, "large"))).equals(LARGE)).toBe(true);
    expect(String(await readFileElsewhere(join(dir, "small")))).toBe("small");
    expect((await readFileElsewhere(join(dir, "empty"))).length).toBe(0);
    for (const name of ODD) {
      expect(String(await readFileElsewhere(join(dir, "odd", name)))).toBe(`bytes of ${name}`);
    }
    await rig.ok("download", "demo:v0", rig.path("copy"));
    expect(readFileSync(rig.path("copy/large")).equals(LARGE)).toBe(true);
    expect((await statusOf(rig)).errors).toEqual([]);
  });

  test("of a bucket without versions is refused where objects were overwritten", async () => {
    await makeBucket("plain", false);
    await put("plain", "set/same", "same");
    await put("plain", "set/other", "other");
    await put("plain", "set/gone", "gone");
    await using rig = await Rig.create(rgw.environment);
    await rig.ok("log", "demo", "--type", "t", "--ref", "s3://plain/set");
    await put("plain", "set/other", "OTHER");
    await client.send(new DeleteObjectCommand({ Bucket: "plain", Key: "set/gone" }));
    const dir = await rig.mount("demo", "mnt");
    expect(String(await readFileElsewhere(join(dir, "same")))).toBe("same");
    for (const name of ["other", "gone"]) {
      expect(await complaintOf(join(dir, name))).toMatch(/Stale file handle/);
    }
  });

  test("with the wrong credentials is refused with EACCES", async () => {
    await makeBucket("closed", true);
    await put("closed", "set/a", "a");
    await using rig = await Rig.create(rgw.environment);
    await rig.ok("log", "demo", "--type", "t", "--ref", "s3://closed/set");
    const dir = await rig.tree("mnt", {});
    const environment = { AWS_SECRET_ACCESS_KEY: "wrong" };
    const mounted = await rig.start(["mount", "demo", dir], { environment }).ended;
    expect(mounted).toMatchObject({ code: 0 });
    expect(await complaintOf(join(dir, "a"))).toMatch(/Permission denied/);
    expect((await statusOf(rig)).errors[0]).toMatchObject({ kind: "denied", path: "a" });
  });
});
