import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { deferred } from "../../src/model/deferred.js";
import { Fault, type FaultKind } from "../../src/model/fault.js";
import { mountAt } from "../../src/mount/mountinfo.js";
import type { ProvidedBlob } from "../../src/native/addon.js";
import { posixContract } from "../contract/posix.js";
import { BlobWorld } from "../support/blob-world.js";
import { FuseNativeServer, type ServerOptions } from "../support/fuse-native-server.js";
import { recordOf, sealRecord } from "../support/index-builder.js";
import { needs } from "../support/needs.js";
import { Holding, readFileElsewhere, run } from "../support/reader.js";

function serve(world: BlobWorld, change: Partial<ServerOptions> = {}): Promise<FuseNativeServer> {
  return FuseNativeServer.start({
    dir: world.dir,
    indexPath: world.indexPath,
    manifestDigest: world.index.manifestDigest,
    fsname: "test:v0",
    allowOther: false,
    uid: process.getuid?.() ?? 0,
    gid: process.getgid?.() ?? 0,
    fill: (node) => Promise.resolve().then(() => world.blobOf(node)),
    ...change,
  });
}

function complaint(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => "none",
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  );
}

const LONG = Buffer.alloc(300_000, "0123456789abcdef");

if (needs("fuse", "libfuse2", "addon", "root")) {
  posixContract("fuse-native", async (source, tree, scratch) => {
    const world = BlobWorld.ofTree(source, tree, scratch, (path) => readFileSync(path));
    const server = await serve(world);
    return { dir: world.dir, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
  });
}

describe.runIf(needs("fuse", "libfuse2", "addon", "root"))("the fuse-native driver", () => {
  test("the mount is read-only, of our type, and named by the ref", async () => {
    using world = BlobWorld.of({ file: "bytes" });
    await using server = await serve(world, { fsname: "team/odd, name:v3" });
    expect(server.negotiated).toMatchObject({ io: "cached", resumed: false });
    expect(mountAt(world.dir)).toMatchObject({
      fsType: "fuse.refmount",
      source: "team/odd__name:v3",
    });
    const line = readFileSync("/proc/self/mountinfo", "utf8")
      .split("\n")
      .find((one) => one.includes(world.dir));
    expect(line?.split(" - ")[1]).toContain(" ro,");
  });

  test("many readers of one cold file wait for one fill", async () => {
    using world = BlobWorld.of({ "a/file": LONG });
    const asked = deferred<null>();
    const release = deferred<null>();
    let fills = 0;
    await using server = await serve(world, {
      fill: async (node) => {
        fills++;
        asked.resolve(null);
        await release.promise;
        return world.blobOf(node);
      },
    });
    const readers = Array.from({ length: 8 }, () => readFileElsewhere(join(world.dir, "a/file")));
    await asked.promise;
    release.resolve(null);
    for (const bytes of await Promise.all(readers)) expect(bytes.equals(LONG)).toBe(true);
    expect(fills).toBe(1);
    expect(await server.stats()).toMatchObject({ openBlobs: 1, parked: 0, damaged: 0 });
  });

  test("a hundred waiting reads do not stop another file's", async () => {
    const names = Array.from({ length: 100 }, (_, number) => `cold-${number}`);
    using world = BlobWorld.of({
      warm: LONG,
      ...Object.fromEntries(names.map((name) => [name, `bytes of ${name}`])),
    });
    const allAsked = deferred<null>();
    const release = deferred<null>();
    let waiting = 0;
    await using server = await serve(world, {
      fill: async (node) => {
        if (node === world.id("warm")) return world.blobOf(node);
        if (++waiting === names.length) allAsked.resolve(null);
        await release.promise;
        return world.blobOf(node);
      },
    });
    const readers = names.map((name) => readFileElsewhere(join(world.dir, name)));
    await allAsked.promise;
    expect((await readFileElsewhere(join(world.dir, "warm"))).equals(LONG)).toBe(true);
    expect((await server.stats()).parked).toBeGreaterThanOrEqual(names.length);
    release.resolve(null);
    const texts = (await Promise.all(readers)).map(String);
    expect(texts).toEqual(names.map((name) => `bytes of ${name}`));
  });

  test.each<[FaultKind | "bug", string]>([
    ["drifted", "Stale file handle"],
    ["denied", "Permission denied"],
    ["full", "No space left on device"],
    ["unavailable", "Input/output error"],
    ["corrupt", "Input/output error"],
    ["bug", "Input/output error"],
  ])("a fill that fails as %s reads as: %s", async (kind, words) => {
    using world = BlobWorld.of({ file: "bytes" });
    await using server = await serve(world, {
      fill: () => Promise.reject(kind === "bug" ? new Error("odd") : new Fault(kind, "no")),
    });
    expect(await complaint(readFileElsewhere(join(world.dir, "file")))).toContain(words);
    expect(await server.stats()).toMatchObject({ openBlobs: 0, parked: 0 });
  });

  test("a failed fill is no verdict: a later read fills again", async () => {
    using world = BlobWorld.of({ file: "bytes" });
    let online = false;
    await using server = await serve(world, {
      fill: (node) =>
        online
          ? Promise.resolve(world.blobOf(node))
          : Promise.reject(new Fault("unavailable", "no")),
    });
    expect(await complaint(readFileElsewhere(join(world.dir, "file")))).toContain("Input/output");
    online = true;
    expect(String(await readFileElsewhere(join(world.dir, "file")))).toBe("bytes");
    expect((await server.stats()).openBlobs).toBe(1);
  });

  describe("a damaged blob", () => {
    const damages: Readonly<Record<string, (blob: ProvidedBlob, world: BlobWorld) => void>> = {
      "with one flipped bit": ({ path }) => {
        const bytes = readFileSync(path);
        bytes.writeUInt8(bytes.readUInt8(200_001) ^ 4, 200_001);
        rmSync(path);
        writeFileSync(path, bytes);
      },
      truncated: ({ path }) => truncateSync(path, 100_000),
      "that is gone": ({ path }) => rmSync(path),
      "with too few checksums": (blob, world) => {
        world.put("file", LONG, { blockCrcs: blob.blockCrcs?.subarray(0, 8) ?? null });
      },
      "without its file of checksums": (_blob, world) =>
        world.put("file", LONG, { blockCrcs: null }),
    };

    test.each(Object.keys(damages))("%s is dropped, filled again and read right", async (how) => {
      using world = BlobWorld.of({ file: LONG });
      damages[how]?.(world.blob("file"), world);
      const damaged: string[] = [];
      await using server = await serve(world, {
        damaged: (_node, sha256) => {
          damaged.push(sha256);
          world.put("file", LONG);
        },
      });
      expect((await readFileElsewhere(join(world.dir, "file"))).equals(LONG)).toBe(true);
      expect(damaged).toEqual([world.blob("file").sha256]);
      expect((await server.stats()).damaged).toBe(1);
    });

    test("is EIO when the refill is damaged too, and no wrong byte is read", async () => {
      using world = BlobWorld.of({ file: LONG });
      damages["with one flipped bit"]?.(world.blob("file"), world);
      await using server = await serve(world);
      const target = join(world.folder, "copy");
      const copied = run("dd", `if=${join(world.dir, "file")}`, `of=${target}`, "bs=4096");
      expect(await complaint(copied)).toContain("Input/output error");
      const got = readFileSync(target);
      expect(got.equals(LONG.subarray(0, got.length))).toBe(true);
      expect(got.length).toBeLessThan(200_001);
      expect((await server.stats()).damaged).toBeGreaterThanOrEqual(2);
    });
  });

  test("large blobs are checked against the file beside them", async () => {
    using world = BlobWorld.of({ file: LONG });
    const { path, blockCrcs } = world.blob("file");
    writeFileSync(`${path}.crc`, blockCrcs ?? "");
    world.put("file", LONG, { blockCrcs: null });
    await using server = await serve(world);
    expect((await readFileElsewhere(join(world.dir, "file"))).equals(LONG)).toBe(true);
    expect((await server.stats()).damaged).toBe(0);
  });

  test("temporary blobs are kept open in small number, and each is given back", async () => {
    const names = Array.from({ length: 40 }, (_, number) => `file-${number}`);
    using world = BlobWorld.of(Object.fromEntries(names.map((name) => [name, name.repeat(900)])));
    const disposed: number[] = [];
    await using server = await serve(world, {
      fill: (node) => Promise.resolve({ ...world.blobOf(node), temporary: true }),
      disposed: (node) => disposed.push(node),
    });
    const texts = await Promise.all(names.map((name) => readFileElsewhere(join(world.dir, name))));
    expect(texts.map(String)).toEqual(names.map((name) => name.repeat(900)));
    expect((await server.stats()).openBlobs).toBe(16);
    expect(disposed.sort((a, b) => a - b)).toEqual(
      names.map((name) => world.id(name)).sort((a, b) => a - b),
    );
  });

  test("a blob that is being evicted is closed, and filled again when it is read again", async () => {
    using world = BlobWorld.of({ file: "bytes" });
    let fills = 0;
    await using server = await serve(world, {
      fill: (node) => {
        fills++;
        return Promise.resolve(world.blobOf(node));
      },
    });
    await readFileElsewhere(join(world.dir, "file"));
    server.forget(world.blob("file").sha256);
    expect((await server.stats()).openBlobs).toBe(0);
    // The kernel keeps what it has read: only O_DIRECT asks again.
    await run("dd", `if=${join(world.dir, "file")}`, "of=/dev/null", "iflag=direct", "bs=4096");
    expect(fills).toBe(2);
  });

  test("what the kernel has read it does not ask for again", async () => {
    using world = BlobWorld.of({ "a/b/file": LONG });
    await using server = await serve(world);
    const path = join(world.dir, "a/b/file");
    await readFileElsewhere(path);
    const { reads } = await server.stats();
    await readFileElsewhere(path);
    await run("stat", path);
    expect((await server.stats()).reads).toBe(reads);
  });

  test("attributes come from above, and the state from here", async () => {
    using world = BlobWorld.of({ "dir/file": "bytes" });
    await using server = await serve(world, {
      xattr: (_node, name) =>
        Promise.resolve(name === "user.refmount.uri" ? "s3://bucket/a key" : null),
    });
    const attribute = async (path: string, name: string): Promise<string> =>
      String(
        await run(
          "python3",
          ...["-I", "-c", "import os,sys; print(os.getxattr(*sys.argv[1:]).decode(), end='')"],
          ...[join(world.dir, path), name],
        ).catch((error: unknown) => (error as Error).message.trim().split("\n").at(-1)),
      );
    expect(await attribute("dir/file", "user.refmount.uri")).toBe("s3://bucket/a key");
    expect(await attribute("dir/file", "user.refmount.state")).toBe("absent");
    await readFileElsewhere(join(world.dir, "dir/file"));
    expect(await attribute("dir/file", "user.refmount.state")).toBe("cached");
    expect(await attribute("dir", "user.refmount.state")).toBe("directory");
    expect(await attribute("dir/file", "user.refmount.pin")).toContain("No data available");
    expect(await attribute("dir/file", "user.other")).toContain("No data available");
    const listed = "import os,sys; print(os.listxattr(sys.argv[1]))";
    expect(String(await run("python3", "-I", "-c", listed, join(world.dir, "dir/file")))).toBe(
      "['user.refmount.uri', 'user.refmount.state']\n",
    );
    expect((await server.stats()).openBlobs).toBe(1);
  });

  test("a directory of 100,000 entries is listed whole, and its last name found", async () => {
    const names = Array.from({ length: 100_000 }, (_, number) => `entry-${number}`);
    using world = BlobWorld.ofEmpty(names.map((name) => `large/${name}`));
    await using server = await serve(world);
    const listed = String(await run("ls", "-U", join(world.dir, "large")))
      .trimEnd()
      .split("\n");
    expect(listed).toEqual([...names].sort());
    await run("stat", join(world.dir, "large/entry-99999"));
    expect((await server.stats()).reads).toBe(0);
  });

  test("an object of unknown size is filled to tell its size", async () => {
    using world = BlobWorld.of({ file: "" });
    const record = recordOf(world.index.bytes, world.id("file"));
    record.writeUInt8(1, 39);
    sealRecord(record, world.id("file"), Buffer.from("file"));
    writeFileSync(world.indexPath, world.index.bytes);
    world.put("file", Buffer.from("more than nothing"));
    await using server = await serve(world);
    expect(String(await run("stat", "-c", "%s", join(world.dir, "file")))).toBe("17\n");
    expect(String(await readFileElsewhere(join(world.dir, "file")))).toBe("more than nothing");
    expect((await server.stats()).openBlobs).toBe(1);
  });

  test("a damaged record of the index is EIO, and no other file's", async () => {
    using world = BlobWorld.of({ good: "bytes", "bad/file": "bytes" });
    recordOf(world.index.bytes, world.id("bad/file")).writeUInt32LE(7, 8);
    writeFileSync(world.indexPath, world.index.bytes);
    await using server = await serve(world);
    expect(await complaint(run("stat", join(world.dir, "bad/file")))).toContain("Input/output");
    expect(await complaint(run("ls", join(world.dir, "bad")))).toContain("Input/output");
    expect((await server.stats()).reads).toBe(0);
    expect(String(await readFileElsewhere(join(world.dir, "good")))).toBe("bytes");
  });

  test("inode numbers are those of the index, so a remount keeps them", async () => {
    using world = BlobWorld.of({ "a/file": "bytes" });
    for (let round = 0; round < 2; round++) {
      await using server = await serve(world);
      const told = await run("stat", "-c", "%i", join(world.dir, "a/file"), join(world.dir, "a"));
      expect(String(told)).toBe(`${world.id("a/file")}\n${world.id("a")}\n`);
      expect((await server.stats()).reads).toBe(0);
    }
  });

  describe("the end", () => {
    test("an unmount from outside is noticed, and the process is free to end", async () => {
      using world = BlobWorld.of({ file: "bytes" });
      await using server = await serve(world);
      await readFileElsewhere(join(world.dir, "file"));
      execFileSync("umount", [world.dir]);
      expect(await server.ended).toEqual({ reason: "unmounted", message: "" });
      await server.exited;
    });

    test("a mount in use is busy, and goes when it is not", async () => {
      using world = BlobWorld.of({ file: "bytes" });
      await using server = await serve(world);
      const holding = await Holding.open(join(world.dir, "file"));
      await expect(server.detach(false)).rejects.toMatchObject({ kind: "busy" });
      expect(String(await readFileElsewhere(join(world.dir, "file")))).toBe("bytes");
      await holding[Symbol.asyncDispose]();
      await server.detach(false);
      expect((await server.ended).reason).toBe("unmounted");
      expect(mountAt(world.dir)).toBeUndefined();
    });

    test("stop takes the mount away, also while it is in use", async () => {
      using world = BlobWorld.of({ file: "bytes" });
      await using server = await serve(world);
      const holding = await Holding.open(join(world.dir, "file"));
      server.stop();
      expect((await server.ended).reason).toBe("stopped");
      await holding[Symbol.asyncDispose]();
      expect(mountAt(world.dir)).toBeUndefined();
    });

    test("a connection that the kernel ended is noticed", async () => {
      using world = BlobWorld.of({ file: "bytes" });
      await using server = await serve(world);
      const minor = mountAt(world.dir)?.device.split(":")[1] ?? "";
      const control = join(world.folder, "fusectl");
      mkdirSync(control);
      execFileSync("mount", ["-t", "fusectl", "none", control]);
      try {
        writeFileSync(join(control, minor, "abort"), "1");
        expect((await server.ended).reason).toBe("aborted");
      } finally {
        execFileSync("umount", [control]);
        execFileSync("umount", ["-l", world.dir]);
      }
    });
  });

  describe("a mount that cannot be", () => {
    const refusal = async (change: Partial<ServerOptions>, world: BlobWorld): Promise<Fault> => {
      const error: unknown = await serve(world, change).catch((caught: unknown) => caught);
      if (error instanceof Fault) return error;
      throw error instanceof Error ? error : new Error("It was mounted");
    };

    test("on a directory that is missing, or a file, or a mount, is refused", async () => {
      using world = BlobWorld.of({ file: "bytes" });
      const dir = join(world.folder, "none");
      expect((await refusal({ dir }, world)).kind).toBe("not-found");
      expect((await refusal({ dir: world.indexPath }, world)).kind).toBe("usage");
      await using server = await serve(world);
      expect((await refusal({}, world)).kind).toBe("busy");
      expect((await server.stats()).parked).toBe(0);
    });

    test("with the index of another manifest is refused", async () => {
      using world = BlobWorld.of({ file: "bytes" });
      const fault = await refusal({ manifestDigest: "ab".repeat(32) }, world);
      expect(fault.kind).toBe("corrupt");
      expect(mountAt(world.dir)).toBeUndefined();
    });

    test("at a path that the binding would cut off is refused", async () => {
      using world = BlobWorld.of({ file: "bytes" });
      const dir = join(world.folder, ...Array.from({ length: 6 }, () => "d".repeat(200)));
      mkdirSync(dir, { recursive: true });
      expect((await refusal({ dir }, world)).message).toContain("1023 bytes");
    });

    test("without libfuse 2 is refused with the name of the package", async () => {
      using world = BlobWorld.of({ file: "bytes" });
      const hidden = join(world.folder, "lib");
      mkdirSync(hidden);
      writeFileSync(join(hidden, "libfuse.so.2"), "");
      const fault = await refusal({ env: { LD_LIBRARY_PATH: hidden } }, world);
      expect(fault.kind).toBe("usage");
      expect(fault.message).toContain("libfuse2");
    });
  });
});
