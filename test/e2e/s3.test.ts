// The whole job on S3: the built command line, a real daemon and kernel, and a double of S3 in this
// process. What goes wrong on the way is in s3-bad-luck.test.ts.

import { createHash, randomBytes } from "node:crypto";
import { rm } from "node:fs/promises";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { needs } from "../support/needs.js";
import { complaintOf, readFileElsewhere, run } from "../support/reader.js";
import { Rig, type Outcome } from "../support/rig.js";
import { startS3Double, type S3Double } from "../support/s3-double.js";
import { statusOf, until } from "../support/status.js";

const LARGE = randomBytes(20_000_000);

/** A rig whose commands talk to a double of their own. */
class World implements AsyncDisposable {
  readonly rig: Rig;
  readonly double: S3Double;

  private constructor(rig: Rig, double: S3Double) {
    this.rig = rig;
    this.double = double;
  }

  static async create(): Promise<World> {
    const double = await startS3Double();
    return new World(await Rig.create(double.environment), double);
  }

  /** Logs `demo` from one source that must do. */
  async log(ref: string, ...options: readonly string[]): Promise<string> {
    return this.rig.ok("log", "demo", "--type", "dataset", "--ref", ref, ...options);
  }

  tryLog(ref: string, ...options: readonly string[]): Promise<Outcome> {
    return this.rig.run("log", "demo", "--type", "dataset", "--ref", ref, ...options);
  }

