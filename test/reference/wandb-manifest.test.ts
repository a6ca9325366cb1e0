// Manifests of W&B, imported and exported: golden ones that the real SDK made (golden/make.py), the forms in
// which its Go code writes them, and files that are none. Case 4 by its number.

import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { lacks } from "../support/needs.js";
import { complaintOf, readFileElsewhere } from "../support/reader.js";
import { Rig } from "../support/rig.js";
import { startS3Double } from "../support/s3-double.js";

interface Golden {
  readonly digest: string;
  readonly manifest: { readonly version: number; readonly contents: Contents } & object;
}
type Contents = Record<string, Record<string, unknown>>;

interface Imported {
  readonly ref: string;
  readonly digest: string;
  readonly created: boolean;
}

const GOLDEN = ["s3", "http", "files"] as const;

function golden(name: string): Golden {
  const path = new URL(`golden/${name}.json`, import.meta.url);
  return JSON.parse(readFileSync(path, "utf8")) as Golden;
}

async function fileOf(rig: Rig, content: string | Uint8Array): Promise<string> {
  const path = rig.path("wandb_manifest.json");
  await writeFile(path, content);
  return path;
}

const importing = (file: string, name = "mnist"): string[] => [
  ...["import", "wandb-manifest", file, "--name", name, "--type", "dataset"],
];

test.each(GOLDEN)(
  "4: the SDK's manifest of %s has its digest, also when it went out again",
  async (name) => {
    await using rig = await Rig.create();
    const { digest, manifest } = golden(name);
    const file = await fileOf(rig, JSON.stringify(manifest));
    const imported = await rig.json<Imported>(...importing(file), "--digest", digest);
    expect(imported).toMatchObject({ ref: "mnist:v0", digest, created: true });
    const exported = JSON.parse(
      await rig.ok("export", "wandb-manifest", "mnist"),
    ) as Golden["manifest"];
    expect(exported).toEqual(manifest);
    const again = await fileOf(rig, JSON.stringify(exported));
    expect(await rig.json<Imported>(...importing(again))).toMatchObject({ created: false, digest });
  },
);

test("4: the Go code's form, gzip and JSON lines say the same", async () => {
  await using rig = await Rig.create();
  const { digest, manifest } = golden("s3");
  const { contents, ...head } = manifest;
  const goEntries = Object.fromEntries(
    Object.entries(contents).map(([path, entry]) => [
      path,
      { size: 0, ...entry, skip_cache: false, local_path: "/tmp/x" },
    ]),
  );
  const lines = Object.entries(contents).map(([path, entry]) => JSON.stringify({ path, ...entry }));
  const forms: (string | Uint8Array)[] = [
    // Its keys are sorted: the version comes after the contents.
    JSON.stringify({ contents: goEntries, ...head }),
    JSON.stringify(manifest, null, 4),
    gzipSync(JSON.stringify(manifest)),
    `${lines.join("\n")}\n`,
    gzipSync(lines.join("\n")),
  ];
  for (const [number, form] of forms.entries()) {
    const imported = await rig.json<Imported>(...importing(await fileOf(rig, form), `m${number}`));
    expect(imported.digest).toBe(digest);
  }
  // Unknown sizes stay unknown, whichever way they are written.
  const sizes = await Promise.all(
    ["m0", "m1"].map((name) => rig.json<{ sizeBytes: unknown }>("show", `${name}:v0/unchecked`)),
  );
  expect(sizes.map(({ sizeBytes }) => sizeBytes)).toEqual([null, null]);
});

test("references of every scheme are pinned as their stores pin them", async () => {
  await using rig = await Rig.create();
  const contents: Contents = {
    gcs: {
      digest: "CKih16GjycICEAE=",
      ref: "gs://bucket/g#1.bin",
      size: 10,
      extra: { versionID: 1700000000000000 },
    },
    "gcs-old": { digest: "XUFAKrxLKna5cZ2REBfFkg==", ref: "gs://bucket/old", size: 5 },
    azure: {
      digest: "0x8DC968AC18C07B1",
      ref: "https://acct.blob.core.windows.net/cont/b%20b.bin",
      size: 42,
      extra: { etag: "0x8DC968AC18C07B1", versionID: "2024-01-01T00:00:00.0000000Z" },
    },
    http: {
      digest: 'W/"abc',
      ref: "http://example.com/h.txt",
      size: 256,
      extra: { etag: 'W/"abc"' },
    },
    file: { digest: "XUFAKrxLKna5cZ2REBfFkg==", ref: "file:///data/a b%.txt", size: 5 },
    uploaded: { digest: "XUFAKrxLKna5cZ2REBfFkg==", birthArtifactID: "QXJ0", size: 7 },
    linked: { digest: "x", ref: "wandb-artifact://414243/path", size: 0 },
  };
  const file = await fileOf(rig, JSON.stringify({ version: 1, contents }));
  const outcome = await rig.run(...importing(file));
  expect([outcome.code, outcome.stderr]).toEqual([
    0,
    expect.stringContaining("2 of 7 files are kept by W&B"),
  ]);
  const show = (path: string): Promise<unknown> => rig.json("show", `mnist:v0/${path}`);
  const md5 = "5d41402abc4b2a76b9719d911017c592";
  expect(await show("gcs")).toMatchObject({
    uri: "gs://bucket/g%231.bin",
    pin: { generation: "1700000000000000" },
    assurance: "pin",
  });
  expect(await show("gcs-old")).toMatchObject({ pin: {}, assurance: "provider" });
  expect(await show("azure")).toMatchObject({
    uri: "https://acct.blob.core.windows.net/cont/b%2520b.bin",
    pin: { versionId: "2024-01-01T00:00:00.0000000Z", etag: "0x8DC968AC18C07B1" },
  });
  expect(await show("http")).toMatchObject({ pin: { etag: "W/abc" }, assurance: "none" });
  expect(await show("file")).toMatchObject({
    uri: "file:///data/a%20b%25.txt",
    digests: { md5 },
    assurance: "content",
  });
  expect(await show("uploaded")).toMatchObject({
    uri: "wandb-upload://QXJ0/uploaded",
    digests: { md5 },
  });
  expect(await show("linked")).toMatchObject({ sizeBytes: null, assurance: "none" });
});

