// The whole job on Azure: the built command line, a real daemon and kernel, azurite for what it has,
// and a double in this process for versions. What goes wrong on the way is in azure-bad-luck.test.ts.

import { createHash, randomBytes, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startAzureDouble, type AzureDouble } from "../support/azure-double.js";
import { generateBlobSas } from "../support/azure-sas.js";
import { startAzurite, type Azurite } from "../support/azurite.js";
import { needs } from "../support/needs.js";
import { complaintOf, readFileElsewhere, run } from "../support/reader.js";
import { Rig } from "../support/rig.js";
import { statusOf } from "../support/status.js";

const LARGE = randomBytes(20_000_000);

async function filesBelow(dir: string): Promise<string[]> {
  const found = await run("find", dir, "-type", "f", "-printf", "%P\\0");
  return String(found).split("\0").slice(0, -1).sort();
}

async function attribute(name: string, path: string): Promise<string> {
  return String(await run("getfattr", "--only-values", "-n", `user.refmount.${name}`, path));
}

/** The files of refmount's that hold `secret`. */
async function filesWith(secret: string, rig: Rig): Promise<string> {
  const search = 'grep -rlF -- "$1" "$2" || test $? = 1';
  return String(await run("sh", "-c", search, "sh", secret, rig.home));
}

describe.runIf(needs("fuse", "addon", "root"))("a version from azurite", () => {
  let azurite: Azurite;
  beforeAll(async () => {
    azurite = await startAzurite();
  });
  afterAll(async () => {
    await azurite[Symbol.asyncDispose]();
  });

  /** A new container with these blobs. */
  async function place(blobs: Readonly<Record<string, string | Uint8Array>>): Promise<{
    readonly name: string;
    readonly put: (blob: string, bytes: string | Uint8Array) => Promise<unknown>;
    readonly snapshot: (blob: string) => Promise<string>;
    readonly remove: (blob: string) => Promise<unknown>;
  }> {
    const name = randomUUID();
    const container = azurite.client.getContainerClient(name);
    await container.create();
    const put = (blob: string, bytes: string | Uint8Array): Promise<unknown> =>
      container.getBlockBlobClient(blob).uploadData(Buffer.from(bytes));
    for (const [blob, bytes] of Object.entries(blobs)) await put(blob, bytes);
    return {
      name,
      put,
      snapshot: async (blob) =>
        (await container.getBlobClient(blob).createSnapshot()).snapshot ?? "",
      remove: (blob) => container.deleteBlob(blob, { deleteSnapshots: "include" }),
    };
  }

  test("is logged, listed, mounted, read by another process, and downloaded", async () => {
    await using rig = await Rig.create(azurite.environment);
    const odd = {
      "set/a#b": "1",
      "set/a?b": "2",
      "set/a%20b": "3",
      "set/w x/\u00fc": "4",
      "set/empty": "",
    };
    const { name } = await place({ ...odd, "set/large": LARGE, "set2/x": "no", "set.txt": "no" });
    const logged = await rig.run("log", "demo", "--type", "t", "--ref", `az://${name}/set`);
    expect(logged).toMatchObject({ code: 0 });
    expect(logged.stderr).toMatch(/no version id.*ETag/);
    expect(await rig.json("show", "demo")).toMatchObject({ version: "v0", files: 6 });
    const listing = await rig.json<{ entries: { name: string }[] }>("ls", "demo:v0");
    expect(listing.entries.map((entry) => entry.name)).toContain("large");

    const dir = await rig.mount("demo", "mnt", "--require", "provider");
    expect(await filesBelow(dir)).toEqual(["a#b", "a%20b", "a?b", "empty", "large", "w x/\u00fc"]);
    for (const [blob, text] of Object.entries(odd)) {
      expect(String(await readFileElsewhere(join(dir, blob.slice(4))))).toBe(text);
    }
    expect((await readFileElsewhere(join(dir, "large"))).equals(LARGE)).toBe(true);
    expect(await attribute("assurance", join(dir, "large"))).toBe("provider");
    expect(await attribute("uri", join(dir, "a#b"))).toBe(`${azurite.endpoint}/${name}/set/a%23b`);
    expect((await statusOf(rig)).errors).toEqual([]);

    const copy = rig.path("copy");
    expect(await rig.json("download", "demo", copy)).toMatchObject({ files: 6, missing: [] });
    expect(readFileSync(join(copy, "large")).equals(LARGE)).toBe(true);
  });

  test("is refused with ESTALE where a blob was overwritten or deleted", async () => {
    await using rig = await Rig.create(azurite.environment);
    const { name, put, remove } = await place({
      "set/same": "same",
      "set/other": "before",
      "set/gone": "gone",
      "set/large": LARGE,
    });
    await rig.ok("log", "demo", "--type", "t", "--ref", `az://${name}/set`);
    await put("set/other", "behind");
    await put("set/large", randomBytes(LARGE.length));
    await remove("set/gone");
    const dir = await rig.mount("demo", "mnt");
    for (const file of ["other", "large", "gone"]) {
      expect(await complaintOf(join(dir, file))).toMatch(/Stale file handle/);
      const [error] = (await statusOf(rig)).errors;
      expect(error).toMatchObject({ kind: "drifted", path: file });
      expect(error?.message).toContain(`${azurite.endpoint}/${name}/set/${file}`);
    }
    expect(String(await readFileElsewhere(join(dir, "same")))).toBe("same");
  });

  test("of a snapshot stays readable when the blob is overwritten", async () => {
    await using rig = await Rig.create(azurite.environment);
    const { name, put, snapshot } = await place({ "set/a": "as it was", "set/large": LARGE });
    const [small, large] = [await snapshot("set/a"), await snapshot("set/large")];
    await rig.ok(
      ...["log", "demo", "--type", "t", "--ref", `az://${name}/set/a?snapshot=${small}`],
      ...["--ref", `${azurite.endpoint}/${name}/set/large?snapshot=${large}`],
    );
    await put("set/a", "as it is");
    await put("set/large", "small");
    const dir = await rig.mount("demo", "mnt");
    expect(String(await readFileElsewhere(join(dir, "a")))).toBe("as it was");
    expect((await readFileElsewhere(join(dir, "large"))).equals(LARGE)).toBe(true);
  });

  test("is hashed with --hash, and pins nothing with --no-checksum", async () => {
    await using rig = await Rig.create(azurite.environment);
    const { name, put } = await place({ "set/a": "first", "set/b": "other" });
    await rig.ok("log", "hashed", "--type", "t", "--ref", `az://${name}/set`, "--hash");
    const dir = await rig.mount("hashed", "one", "--require", "content");
    const sha256 = createHash("sha256").update("first").digest("hex");
    expect(String(await readFileElsewhere(join(dir, "a")))).toBe("first");
    expect(await attribute("sha256", join(dir, "a"))).toBe(sha256);

    await rig.ok("log", "loose", "--type", "t", "--ref", `az://${name}/set`, "--no-checksum");
    await put("set/b", "later");
    const refused = await rig.run("mount", "loose", await rig.tree("two", {}));
    expect(refused).toMatchObject({ code: 2 });
    const loose = await rig.mount("loose", "two", "--require", "none");
    expect(String(await readFileElsewhere(join(loose, "b")))).toBe("later");
    expect(await attribute("assurance", join(loose, "b"))).toBe("none");
  });

  test("is refused where it cannot be pinned by version, and nothing is logged", async () => {
    await using rig = await Rig.create(azurite.environment);
    const { name } = await place({ "set/a": "a" });
    const log = ["log", "demo", "--type", "t", "--ref"];
    const strict = await rig.run(...log, `az://${name}/set`, "--pin", "version");
    expect(strict).toMatchObject({ code: 2, stdout: "" });
    const signed = await rig.run(...log, `${azurite.endpoint}/${name}/set/a?sv=1&sig=hush`);
    expect(signed).toMatchObject({ code: 2, stdout: "" });
    expect(signed.stderr).toMatch(/AZURE_STORAGE_SAS_TOKEN/);
    expect(signed.stderr).not.toContain("hush");
    expect((await rig.run(...log, `az://${name}/nothing`)).code).toBe(3);
    expect((await rig.run(...log, "az://no-such-container/a")).code).toBe(3);
    expect(await rig.json("ls")).toMatchObject({ collections: [] });
  });

  test("with a SAS token of the environment leaves no trace of it", async () => {
    const { name, put } = await place({ "set/a": "first", "set/b": "second" });
    const sas = generateBlobSas(azurite, { container: name, permissions: "rl" });
    const signature = new URLSearchParams(sas).get("sig") ?? "";
    await using rig = await Rig.create({
      AZURE_STORAGE_ACCOUNT: azurite.account,
      AZURE_STORAGE_BLOB_ENDPOINT: azurite.endpoint,
      AZURE_STORAGE_SAS_TOKEN: sas,
    });
    await rig.ok("log", "demo", "--type", "t", "--ref", `az://${name}/set`);
    const dir = await rig.mount("demo", "mnt");
    await put("set/b", "another");
    expect(String(await readFileElsewhere(join(dir, "a")))).toBe("first");
    expect(await complaintOf(join(dir, "b"))).toMatch(/Stale file handle/);
    const told = [
      ...(await Promise.all(["uri", "pin", "digest"].map((key) => attribute(key, join(dir, "a"))))),
      await attribute("error", join(dir, "b")),
      await rig.ok("--json", "status"),
      await rig.ok("--json", "show", "demo"),
      await rig.ok("--json", "ls", "demo:v0"),
    ].join("\n");
    for (const secret of [signature, encodeURIComponent(signature)]) {
      expect(secret).not.toBe("");
      expect(told).not.toContain(secret);
      expect(await filesWith(secret, rig)).toBe("");
    }
  });
});