  gets(key: string): number {
    const { requests } = this.double;
    return requests.filter((seen) => seen.operation === "GetObject" && seen.key === key).length;
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

/** Throws away every blob, but not what was learnt; the daemon must be down. */
async function emptyCache(rig: Rig): Promise<void> {
  await expect.poll(() => rig.processes(), { timeout: 10_000 }).toEqual([]);
  await rm(rig.path("home/cache/blobs"), { recursive: true });
}

describe.runIf(needs("fuse", "addon", "root"))("log from S3", () => {
  test("takes a prefix with one request, without its siblings and directory markers", async () => {
    await using world = await World.create();
    const bucket = world.double.bucket("data");
    bucket.put("sets/mnist/", "", { contentType: "application/x-directory" });
    bucket.put("sets/mnist/train/", "");
    bucket.put("sets/mnist/train/a.bin", "aaa");
    bucket.put("sets/mnist/empty", "");
    bucket.put("sets/mnist2/b.bin", "bbb");
    bucket.put("sets/mnist.txt", "ccc");
    bucket.put("sets/mnist/deleted", "ddd");
    bucket.delete("sets/mnist/deleted");
    for (const ref of ["s3://data/sets/mnist/", "s3://data/sets/mnist"]) {
      world.double.requests.length = 0;
      await world.log(ref);
      expect(world.double.counts()).toEqual({ ListObjectVersions: 1 });
    }
    const dir = await world.rig.mount("demo:v0", "mnt");
    expect(await filesBelow(dir)).toEqual(["empty", "train/a.bin"]);
    expect(String(await readFileElsewhere(join(dir, "train/a.bin")))).toBe("aaa");
    expect((await readFileElsewhere(join(dir, "empty"))).length).toBe(0);
  });

  test("takes objects, one version of an object and prefixes into one artifact", async () => {
    await using world = await World.create();
    const bucket = world.double.bucket("data");
    const old = bucket.put("one.bin", "old");
    bucket.put("one.bin", "new");
    bucket.put("set/a", "a");
    bucket.put("set/b/c", "c");
    const report = await world.rig.json<{ files: number; bytes: number }>(
      ...["log", "mix", "--type", "t", "--ref", "s3://data/one.bin"],
      ...["--ref", `old/one.bin=s3://data/one.bin?versionId=${old.versionId}`],
      ...["--ref", "train=s3://data/set"],
    );
    expect(report).toMatchObject({ files: 4, bytes: 8, created: true });
    const dir = await world.rig.mount("mix", "mnt");
    expect(await filesBelow(dir)).toEqual(["old/one.bin", "one.bin", "train/a", "train/b/c"]);
    expect(String(await readFileElsewhere(join(dir, "one.bin")))).toBe("new");
    expect(String(await readFileElsewhere(join(dir, "old/one.bin")))).toBe("old");
    expect(String(await readFileElsewhere(join(dir, "train/b/c")))).toBe("c");
  });

  test("brings odd keys through listing, manifest and mount unchanged", async () => {
    await using world = await World.create();
    const bucket = world.double.bucket("data");
    const keys = [
      ...["#", "?", "?versionId=x", "100%", "%41", "%2F", "a b", " lead", "trail ", "dot.", "..."],
      ...["a+b", "<&>\"'", "new\nline", "back\\slash", "(~*!)", "a=b", "s3:", "ü", "日本/語", "😀"],
      ...["u\u0308", "x".repeat(255), "deep/".repeat(50) + "end", "-rf", "tab\t", "a/b//c"],
    ];
    for (const key of keys) bucket.put(`odd/${key}`, `bytes of ${key}`);
    await world.log("s3://data/odd");
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
    const bucket = world.double.bucket("data");
    bucket.put("set/one", LARGE);
    bucket.put("set/two", LARGE);
    bucket.put("set/small", "small");
    await world.log("s3://data/set", "--hash");
    expect(await world.rig.json("ls", "demo:v0")).toMatchObject({
      entries: ["one", "small", "two"].map((name) => ({ name, assurance: "content" })),
    });
    world.double.requests.length = 0;
    const dir = await world.rig.mount("demo", "mnt", "--require", "content");
    for (const name of ["one", "two"]) {
      expect((await readFileElsewhere(join(dir, name))).equals(LARGE)).toBe(true);
    }
    const sha256 = createHash("sha256").update(LARGE).digest("hex");
    expect(await attribute("sha256", join(dir, "two"))).toBe(sha256);
    expect(await attribute("assurance", join(dir, "two"))).toBe("content");
    expect(world.gets("set/one") > 0 && world.gets("set/two") > 0).toBe(false);
    expect((await statusOf(world.rig)).cache).toMatchObject({ usedBytes: LARGE.length, misses: 1 });
  });

  test("with --no-checksum pins nothing, and is mounted with --require none only", async () => {
    await using world = await World.create();
    const bucket = world.double.bucket("data");
    bucket.put("set/a", "first");
    bucket.put("set/b", "other");
    await world.log("s3://data/set", "--no-checksum");
    bucket.put("set/a", "later");
    await world.rig.tree("mnt", {});
    const refused = await world.rig.run("mount", "demo", world.rig.path("mnt"));
    expect(refused).toMatchObject({ code: 2 });
    expect(refused.stderr).toMatch(/a \(none\)/);
    const dir = await world.rig.mount("demo", "mnt", "--require", "none");
    expect(String(await readFileElsewhere(join(dir, "a")))).toBe("later");
    expect(await attribute("assurance", join(dir, "a"))).toBe("none");
    bucket.put("set/b", "another size");
    expect(await complaintOf(join(dir, "b"))).toMatch(/Stale file handle/);
  });

  test("with --pin version refuses a bucket without versions, and takes one with them", async () => {
    await using world = await World.create();
    world.double.bucket("plain", "never").put("set/a", "a");
    world.double.bucket("kept").put("set/a", "a");
    const refused = await world.tryLog("s3://plain/set", "--pin", "version");
    expect(refused).toMatchObject({ code: 2, stdout: "" });
    expect(refused.stderr).toMatch(/--pin version/);
    expect((await world.rig.run("show", "demo")).code).toBe(3);
    await world.log("s3://kept/set", "--pin", "version");
  });

  test("refuses too many objects and none at all, and logs nothing then", async () => {
    await using world = await World.create();
    const bucket = world.double.bucket("data");
    for (let index = 0; index < 11; index++) bucket.put(`set/${index}`, "x");
    const many = await world.tryLog("s3://data/set", "--max-objects", "10");
    expect(many).toMatchObject({ code: 2 });
    expect(many.stderr).toMatch(/More than 10 objects.*--max-objects/);
    for (const ref of ["s3://data/nothing", "s3://data/se", "s3://no-such-bucket/set"]) {
      const none = await world.tryLog(ref);
      expect(none).toMatchObject({ code: 3, stdout: "" });
      expect(none.stderr).toContain(ref);
    }
    expect(await world.rig.json("ls")).toMatchObject({ collections: [] });
    await world.log("s3://data/set", "--max-objects", "11");
  });

  test.each([
    { status: 403, code: "AccessDenied" },
    { status: 501, code: "NotImplemented" },
    { status: 405, code: "MethodNotAllowed" },
  ])("pins by ETag with a warning where versions cannot be listed ($code)", async (refusal) => {
    await using world = await World.create();
    const bucket = world.double.bucket("data");
    bucket.put("set/a", "first");
    bucket.put("set/b", "other");
    world.double.upset({ operation: "ListObjectVersions" }, refusal, Infinity);
    const strict = await world.tryLog("s3://data/set", "--pin", "version");
    expect([2, 4]).toContain(strict.code);
    const { code, stderr } = await world.tryLog("s3://data/set");
    expect({ code, stderr }).toMatchObject({ code: 0 });
    expect(stderr).toMatch(/ETag/);
    const dir = await world.rig.mount("demo", "mnt");
    expect(String(await readFileElsewhere(join(dir, "a")))).toBe("first");
    bucket.put("set/b", "newer");
    expect(await complaintOf(join(dir, "b"))).toMatch(/Stale file handle/);
  });

  test("waits for a store that does not answer, says so, and goes on when it does", async () => {
    await using world = await World.create();
    world.double.bucket("data").put("set/a", "a");
    await world.double.stop();
    const args = ["log", "demo", "--type", "dataset", "--ref", "s3://data/set"];
    const logging = world.rig.start(args);
    await logging.output(/the connection was refused; trying again for up to 60 s/);
    await world.double.resume();
    expect(await logging.ended).toMatchObject({ code: 0 });
  });

  test.each(["ListObjectVersions", "GetBucketVersioning", "ListObjectsV2"] as const)(
    "is not stopped by an overloaded store (%s)",
    async (operation) => {
      await using world = await World.create();
      const bucket = world.double.bucket("data", "never");
      for (let index = 0; index < 1_001; index++) bucket.put(`set/${index}`, "x");
      world.double.upset({ operation }, { status: 503, code: "SlowDown" }, 2);
      expect(await world.log("s3://data/set")).toMatch(/1,001 files/);
    },
  );

  test("an interrupted log leaves no version and no file", async () => {
    await using world = await World.create();
    const bucket = world.double.bucket("data");
    for (let index = 0; index < 50; index++) bucket.put(`set/${index}`, `object ${index}`);
    const held = world.double.hold({ operation: "GetObject", key: "set/49" });
    const args = ["log", "demo", "--type", "dataset", "--ref", "s3://data/set", "--hash"];
    const logging = world.rig.start(args);
    await logging.until(held.arrived);
    logging.child.kill("SIGINT");
    expect(await logging.ended).toMatchObject({ code: 130, stdout: "" });
    held.release();
    expect((await world.rig.run("show", "demo")).code).toBe(3);
    expect(String(await run("find", world.rig.path("home/manifests"), "-type", "f"))).toBe("");
  });

  test("credentials appear in no file of refmount's", async () => {
    await using world = await World.create();
    const { secretAccessKey } = world.double.keys;
    world.double.bucket("data").put("set/a", "first");
    world.double.bucket("data").put("set/b", "second");
    await world.log("s3://data/set");
    const dir = await world.rig.mount("demo", "mnt");
    await readFileElsewhere(join(dir, "a"));
    world.double.keys = { accessKeyId: "AKOTHER", secretAccessKey: "another" };
    expect(await complaintOf(join(dir, "b"))).toMatch(/Permission denied/);
    expect((await world.rig.run("download", "demo", world.rig.path("copy"))).code).toBe(4);
    const search = 'grep -rlF -- "$1" "$2" || test $? = 1';
    expect(String(await run("sh", "-c", search, "sh", secretAccessKey, world.rig.home))).toBe("");
  });
});

describe.runIf(needs("fuse", "addon", "root"))("a version from S3", () => {
  test.each(["cached", "passthrough"])("is served as logged from versions (%s)", async (io) => {
    await using world = await World.create();
    const bucket = world.double.bucket("data");
    bucket.put("set/overwritten", LARGE);
    bucket.put("set/deleted", "deleted later");
    await world.log("s3://data/set");
    bucket.put("set/overwritten", randomBytes(LARGE.length));
    bucket.delete("set/deleted");
    const dir = await world.rig.mount("demo", "mnt", "--io", io);
    expect((await readFileElsewhere(join(dir, "overwritten"))).equals(LARGE)).toBe(true);
    expect(String(await readFileElsewhere(join(dir, "deleted")))).toBe("deleted later");
    expect(await attribute("assurance", join(dir, "overwritten"))).toBe("provider");
    expect((await statusOf(world.rig)).errors).toEqual([]);
    expect((await statusOf(world.rig)).mounts[0]?.io).toBe(io);
  });

  test.each(["never", "suspended"] as const)(
    "is refused with ESTALE where the bucket kept nothing (versions %s)",
    async (versioning) => {
      await using world = await World.create();
      const bucket = world.double.bucket("data", versioning);
      for (const name of ["same", "overwritten", "deleted", "large"])
        bucket.put(`set/${name}`, name);
      bucket.put("set/large", LARGE);
      const { stderr } = await world.tryLog("s3://data/set");
      expect(stderr).toMatch(/ETag/);
      bucket.put("set/overwritten", "overwrittex");
      bucket.put("set/large", randomBytes(LARGE.length));
      bucket.delete("set/deleted");
      const dir = await world.rig.mount("demo", "mnt");
      for (const name of ["overwritten", "deleted", "large"]) {
        expect(await complaintOf(join(dir, name))).toMatch(/Stale file handle/);
        expect((await statusOf(world.rig)).errors[0]).toMatchObject({
          kind: "drifted",
          path: name,
          mount: "demo:v0",
          subject: expect.stringContaining(`s3://data/set/${name}`) as string,
        });
        expect(await attribute("error", join(dir, name))).toMatch(/^drifted: /);
      }
      expect(String(await readFileElsewhere(join(dir, "same")))).toBe("same");
      bucket.put("set/overwritten", "overwritten");
      await expect
        .poll(() => complaintOf(join(dir, "overwritten")), { timeout: 5_000 })
        .toBe("read");
    },
  );

  test("shares blobs between artifacts, mounts and equal objects", async () => {
    await using world = await World.create();
    const bucket = world.double.bucket("data");
    bucket.put("set/one", LARGE);
    bucket.put("set/two", LARGE);
    await world.log("s3://data/set");
    await world.rig.ok("log", "other", "--type", "t", "--ref", "renamed=s3://data/set/one");
    const dir = await world.rig.mount("demo", "one");
    const other = await world.rig.mount("other", "two");
    for (const path of [join(dir, "one"), join(other, "renamed"), join(dir, "two")]) {
      expect((await readFileElsewhere(path)).equals(LARGE)).toBe(true);
    }
    const { cache } = await statusOf(world.rig);
    expect(cache).toMatchObject({ usedBytes: LARGE.length, misses: 2, hits: 1 });
  });

  test("is downloaded, and a second download fetches nothing", async () => {
    await using world = await World.create();
    const bucket = world.double.bucket("data");
    bucket.put("set/large", LARGE);
    bucket.put("set/deep/small", "small");
    await world.log("s3://data/set");
    bucket.put("set/deep/small", "other");
    const copy = world.rig.path("copy");
    const report = await world.rig.json("download", "demo", copy);
    expect(report).toMatchObject({ files: 2, fetched: 2, kept: 0, missing: [] });
    expect(readFileSync(join(copy, "large")).equals(LARGE)).toBe(true);
    expect(String(readFileSync(join(copy, "deep/small")))).toBe("small");
    world.double.requests.length = 0;
    expect(await world.rig.json("download", "demo", copy)).toMatchObject({ fetched: 0, kept: 2 });
    expect(world.double.requests).toEqual([]);
  });

  test("loses its provider's word when the answer shows encryption with KMS", async () => {
    await using world = await World.create();
    const bucket = world.double.bucket("data");
    bucket.put("set/kms", "secret bytes", { encryption: "aws:kms" });
    bucket.put("set/plain", "plain bytes");
    await world.log("s3://data/set");
    const strict = await world.rig.mount("demo", "strict", "--require", "provider");
    expect(await complaintOf(join(strict, "kms"))).toMatch(/Invalid argument/);
    const [error] = (await statusOf(world.rig)).errors;
    expect(error).toMatchObject({ kind: "usage", path: "kms", subject: "s3://data/set/kms" });
    expect(error?.message).toMatch(/assured by "pin" only.*--hash/);
    expect(String(await readFileElsewhere(join(strict, "plain")))).toBe("plain bytes");
    const lax = await world.rig.mount("demo", "lax");
    expect(String(await readFileElsewhere(join(lax, "kms")))).toBe("secret bytes");
    expect(await attribute("assurance", join(lax, "kms"))).toBe("pin");
    // Refused still, now that its bytes are in the cache.
    await expect
      .poll(() => complaintOf(join(strict, "kms")), { timeout: 3_000 })
      .toMatch(/Invalid argument/);
  });

  test("written in parts is held to its multipart ETag, if the store tells the parts", async () => {
    await using world = await World.create();
    const bucket = world.double.bucket("data");
    const sizes = { partSizes: [9_000_000, 5_000_000, 6_000_000] };
    const other = bucket.put("set/odd", randomBytes(LARGE.length), sizes);
    bucket.put("set/odd", LARGE, sizes);
    bucket.put("set/even", LARGE, { partBytes: 8_388_608 });
    bucket.put("set/untold", LARGE.subarray(1), { partBytes: 8_388_608 });
    await world.log("s3://data/set");
    const dir = await world.rig.mount("demo", "mnt", "--require", "provider");
    const swap = { bytesOfVersion: other.versionId };
    world.double.upset({ operation: "GetObject", key: "set/odd" }, swap, Infinity);
    expect(await complaintOf(join(dir, "odd"))).toMatch(/Input\/output error/);
    expect((await statusOf(world.rig)).errors[0]?.message).toMatch(/md5 of the parts/);
    world.double.calm();
    await expect.poll(() => complaintOf(join(dir, "odd")), { timeout: 8_000 }).toBe("read");
    for (const name of ["odd", "even"]) {
      expect((await readFileElsewhere(join(dir, name))).equals(LARGE)).toBe(true);
      expect(await attribute("assurance", join(dir, name))).toBe("provider");
    }
    world.double.partNumbers = "ignored";
    expect(await complaintOf(join(dir, "untold"))).toMatch(/Invalid argument/);
    expect((await statusOf(world.rig)).errors[0]?.message).toMatch(/assured by "pin" only/);
  });

  test("that only its version pins must be what it was at first sight", async () => {
    await using world = await World.create();
    world.double.partNumbers = "ignored";
    const bucket = world.double.bucket("data");
    const later = bucket.put("set/parts", randomBytes(LARGE.length), { partBytes: 8_388_608 });
    bucket.put("set/parts", LARGE, { partBytes: 8_388_608 });
    await world.log("s3://data/set");
    const dir = await world.rig.mount("demo", "mnt");
    expect((await readFileElsewhere(join(dir, "parts"))).equals(LARGE)).toBe(true);
    expect(await attribute("assurance", join(dir, "parts"))).toBe("pin");
    await world.rig.ok("unmount", dir);
    await emptyCache(world.rig);

    const swap = { bytesOfVersion: later.versionId };
    world.double.upset({ operation: "GetObject", key: "set/parts" }, swap, Infinity);
    await world.rig.mount("demo", "mnt");
    expect(await complaintOf(join(dir, "parts"))).toMatch(/Input\/output error/);
    const [error] = (await statusOf(world.rig)).errors;
    expect(error).toMatchObject({ kind: "corrupt", path: "parts" });
    expect(error?.message).toMatch(/sha256 seen at the first fetch/);
    const copied = await world.rig.run("download", "demo", world.rig.path("copy"));
    expect(copied.code).toBe(6);

    world.double.calm();
    await expect.poll(() => complaintOf(join(dir, "parts")), { timeout: 5_000 }).toBe("read");
    expect((await readFileElsewhere(join(dir, "parts"))).equals(LARGE)).toBe(true);
  });
});

describe.runIf(needs("fuse", "addon", "root"))("credentials and endpoint", () => {
  test("are those of the shell that mounted, mount by mount in one daemon", async () => {
    await using world = await World.create();
    await using second = await startS3Double({
      keys: { accessKeyId: "AKSECOND", secretAccessKey: "second-secret" },
    });
    world.double.bucket("data").put("set/a", "of the first store");
    second.bucket("data").put("set/a", "of the second store");
    const { rig } = world;
    const log = ["--type", "t", "--ref", "s3://data/set"];
    await rig.ok("log", "first", ...log);
    const environment = second.environment;
    const logged = await rig.start(["log", "second", ...log], { environment }).ended;
    expect(logged).toMatchObject({ code: 0 });
    const one = await rig.mount("first", "one");
    const two = await rig.tree("two", {});
    const mounted = await rig.start(["mount", "second", two], { environment }).ended;
    expect(mounted).toMatchObject({ code: 0 });
    const three = await rig.tree("three", {});
    const wrong = { AWS_SECRET_ACCESS_KEY: "wrong" };
    const third = await rig.start(["mount", "first", three], { environment: wrong }).ended;
    expect(third).toMatchObject({ code: 0 });

    expect(await complaintOf(join(three, "a"))).toMatch(/Permission denied/);
    const [error] = (await statusOf(rig)).errors;
    expect(error).toMatchObject({ kind: "denied", path: "a", mount: "first:v0" });
    expect(error?.message).toMatch(/credentials/);
    expect(error?.message).not.toMatch(/wrong|secret/);
    expect(String(await readFileElsewhere(join(one, "a")))).toBe("of the first store");
    expect(String(await readFileElsewhere(join(two, "a")))).toBe("of the second store");
    expect(second.requests.every((seen) => seen.accessKeyId === "AKSECOND")).toBe(true);
    expect((await statusOf(rig)).mounts).toHaveLength(3);
  });

  test("that are wrong deny nothing to a mount with the right ones that waits for the same", async () => {
    await using world = await World.create();
    const { rig, double } = world;
    double.bucket("data").put("set/a", "the bytes");
    await world.log("s3://data/set");
    const right = await rig.mount("demo", "right");
    const wrong = await rig.tree("wrong", {});
    const environment = { AWS_SECRET_ACCESS_KEY: "wrong" };
    const mounted = await rig.start(["mount", "demo", wrong], { environment }).ended;
    expect(mounted).toMatchObject({ code: 0 });
    const held = double.hold({ operation: "GetObject" });
    const refused = complaintOf(join(wrong, "a"));
    await held.arrived;
    const reading = readFileElsewhere(join(right, "a"));
    await until(
      async () => (await statusOf(rig)).mounts.map((mount) => mount.parked),
      (parked) => parked.every((count) => count > 0),
    );
    held.release();
    expect(await refused).toMatch(/Permission denied/);
    expect(String(await reading)).toBe("the bytes");
  });

  test.each([
    { status: 503, code: "SlowDown", errno: /Input\/output error/ },
    { status: 404, code: "NoSuchKey", errno: /Stale file handle/ },
  ])("a store that answers $code speaks for itself only", async ({ status, code, errno }) => {
    await using world = await World.create();
    await using second = await startS3Double();
    const { rig, double } = world;
    for (const store of [double, second]) store.bucket("data", "never").put("set/a", "the bytes");
    await world.log("s3://data/set");
    const mount = async (name: string, store: S3Double): Promise<string> => {
      const dir = await rig.tree(name, {});
      const { environment } = store;
      const mounting = rig.start(["mount", "demo", dir, "--timeout", "1s"], { environment });
      expect(await mounting.ended).toMatchObject({ code: 0 });
      return dir;
    };
    const failing = await mount("failing", double);
    const working = await mount("working", second);
    double.upset({ operation: "GetObject" }, { status, code }, Infinity);
    const held = double.hold({ operation: "GetObject" });
    const refused = complaintOf(join(failing, "a"));
    await held.arrived;
    const reading = readFileElsewhere(join(working, "a"));
    await until(
      async () => (await statusOf(rig)).mounts.map((one) => one.parked),
      (parked) => parked.every((count) => count > 0),
    );
    held.release();
    expect(await refused).toMatch(errno);
    expect(String(await reading)).toBe("the bytes");
  });

  test("a store that hangs takes no place from the readers of another", async () => {
    await using world = await World.create();
    await using second = await startS3Double();
    const { rig, double } = world;
    for (let index = 0; index < 100; index++) double.bucket("data").put(`set/${index}`, `${index}`);
    second.bucket("other").put("set/a", "of the other store");
    second.bucket("other").put("set/large", LARGE);
    await world.log("s3://data/set");
    const { environment } = second;
    const log = ["log", "other", "--type", "t", "--ref", "s3://other/set"];
    expect((await rig.start(log, { environment }).ended).code).toBe(0);
    const hanging = await rig.mount("demo", "hanging");
    const working = await rig.tree("working", {});
    const mounted = await rig.start(["mount", "other", working], { environment }).ended;
    expect(mounted).toMatchObject({ code: 0 });
    const held = double.hold({ operation: "GetObject" });
    const all = Array.from({ length: 100 }, (_, index) =>
      readFileElsewhere(join(hanging, String(index))),
    );
    await until(
      async () => (await statusOf(rig)).mounts[0]?.parked,
      (parked) => parked === 100,
    );
    expect(String(await readFileElsewhere(join(working, "a")))).toBe("of the other store");
    expect((await readFileElsewhere(join(working, "large"))).equals(LARGE)).toBe(true);
    held.release();
    expect((await Promise.all(all)).map(String)).toEqual(all.map((_, index) => String(index)));
  });
});