const good = JSON.stringify(golden("s3").manifest);
test.each([
  ["version 0", good.replace('"version":1', '"version":0'), 2, "Invalid manifest version 0"],
  ["version 2", good.replace('"version":1', '"version":2'), 2, "Invalid manifest version 2"],
  ["no version", good.replace('"version":1,', ""), 2, "no version"],
  ["an unknown storage policy", good.replace("policy-v1", "policy-v9"), 2, "policy-v9"],
  ["a cut end", good.slice(0, -30), 2, "cut short"],
  ["no entries", '{"version":1,"contents":{}}', 3, "holds no entry"],
  ["nothing in it", "", 3, "holds no entry"],
  ["other JSON", '{"a":1}', 2, "has no path"],
  ["no JSON", "hello", 2, "Cannot read the manifest"],
  ["broken gzip", gzipSync(good).subarray(0, 60), 2, "Cannot read the manifest"],
  ["an entry without a digest", good.replace(/"digest":"[^"]*"/, '"digest":5'), 2, "has no digest"],
  ["a negative size", good.replace('"size":11', '"size":-11'), 2, "size"],
  ["a size beyond numbers", good.replace('"size":11', '"size":1e300'), 2, "size"],
  [
    "a path that climbs",
    good.replace('"a.txt":', '"../../etc/passwd":'),
    2,
    "Invalid artifact path",
  ],
  ["an absolute path", good.replace('"a.txt":', '"/etc/passwd":'), 2, "Invalid artifact path"],
  [
    "a reference without a scheme",
    good.replace("s3://golden/set/a.txt", "/etc/passwd"),
    2,
    "no scheme",
  ],
])("a manifest with %s is refused, and nothing is logged", async (_, content, code, message) => {
  await using rig = await Rig.create();
  const outcome = await rig.run(...importing(await fileOf(rig, content)));
  expect([outcome.code, outcome.stdout, outcome.stderr]).toEqual([
    code,
    "",
    expect.stringContaining(message),
  ]);
  expect(await rig.json("ls")).toEqual({ collections: [] });
});

test("another digest than given is refused, and so is a file that is not there", async () => {
  await using rig = await Rig.create();
  const file = await fileOf(rig, good);
  const other = await rig.run(...importing(file), "--digest", "0".repeat(32));
  expect([other.code, other.stderr]).toEqual([6, expect.stringContaining("nothing is logged")]);
  expect((await rig.run(...importing(rig.path("none")))).code).toBe(3);
  expect(await rig.json("ls")).toEqual({ collections: [] });
});

test.skipIf(lacks("fuse", "addon", "root"))(
  "what was imported is mounted: pinned versions, versions found by ETag, and what only W&B has",
  async () => {
    await using s3 = await startS3Double();
    await using rig = await Rig.create(s3.environment);
    const bucket = s3.bucket("bucket");
    const pinned = bucket.put("set/pinned", "pinned bytes");
    const byEtag = bucket.put("set/by-etag", "old bytes");
    bucket.put("set/pinned", "later");
    bucket.put("set/by-etag", "new bytes");
    const contents: Contents = {
      pinned: {
        digest: pinned.etag,
        ref: "s3://bucket/set/pinned",
        size: 12,
        extra: { etag: pinned.etag, versionID: pinned.versionId },
      },
      "by-etag": {
        digest: byEtag.etag,
        ref: "s3://bucket/set/by-etag",
        size: 9,
        extra: { etag: byEtag.etag },
      },
      uploaded: { digest: "XUFAKrxLKna5cZ2REBfFkg==", birthArtifactID: "QXJ0", size: 5 },
    };
    await rig.ok(...importing(await fileOf(rig, JSON.stringify({ version: 1, contents }))));
    const mnt = await rig.mount("mnist", "mnt");
    expect((await readFileElsewhere(join(mnt, "pinned"))).toString()).toBe("pinned bytes");
    expect((await readFileElsewhere(join(mnt, "by-etag"))).toString()).toBe("old bytes");
    expect(await complaintOf(join(mnt, "uploaded"))).toContain("Invalid argument");
  },
);