describe.runIf(needs("fuse", "addon", "root"))("a version from an account with versions", () => {
  async function world(): Promise<AsyncDisposable & { rig: Rig; double: AzureDouble }> {
    const double = await startAzureDouble();
    const rig = await Rig.create(double.environment);
    return {
      rig,
      double,
      async [Symbol.asyncDispose]() {
        await rig[Symbol.asyncDispose]();
        await double[Symbol.asyncDispose]();
      },
    };
  }

  test.each(["cached", "passthrough"])(
    "is served as logged, whatever came after (%s)",
    async (io) => {
      await using both = await world();
      const { rig, double } = both;
      const container = double.container("data");
      container.put("set/overwritten", LARGE);
      container.put("set/deleted", "deleted later");
      const logged = await rig.run("log", "demo", "--type", "t", "--ref", "az://data/set");
      expect(logged).toMatchObject({ code: 0 });
      expect(logged.stderr).not.toMatch(/ETag/);
      container.put("set/overwritten", randomBytes(LARGE.length));
      container.delete("set/deleted");
      const dir = await rig.mount("demo", "mnt", "--io", io);
      expect((await readFileElsewhere(join(dir, "overwritten"))).equals(LARGE)).toBe(true);
      expect(String(await readFileElsewhere(join(dir, "deleted")))).toBe("deleted later");
      expect(await attribute("assurance", join(dir, "overwritten"))).toBe("provider");
      expect((await statusOf(rig)).errors).toEqual([]);
    },
  );

  test("named in the uri is that one, beside the current one", async () => {
    await using both = await world();
    const { rig, double } = both;
    const container = double.container("data");
    const old = container.put("one.bin", "old");
    container.put("one.bin", "new");
    await rig.ok(
      ...["log", "demo", "--type", "t", "--pin", "version", "--ref", "az://data/one.bin"],
      ...["--ref", `old/one.bin=${double.endpoint}/data/one.bin?versionId=${old.writtenAt}`],
    );
    const dir = await rig.mount("demo", "mnt");
    expect(await filesBelow(dir)).toEqual(["old/one.bin", "one.bin"]);
    expect(String(await readFileElsewhere(join(dir, "old/one.bin")))).toBe("old");
    expect(String(await readFileElsewhere(join(dir, "one.bin")))).toBe("new");
  });

  test("of a directory leaves out what only stands for directories", async () => {
    await using both = await world();
    const { rig, double } = both;
    const container = double.container("data");
    const stub = { metadata: { hdi_isfolder: "true" }, resourceType: "directory" as const };
    container.put("dir", "", stub);
    container.put("dir/sub", "", stub);
    container.put("dir/sub/a", "a");
    container.put("dir/b", "");
    await rig.ok("log", "demo", "--type", "t", "--ref", "my-name=az://data/dir/");
    await rig.ok("log", "demo", "--type", "t", "--ref", "my-name=az://data/dir");
    const dir = await rig.mount("demo:v0", "mnt");
    expect(await filesBelow(dir)).toEqual(["my-name/b", "my-name/sub/a"]);
    expect((await rig.run("show", "demo:v1")).code).toBe(3);
  });
});
