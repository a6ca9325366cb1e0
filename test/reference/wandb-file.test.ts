// The reference implementation's cases for file:// references, by their numbers, through the built
// command line. Where the design differs it says so.

import { createHash } from "node:crypto";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { findVersion, listEntries } from "../../src/daemon/browse.js";
import { openHome } from "../../src/daemon/home.js";
import type { Entry } from "../../src/model/entry.js";
import { needs } from "../support/needs.js";
import { complaintOf, readFileElsewhere } from "../support/reader.js";
import { Rig } from "../support/rig.js";

interface Logged {
  readonly ref: string;
  readonly version: string;
  readonly digest: string;
  readonly created: boolean;
}

const HELLO_MD5 = "XUFAKrxLKna5cZ2REBfFkg==";

function log(rig: Rig, ...args: readonly string[]): Promise<Logged> {
  return rig.json<Logged>("log", "demo", "--type", "dataset", ...args);
}

function entriesOf(rig: Rig, ref: string): Entry[] {
  const home = openHome(rig.home, rig.environment);
  return [...listEntries(home, findVersion(home, ref))];
}

test("#1 one file is an entry with its MD5, its size and its uri, and nothing else", async () => {
  await using rig = await Rig.create();
  const dir = await rig.tree("data", { "file1.txt": "hello" });
  const uri = `file://${dir}/file1.txt`;
  const { ref, digest } = await log(rig, "--ref", uri);
  expect(digest).toBe("a00c2239f036fb656c1dcbf9a32d89b4");
  expect(entriesOf(rig, ref)).toMatchObject([
    { path: "file1.txt", entryDigest: HELLO_MD5, sizeBytes: 5, uri, pin: {}, claims: [] },
  ]);
});

test("#2 a directory is its files by relative path; a name goes before the path, not into the uri", async () => {
  await using rig = await Rig.create();
  const texts = { "file1.txt": "hello", "nest/file2.txt": "my", "nest/nest/file3.txt": "dude" };
  const dir = await rig.tree("data", texts);
  const plain = await log(rig, "--ref", `file://${dir}`);
  expect(plain.digest).toBe("72414374bfd4b0f60a116e7267845f71");
  const top = await log(rig, "--ref", `top=file://${dir}`);
  expect(top.digest).toBe("f718baf2d4c910dc6ccd0d9c586fa00f");
  const uris = Object.keys(texts).map((path) => `file://${dir}/${path}`);
  expect(entriesOf(rig, plain.ref).map(({ uri }) => uri)).toEqual(uris);
  expect(entriesOf(rig, top.ref).map(({ path, uri }) => [path, uri])).toEqual(
    Object.keys(texts).map((path, index) => [`top/${path}`, uris[index]]),
  );
});

test("#3 a single file takes the name that it is given", async () => {
  await using rig = await Rig.create();
  const dir = await rig.tree("data", { "file1.txt": "hello" });
  const { ref, digest } = await log(rig, "--ref", `great-file.txt=file://${dir}/file1.txt`);
  expect(digest).toBe("585b9ada17797e37c9cbab391e69b8c5");
  expect(entriesOf(rig, ref)[0]?.uri).toBe(`file://${dir}/file1.txt`);
});

test("#3 names are ordered by code point, where UTF-16 would order them otherwise", async () => {
  await using rig = await Rig.create();
  const dir = await rig.tree("data", { "\u{1f600}": "astral", "\uff5e": "wide" });
  const md5 = (text: string): string => createHash("md5").update(text).digest("base64");
  const lines = `\uff5e:${md5("wide")}\n\u{1f600}:${md5("astral")}\n`;
  const expected = createHash("md5").update(`wandb-artifact-manifest-v1\n${lines}`).digest("hex");
  expect((await log(rig, "--ref", `file://${dir}`)).digest).toBe(expected);
});

test("#34 an odd name is one entry, its uri percent-encoded, and reads back", async () => {
  await using rig = await Rig.create();
  const name = "with space !@#$%^&[]()|',`~ and 100%20?";
  const dir = await rig.tree("data", { [`${name}/${name}`]: "hello" });
  const uri = `file://${dir}/${encodeURIComponent(name)}/${encodeURIComponent(name)}`;
  const { ref } = await log(rig, "--ref", uri);
  const [entry, ...others] = entriesOf(rig, ref);
  expect(others).toEqual([]);
  expect(entry).toMatchObject({ path: name, entryDigest: HELLO_MD5 });
  expect(entry?.uri).toMatch(/^file:\/\/[^ #?]*$/);
  expect(decodeURIComponent(entry?.uri ?? "")).toBe(`file://${dir}/${name}/${name}`);
  // The uri that was recorded names that file when it is logged by itself.
  expect(await log(rig, "--ref", entry?.uri ?? "")).toMatchObject({ created: false });
  await rig.ok("download", ref, rig.path("out"));
  expect((await readFileElsewhere(join(rig.path("out"), name))).toString()).toBe("hello");
});

test.runIf(needs("fuse", "addon", "root"))(
  "#35 a file that changed is stale (the design's word for a mismatch); one that was removed but is cached still reads",
  async () => {
    await using rig = await Rig.create();
    const dir = await rig.tree("data", { changed: "one", size: "two", cached: "three" });
    await log(rig, "--ref", `file://${dir}`);
    const mnt = await rig.mount("demo", "mnt", "--io", "cached");
    expect((await readFileElsewhere(join(mnt, "cached"))).toString()).toBe("three");
    await writeFile(join(dir, "changed"), "eno");
    await writeFile(join(dir, "size"), "of another size");
    await rm(join(dir, "cached"));
    expect(await complaintOf(join(mnt, "changed"))).toMatch(/Stale file handle/);
    expect(await complaintOf(join(mnt, "size"))).toMatch(/Stale file handle/);
    await rig.ok("unmount", mnt);
    await rig.mount("demo", "mnt", "--io", "cached");
    expect((await readFileElsewhere(join(mnt, "cached"))).toString()).toBe("three");
  },
);

test("#36 without checksums the digest is that of the uri: other bytes are the same version, another uri is not", async () => {
  await using rig = await Rig.create();
  const dir = await rig.tree("data", { "file1.txt": "hello" });
  const uri = `file://${dir}/file1.txt`;
  const args = ["--no-checksum", "--ref"];
  const first = await log(rig, ...args, uri);
  const digestOfUri = createHash("md5").update(uri).digest("base64");
  expect(entriesOf(rig, first.ref)).toMatchObject([
    { entryDigest: digestOfUri, sizeBytes: 5, digests: {}, pin: {} },
  ]);
  await writeFile(join(dir, "file1.txt"), "other");
  expect(await log(rig, ...args, uri)).toMatchObject({ version: "v0", created: false });
  const moved = await rig.tree("moved", { "file1.txt": "hello" });
  expect(await log(rig, ...args, `file://${moved}/file1.txt`)).toMatchObject({
    version: "v1",
    created: true,
  });
});
