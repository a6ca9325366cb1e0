// The numbered cases of the reference implementation that are about manifests and their paths: 4 to 6.

import { describe, expect, test } from "vitest";
import { wandbDigest } from "../../src/registry/wandb-digest.js";
import { Artifact, Refmount, type Entry } from "../../src/index.js";
import { LogWorld } from "../support/log-world.js";
import { Rig } from "../support/rig.js";

test("4: what is read back from a manifest gives the digest it was logged with", async () => {
  await using rig = await Rig.create();
  const names = { "a-b": "4", "a.txt": "2", "a/b": "1", "\uff5e": "x", "\u{1f600}": "y" };
  const dir = await rig.tree("data", names);
  const refmount = await Refmount.open({ home: rig.home, environment: rig.environment });
  const artifact = new Artifact("demo", { type: "dataset" });
  await artifact.addReference(`file://${dir}`);
  const logged = await refmount.log(artifact);
  const entries: Entry[] = [];
  for await (const entry of (await refmount.use("demo:v0")).entries()) entries.push(entry);
  expect(entries.map(({ path }) => path)).toEqual(["a-b", "a.txt", "a/b", "\uff5e", "\u{1f600}"]);
  expect(wandbDigest(entries)).toBe(logged.digest);
  // Written out and read again as any JSON is, they are still the same version.
  const copied = JSON.parse(JSON.stringify(entries)) as Entry[];
  expect(wandbDigest(copied.reverse())).toBe(logged.digest);
  const again = new Artifact("demo", { type: "dataset" });
  await again.addReference("refmount://demo:v0");
  expect(await refmount.log(again)).toMatchObject({
    ref: "demo:v0",
    created: false,
    revised: false,
  });
});

describe("5: a path", () => {
  test("with the same digest twice is one entry", async () => {
    await using world = await LogWorld.create();
    const dir = await world.rig.tree("data", { "one/x": "same", "two/x": "same" });
    const report = await world.log([`file://${dir}/one`, `file://${dir}/two`]);
    expect(world.entries(report)).toMatchObject([{ path: "x", uri: `file://${dir}/one/x` }]);
  });

  test("with another digest is refused, and no version is made or changed", async () => {
    await using rig = await Rig.create();
    const dir = await rig.tree("data", { "one/x": "1", "two/x": "2" });
    const log = ["log", "demo", "--type", "dataset", "--ref", `file://${dir}/one`];
    await rig.ok(...log);
    const outcome = await rig.run(...log, "--ref", `file://${dir}/two`, "--alias", "best");
    expect(outcome).toMatchObject({ code: 2, stdout: "" });
    expect(outcome.stderr).toMatch(/Cannot add the same path twice: "x"/);
    expect(await rig.json("ls", "demo")).toMatchObject({
      versions: [{ ref: "demo:v0", files: 1, aliases: ["latest"] }],
    });
  });
});

describe("6: the path of an entry", () => {
  test.each(["", ".", "../x", "a/../x", "/x", "//x", "C:\\x", "C:x", "\\x"])(
    "%j is refused",
    async (path) => {
      await using rig = await Rig.create();
      const dir = await rig.tree("data", { a: "a" });
      const source = `file://${dir}/a`;
      const outcome = await rig.run("log", "x", "--type", "t", "--ref", `${path}=${source}`);
      expect(outcome.stderr).toMatch(/Invalid artifact path/);
      expect(outcome.code).toBe(2);
      const artifact = new Artifact("x", { type: "t" });
      await expect(artifact.addReference(source, { name: path })).rejects.toThrow(
        /Invalid artifact path/,
      );
    },
  );

  test("a/b is fine", async () => {
    await using world = await LogWorld.create();
    const dir = await world.rig.tree("data", { a: "a" });
    expect(world.paths(await world.log([`a/b=file://${dir}/a`]))).toEqual(["a/b"]);
  });
});
