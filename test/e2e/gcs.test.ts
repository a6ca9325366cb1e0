// The whole job on Google Cloud Storage: the built command line, a real daemon and kernel, and a double
// in this process that Google's own SDK fills. What goes wrong on the way is in gcs-bad-luck.test.ts.

import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import type { Bucket } from "@google-cloud/storage";
import { describe, expect, test } from "vitest";
import type { GcsBucket, GcsDouble } from "../support/gcs-double.js";
import { startGcsDouble } from "../support/gcs-double.js";
import { sdkOf } from "../support/gcs-sdk.js";
import { needs } from "../support/needs.js";
import { complaintOf, readFileElsewhere, run } from "../support/reader.js";
import { Rig, type Outcome } from "../support/rig.js";
import { statusOf } from "../support/status.js";

const LARGE = randomBytes(20_000_000);

/** A rig whose commands talk to a double of their own. */
class World implements AsyncDisposable {
  readonly rig: Rig;
  readonly double: GcsDouble;
  readonly data: GcsBucket;
  /** The same bucket for Google's SDK. */
  readonly sdk: Bucket;

  private constructor(rig: Rig, double: GcsDouble, versioning: boolean) {
    this.rig = rig;
    this.double = double;
    this.data = double.bucket("data", versioning);
    this.sdk = sdkOf(double).bucket("data");
  }

  static async create(versioning = true): Promise<World> {
    const double = await startGcsDouble();
    return new World(await Rig.create(double.environment), double, versioning);
  }

  save(name: string, body: string | Buffer, more = {}): Promise<void> {
    return this.sdk.file(name).save(Buffer.from(body), { resumable: false, ...more });
  }

  /** Logs `demo` from one source that must do. */
  log(ref: string, ...options: readonly string[]): Promise<string> {
    return this.rig.ok("log", "demo", "--type", "dataset", "--ref", ref, ...options);
  }

  tryLog(ref: string, ...options: readonly string[]): Promise<Outcome> {
    return this.rig.run("log", "demo", "--type", "dataset", "--ref", ref, ...options);
  }

  fetches(key: string): number {
    return this.double.requests.filter((seen) => seen.operation === "media" && seen.key === key)
      .length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.rig[Symbol.asyncDispose]();
    await this.double[Symbol.asyncDispose]();
  }
}

/** The paths of all files below `dir`, found by another process. */
async function filesBelow(dir: string): Promise<string[]> {
  const found = await run("find", dir, "-type", "f", "-printf", "%P\\0");
  return String(found).split("\0").slice(0, -1).sort();
}

async function attribute(name: string, path: string): Promise<string> {
  return String(await run("getfattr", "--only-values", "-n", `user.refmount.${name}`, path));
}

