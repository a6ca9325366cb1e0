// The numbered cases of the reference implementation that are about schemes nobody reads, and about
// references from one artifact to another: 37 to 39.

import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { findVersion } from "../../src/daemon/browse.js";
import { Artifact } from "../../src/index.js";
import { LogWorld } from "../support/log-world.js";
import { needs } from "../support/needs.js";
import { complaintOf, readFileElsewhere } from "../support/reader.js";
import { Rig } from "../support/rig.js";
import { statusOf } from "../support/status.js";

const URI = "ref://example.com/somefile.txt";
const LOG = ["log", "tracked", "--type", "dataset", "--ref"];

describe("37: a reference of an unknown scheme", () => {
  test("needs a name", async () => {
    await using rig = await Rig.create();
    const outcome = await rig.run(...LOG, URI);
    expect(outcome.code).toBe(2);
    expect(outcome.stderr).toMatch(/"ref" is not supported.*--ref PATH=ref:\/\/example\.com/);
    await expect(new Artifact("x", { type: "t" }).addReference(URI)).rejects.toThrow(/PATH=/);
  });

  test("is one entry whose digest is its uri, with a warning", async () => {
    await using rig = await Rig.create();
    const outcome = await rig.run("--json", ...LOG, `ref=${URI}`);
    expect(JSON.parse(outcome.stdout)).toMatchObject({
      digest: "410ade94865e89ebe1f593f4379ac228",
      files: 1,
      bytes: 0,
    });
    expect(outcome.stderr).toMatch(
      /^note: references with unsupported schemes cannot be checksummed: ref:\/\/example\.com\/somefile\.txt; /,
    );
    expect(await rig.ok("ls", "tracked:v0")).toMatch(/ \? {2}none {7}ref\n/);
    expect(await rig.json("show", "tracked:v0/ref")).toMatchObject({
      ...{ uri: URI, entryDigest: URI, sizeBytes: null, pin: {}, claims: [], assurance: "none" },
    });
    expect(await rig.ok("show", "tracked")).toMatch(/^unchecked {4}all files: .*--require none$/m);
  });

  test("is warned of once, however many there are", async () => {
    await using world = await LogWorld.create();
    const lines = Array.from({ length: 50 }, (_, index) => [`ref://h/${index}`, "", `f/${index}`]);
    const report = await world.log([await world.list("l", lines), "g=wandb-artifact://abc/x"]);
    expect(report.files).toBe(51);
    expect(world.notices).toEqual([expect.stringMatching(/: ref:\/\/h\/0 \(and 50 more\); /)]);
  });

  test("with a password is refused, since it would be recorded", async () => {
    await using rig = await Rig.create();
    const outcome = await rig.run(...LOG, "x=ftp://anna:secret@host/x");
    expect(outcome.code).toBe(2);
    expect(outcome.stderr).toMatch(/ftp:\/\/host\/x holds a user name or a password/);
    expect(outcome.stderr).not.toMatch(/secret/);
    for (const uri of ["git+https://ghp_secret@host/x", "r2://bucket/k?X-Amz-Signature=secret"]) {
      const refused = await rig.run(...LOG, `x=${uri}`);
      expect([refused.code, refused.stderr.includes("secret")]).toEqual([2, false]);
    }
  });

  test("cannot be hashed or pinned", async () => {
    await using rig = await Rig.create();
    for (const option of [["--hash"], ["--pin", "version"]]) {
      const outcome = await rig.run(...LOG, `ref=${URI}`, ...option);
      expect(outcome.code).toBe(2);
    }
  });

  test("is not downloaded: that fails when all else is there, or leaves it out when allowed", async () => {
    await using rig = await Rig.create();
    const dir = await rig.tree("data", { "a.txt": "hello" });
    await rig.ok(...LOG, `ref=${URI}`, "--ref", `file://${dir}`);
    const download = ["download", "tracked", "out", "--require", "none"];
    const failed = await rig.run(...download);
    expect(failed.code).toBe(2);
    expect(failed.stderr).toMatch(/1 of the files.*\n {2}ref: the scheme "ref" is not supported/);
    expect(await readFile(rig.path("out/a.txt"), "utf8")).toBe("hello");
    expect(await rig.json(...download, "--allow-missing")).toMatchObject({
      files: 1,
      missing: [
        { path: "ref", uri: URI, message: expect.stringMatching(/not supported/) as string },
      ],
    });
    expect(existsSync(rig.path("out/ref"))).toBe(false);
  });

  test.runIf(needs("fuse", "root"))(
    "is mounted with --require none only, and reading it is EINVAL",
    async () => {
      await using rig = await Rig.create();
      const dir = await rig.tree("data", { "a.txt": "hello" });
      await rig.ok(...LOG, `ref=${URI}`, "--ref", `file://${dir}`);
      const refused = await rig.run("mount", "tracked", dir);
      expect(refused.code).toBe(2);
      expect(refused.stderr).toMatch(/assured by less than "pin":\n {2}ref \(none\)/);
      const mount = await rig.mount("tracked", "mnt", "--require", "none");
      expect(await complaintOf(`${mount}/ref`)).toMatch(/Invalid argument/);
      expect((await readFileElsewhere(`${mount}/a.txt`)).toString()).toBe("hello");
      const { errors } = await statusOf(rig);
      expect(errors[0]).toMatchObject({
        path: "ref",
        kind: "usage",
        message: expect.stringMatching(/the scheme "ref" is not supported/) as string,
      });
    },
  );
});

test("38: a reference without a scheme is refused", async () => {
  await using rig = await Rig.create();
  const outcome = await rig.run(...LOG, "data/mnist");
  expect(outcome).toMatchObject({ code: 2, stdout: "" });
  expect(outcome.stderr).toMatch(
    /References must be URIs.*To reference a local file, use file:\/\//,
  );
  const adding = new Artifact("x", { type: "t" }).addReference("data/mnist");
  await expect(adding).rejects.toThrow(/References must be URIs.*file:\/\//);
});

describe("39: a chain of three artifacts", () => {
  const logged = async (world: LogWorld): Promise<void> => {
    world.s3.bucket("bkt").put("k/x.bin", "the first one's bytes");
    await world.log(["s3://bkt/k"], { name: "first" });
    await world.log(["second/=refmount://first:latest/x.bin"], { name: "second" });
    await world.log(["third=refmount://second"], { name: "third" });
    // Neither a later version of the first nor what the key holds now is meant.
    world.s3.bucket("bkt").put("k/x.bin", "other bytes");
    await world.log(["s3://bkt/k"], { name: "first" });
  };

  test("holds the first one's entry, with its digest", async () => {
    await using world = await LogWorld.create();
    await logged(world);
    const [first] = world.entries({ ref: "first:v0" });
    const [third] = world.entries({ ref: "third:v0" });
    expect(third).toEqual({ ...first, path: "third/second" });
    expect(findVersion(world.home, "third").sources).toEqual(["third=refmount://second:v0"]);
  });

  test.runIf(needs("fuse", "root"))("reads as the first one's bytes, twice", async () => {
    await using world = await LogWorld.create();
    await logged(world);
    const mount = await world.rig.mount("third", "mnt");
    for (let time = 0; time < 2; time++) {
      const bytes = await readFileElsewhere(`${mount}/third/second`);
      expect(bytes.toString()).toBe("the first one's bytes");
    }
    expect(world.s3.counts().GetObject).toBe(1);
  });
});