describe.runIf(needs("fuse", "addon", "root"))("log from Google Cloud Storage", () => {
  test("takes a prefix with one request, without its siblings and folder markers", async () => {
    await using world = await World.create();
    await world.save("sets/mnist/", "");
    await world.save("sets/mnist/train/", "");
    await world.save("sets/mnist/train/a.bin", "aaa");
    await world.save("sets/mnist/empty", "");
    await world.save("sets/mnist2/b.bin", "bbb");
    await world.save("sets/mnist.txt", "ccc");
    await world.save("sets/mnist/deleted", "ddd");
    await world.sdk.file("sets/mnist/deleted").delete();
    for (const ref of ["gs://data/sets/mnist/", "gcs://data/sets/mnist"]) {
      world.double.requests.length = 0;
      await world.log(ref);
      expect(world.double.counts()).toEqual({ list: 1 });
    }
    expect(await world.rig.json("ls", "demo:v0")).toMatchObject({
      entries: [{ name: "empty" }, { name: "train" }],
    });
    expect(await world.rig.ok("show", "demo:v0")).toMatch(/provider/);
    const dir = await world.rig.mount("demo:v0", "mnt");
    expect(await filesBelow(dir)).toEqual(["empty", "train/a.bin"]);
    expect(String(await readFileElsewhere(join(dir, "train/a.bin")))).toBe("aaa");
    expect((await readFileElsewhere(join(dir, "empty"))).length).toBe(0);
    expect(await attribute("uri", join(dir, "train/a.bin"))).toBe(
      "gs://data/sets/mnist/train/a.bin",
    );
    expect(await attribute("pin", join(dir, "train/a.bin"))).toMatch(/"generation":"\d+"/);
  });

  test("takes an object, one generation of an object, and a composed object", async () => {
    await using world = await World.create();
    await world.save("one.bin", "old");
    const [{ generation = "" }] = await world.sdk.file("one.bin").getMetadata();
    await world.save("one.bin", "new");
    await world.sdk.combine(["one.bin", "one.bin"], "both.bin");
    const report = await world.rig.json<{ files: number; bytes: number }>(
      ...["log", "mix", "--type", "t", "--ref", "gs://data/one.bin"],
      ...["--ref", `old/one.bin=gs://data/one.bin#${generation}`],
      ...["--ref", "gs://data/both.bin", "--pin", "version"],
    );
    expect(report).toMatchObject({ files: 3, bytes: 12, created: true });
    const dir = await world.rig.mount("mix", "mnt", "--require", "provider");
    expect(String(await readFileElsewhere(join(dir, "one.bin")))).toBe("new");
    expect(String(await readFileElsewhere(join(dir, "old/one.bin")))).toBe("old");
    expect(String(await readFileElsewhere(join(dir, "both.bin")))).toBe("newnew");
    const missing = await world.tryLog("gs://data/one.bin#2");
    expect(missing).toMatchObject({ code: 3, stdout: "" });
    expect(missing.stderr).toContain("Object does not exist: gs://data/one.bin#2");
  });

  test("brings odd keys through listing, manifest and mount unchanged", async () => {
    await using world = await World.create();
    const keys = [
      ...["#", "a#1", "?", "?generation=1", "100%", "%41", "%231", "a b", " lead", "trail "],
      ...["dot.", "a+b", "<&>\"'", "back\\slash", "(~*!)", "a=b", "gs:", "ü", "日本/語", "😀"],
      ...["x".repeat(255), "-rf", "tab\t", "a/b//c"],
    ];
    for (const key of keys) world.data.put(`odd/${key}`, `bytes of ${key}`);
    await world.log("gs://data/odd");
    const dir = await world.rig.mount("demo", "mnt");
    const paths = keys.map((key) => key.replaceAll("//", "/"));
    expect(await filesBelow(dir)).toEqual([...paths].sort());
    for (const key of keys) {
      const path = join(dir, key.replaceAll("//", "/"));
      expect(String(await readFileElsewhere(path))).toBe(`bytes of ${key}`);
    }
  });

  test("with --hash records SHA-256, and equal objects are then fetched once", async () => {
    await using world = await World.create();
    for (const name of ["set/one", "set/two"]) world.data.put(name, LARGE);
    await world.log("gs://data/set", "--hash");
    world.double.requests.length = 0;
    const dir = await world.rig.mount("demo", "mnt", "--require", "content");
    for (const name of ["one", "two"]) {
      expect((await readFileElsewhere(join(dir, name))).equals(LARGE)).toBe(true);
    }
    expect(await attribute("assurance", join(dir, "two"))).toBe("content");
    expect(world.fetches("set/one") > 0 && world.fetches("set/two") > 0).toBe(false);
  });

  test("with --no-checksum pins nothing, and is mounted with --require none only", async () => {
    await using world = await World.create();
    await world.save("set/a", "first");
    await world.log("gs://data/set", "--no-checksum");
    await world.save("set/a", "later");
    await world.rig.tree("mnt", {});
    const refused = await world.rig.run("mount", "demo", world.rig.path("mnt"));
    expect(refused).toMatchObject({ code: 2 });
    expect(refused.stderr).toMatch(/a \(none\)/);
    const dir = await world.rig.mount("demo", "mnt", "--require", "none");
    expect(String(await readFileElsewhere(join(dir, "a")))).toBe("later");
    expect(await attribute("assurance", join(dir, "a"))).toBe("none");
  });

  test("refuses too many objects, none at all and what names no bucket, and logs nothing then", async () => {
    await using world = await World.create();
    for (let index = 0; index < 11; index++) world.data.put(`set/${index}`, "x");
    const many = await world.tryLog("gs://data/set", "--max-objects", "10");
    expect(many).toMatchObject({ code: 2 });
    expect(many.stderr).toMatch(/More than 10 objects.*--max-objects/);
    for (const ref of ["gs://data/nothing", "gs://data/se", "gs://no-such-bucket/set"]) {
      const none = await world.tryLog(ref);
      expect(none).toMatchObject({ code: 3, stdout: "" });
      expect(none.stderr).toContain(ref);
    }
    expect((await world.tryLog("gs://data/set?x=y")).code).toBe(2);
    expect(await world.rig.json("ls")).toMatchObject({ collections: [] });
  });
});

describe.runIf(needs("fuse", "addon", "root"))("a version from Google Cloud Storage", () => {
  test.each(["cached", "passthrough"])(
    "is served as logged from kept generations, whatever became of metadata (%s)",
    async (io) => {
      await using world = await World.create();
      world.data.put("set/overwritten", LARGE);
      await world.save("set/deleted", "deleted later");
      await world.save("set/described", "described anew");
      await world.log("gs://data/set");
      world.data.put("set/overwritten", randomBytes(LARGE.length));
      await world.sdk.file("set/deleted").delete();
      await world.sdk.file("set/described").setMetadata({ metadata: { note: "new" } });
      const dir = await world.rig.mount("demo", "mnt", "--io", io);
      expect((await readFileElsewhere(join(dir, "overwritten"))).equals(LARGE)).toBe(true);
      expect(String(await readFileElsewhere(join(dir, "deleted")))).toBe("deleted later");
      expect(String(await readFileElsewhere(join(dir, "described")))).toBe("described anew");
      expect(await attribute("assurance", join(dir, "overwritten"))).toBe("provider");
      expect((await statusOf(world.rig)).errors).toEqual([]);
    },
  );

  test("is refused with ESTALE where the bucket kept nothing", async () => {
    await using world = await World.create(false);
    for (const name of ["same", "overwritten", "deleted"]) await world.save(`set/${name}`, name);
    await world.log("gs://data/set");
    await world.save("set/overwritten", "overwrittex");
    await world.sdk.file("set/deleted").delete();
    await world.sdk.file("set/same").setMetadata({ metadata: { note: "new" } });
    const dir = await world.rig.mount("demo", "mnt");
    for (const name of ["overwritten", "deleted"]) {
      expect(await complaintOf(join(dir, name))).toMatch(/Stale file handle/);
      expect((await statusOf(world.rig)).errors[0]).toMatchObject({
        kind: "drifted",
        path: name,
        message: expect.stringMatching(/generation \d+ is gone/) as string,
        subject: expect.stringContaining(`gs://data/set/${name}#`) as string,
      });
    }
    expect(String(await readFileElsewhere(join(dir, "same")))).toBe("same");
    const copied = await world.rig.run("download", "demo", world.rig.path("copy"));
    expect(copied.code).toBe(5);
  });

  test("holds the stored bytes of what is stored gzipped, and nothing of what is unpacked", async () => {
    await using world = await World.create();
    const packed = gzipSync(randomBytes(100_000).toString("hex"));
    const encoded = (contentType: string) => ({
      metadata: { contentEncoding: "gzip", contentType },
    });
    await world.save("set/text", packed, encoded("text/plain"));
    await world.save("set/twice", packed, encoded("application/gzip"));
    await world.log("gs://data/set");
    const dir = await world.rig.mount("demo", "mnt");
    expect((await readFileElsewhere(join(dir, "text"))).equals(packed)).toBe(true);
    expect(await complaintOf(join(dir, "twice"))).toMatch(/Input\/output error/);
    const [error] = (await statusOf(world.rig)).errors;
    expect(error).toMatchObject({ kind: "corrupt", path: "twice" });
    expect(error?.message).toMatch(/gunzipped.*no-transform/);
    await world.sdk.file("set/twice").setMetadata({ cacheControl: "no-transform" });
    await expect.poll(() => complaintOf(join(dir, "twice")), { timeout: 8_000 }).toBe("read");
    expect((await readFileElsewhere(join(dir, "twice"))).equals(packed)).toBe(true);
  });

  test("is downloaded, and a second download fetches nothing", async () => {
    await using world = await World.create();
    world.data.put("set/large", LARGE);
    await world.save("set/deep/small", "small");
    await world.log("gs://data/set");
    await world.save("set/deep/small", "other");
    const copy = world.rig.path("copy");
    const report = await world.rig.json("download", "demo", copy);
    expect(report).toMatchObject({ files: 2, fetched: 2, kept: 0, missing: [] });
    expect(readFileSync(join(copy, "large")).equals(LARGE)).toBe(true);
    expect(String(readFileSync(join(copy, "deep/small")))).toBe("small");
    world.double.requests.length = 0;
    expect(await world.rig.json("download", "demo", copy)).toMatchObject({ fetched: 0, kept: 2 });
    expect(world.double.requests).toEqual([]);
  });
});
