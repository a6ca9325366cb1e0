import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { Fault } from "../../src/model/fault.js";
import { type IndexNode, IndexReader, ROOT_NODE } from "../../src/mount/index-reader.js";
import { ManifestWriter } from "../../src/registry/manifest-writer.js";
import { Manifest } from "../../src/registry/manifest.js";
import { buildIndex, recordOf, sealHeader, sealRecord } from "../support/index-builder.js";

const folder = mkdtempSync(join(tmpdir(), "refmount-index-"));
afterAll(() => rmSync(folder, { recursive: true }));

let written = 0;

function openBytes(bytes: Uint8Array): IndexReader {
  const path = join(folder, `${++written}.idx`);
  writeFileSync(path, bytes);
  return new IndexReader(path);
}

function childNames(index: IndexReader, directory: IndexNode, from?: number): string[] {
  return [...index.children(directory, from)].map((node) => node.name.toString());
}

function find(index: IndexReader, path: string): IndexNode | null {
  let node: IndexNode | null = index.node(ROOT_NODE);
  for (const name of path.split("/")) {
    if (node === null) return null;
    node = index.lookup(node, Buffer.from(name));
  }
  return node;
}

function faultOf(run: () => unknown): Fault {
  try {
    run();
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
  throw new Error("No fault was thrown");
}

const TREE = [
  { path: "a/b", sizeBytes: 1 },
  { path: "a-b/c", sizeBytes: 2 },
  { path: "a.txt", sizeBytes: 3, mtimeMs: -1500 },
  { path: "a/deep/er/file", sizeBytes: 5 * 2 ** 40, mtimeMs: 1_600_000_000_123 },
  { path: "unknown", sizeBytes: null },
  { path: "\u{1f600}", sizeBytes: 0 },
  { path: "\uffee", sizeBytes: 0 },
];

describe("a whole index", () => {
  const built = buildIndex(TREE, { emptyDirectories: ["empty"], rootMtimeMs: 42 });

  test("the header's counts and digest are told", () => {
    using index = openBytes(built.bytes);
    expect(index.fileCount).toBe(TREE.length);
    expect(index.nodeCount).toBe(built.ids.size);
    expect(index.totalBytes).toBe(6 + 5 * 2 ** 40);
    expect(index.manifestDigest).toBe(built.manifestDigest);
  });

  test("every path is found at its id, and its parent leads back", () => {
    using index = openBytes(built.bytes);
    for (const [path, id] of built.ids) {
      if (path === "") continue;
      const node = find(index, path);
      expect(node?.id, path).toBe(id);
      const parentPath = path.includes("/") ? path.slice(0, path.lastIndexOf("/")) : "";
      expect(node?.parent).toBe(built.ids.get(parentPath));
    }
  });

  test("sizes, times and kinds come back, also beyond 32 bits and before 1970", () => {
    using index = openBytes(built.bytes);
    expect(find(index, "a/deep/er/file")).toMatchObject({
      kind: "file",
      sizeBytes: 5 * 2 ** 40,
      mtimeMs: 1_600_000_000_123,
    });
    expect(find(index, "a.txt")?.mtimeMs).toBe(-1500);
    expect(find(index, "unknown")?.sizeBytes).toBeNull();
    expect(index.node(ROOT_NODE)).toMatchObject({ kind: "directory", subdirCount: 3, mtimeMs: 42 });
    expect(find(index, "empty")).toMatchObject({ kind: "directory", childCount: 0 });
  });

  test("children are listed in byte order, and from any node on", () => {
    using index = openBytes(built.bytes);
    const root = index.node(ROOT_NODE);
    const names = ["a", "a-b", "a.txt", "empty", "unknown", "\uffee", "\u{1f600}"];
    const sorted = names.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    expect(childNames(index, root)).toEqual(sorted);
    expect(childNames(index, root, root.firstChild + 3)).toEqual(sorted.slice(3));
    expect(childNames(index, root, root.firstChild + root.childCount)).toEqual([]);
  });

  test("what is not there is null, next to every name that is", () => {
    using index = openBytes(built.bytes);
    const root = index.node(ROOT_NODE);
    for (const name of ["", "A", "a-", "a.tx", "a.txt0", "zzz", "\u{10ffff}"]) {
      expect(index.lookup(root, Buffer.from(name)), name).toBeNull();
    }
    const file = find(index, "a.txt");
    expect(file).not.toBeNull();
    if (file !== null) expect(index.lookup(file, Buffer.from("x"))).toBeNull();
  });

  test("names of 255 bytes and records across pages of the file are read whole", () => {
    const files = Array.from({ length: 6000 }, (_, number) => ({
      path: `${String(number).padStart(5, "0")}${"n".repeat(250)}`,
      sizeBytes: number,
    }));
    using index = openBytes(buildIndex(files).bytes);
    for (const file of files) expect(find(index, file.path)?.sizeBytes).toBe(file.sizeBytes);
    expect(childNames(index, index.node(ROOT_NODE))).toEqual(files.map((file) => file.path));
  });
});

test("the registry writes the index that the format's description asks for", () => {
  const manifestsDir = join(folder, "manifests");
  mkdirSync(manifestsDir);
  const files = [
    ...TREE,
    ...Array.from({ length: 300 }, (_, number) => ({ path: `many/${number}`, sizeBytes: number })),
  ].map((file) => ({ mtimeMs: 7, ...file }));
  using writer = ManifestWriter.create(manifestsDir);
  for (const file of files) {
    writer.add({
      ...file,
      entryDigest: "digest",
      uri: `file:///source/${file.path}`,
      pin: {},
      digests: {},
      claims: [],
      chunks: null,
    });
  }
  using manifest = Manifest.open(manifestsDir, writer.seal().digest);
  const bytes = readFileSync(manifest.ensureIndex());
  const built = buildIndex(files, {
    manifestDigest: manifest.digest,
    rootMtimeMs: Number(bytes.readBigInt64LE(96)),
  });
  expect(bytes.equals(built.bytes)).toBe(true);
});

describe("a damaged index", () => {
  const { bytes, ids } = buildIndex(TREE);
  const damagedCopy = (change: (copy: Buffer) => void): Buffer => {
    const copy = Buffer.from(bytes);
    change(copy);
    return copy;
  };

  test("every flipped bit is noticed by whoever reads it", () => {
    for (let position = 0; position < bytes.length; position++) {
      const copy = damagedCopy((target) => {
        target.writeUInt8(target.readUInt8(position) ^ (1 << (position % 8)), position);
      });
      const readAll = (): void => {
        using index = openBytes(copy);
        for (let id = 1; id <= index.nodeCount; id++) index.node(id);
      };
      expect(faultOf(readAll).kind, `byte ${position}`).toBe("corrupt");
    }
  });

  test("a truncated or longer file is refused when it is opened", () => {
    for (const length of [0, 1, 127, 128, 200, bytes.length - 1]) {
      expect(faultOf(() => openBytes(bytes.subarray(0, length))).kind, `${length}`).toBe("corrupt");
    }
    expect(faultOf(() => openBytes(Buffer.concat([bytes, Buffer.alloc(1)]))).kind).toBe("corrupt");
  });

  test("a header with impossible numbers is refused although its checksum is right", () => {
    for (const [offset, value] of [
      [16, 0n],
      [16, 2n ** 40n],
      [16, 2n ** 63n],
      [40, 0n],
      [40, 2n ** 50n],
      [48, 128n],
      [48, 2n ** 52n],
      [56, 2n ** 64n - 1n],
    ] as const) {
      const copy = damagedCopy((target) => {
        target.writeBigUInt64LE(value, offset);
        sealHeader(target.subarray(0, 128));
      });
      expect(faultOf(() => openBytes(copy)).kind, `${offset} = ${value}`).toBe("corrupt");
    }
  });

  test("another version is refused by name", () => {
    const copy = damagedCopy((target) => {
      target.writeUInt32LE(2, 8);
      sealHeader(target.subarray(0, 128));
    });
    expect(faultOf(() => openBytes(copy)).message).toContain("version is 2");
  });

  test("a record in another record's place is noticed, although each is whole", () => {
    const copy = damagedCopy((target) => {
      const [one, other] = [recordOf(target, 2), recordOf(target, 3)];
      const kept = Buffer.from(one);
      other.copy(one);
      kept.copy(other);
    });
    using index = openBytes(copy);
    expect(faultOf(() => index.node(2)).kind).toBe("corrupt");
    expect(index.node(4).id).toBe(4);
  });

  test("a damaged record hides no name beside it", () => {
    const names = ["a", "b", "c", "d", "e", "f", "g"];
    const flat = buildIndex(names.map((path) => ({ path, sizeBytes: 1 })));
    for (const damaged of names) {
      const copy = Buffer.from(flat.bytes);
      const record = recordOf(copy, flat.ids.get(damaged) ?? 0);
      record.writeUInt8(record.readUInt8(0) ^ 1, 0);
      using index = openBytes(copy);
      for (const name of names) {
        const find = (): unknown => index.lookup(index.node(1), Buffer.from(name))?.id;
        if (name === damaged) expect(faultOf(find).kind).toBe("corrupt");
        else expect(find()).toBe(flat.ids.get(name));
      }
    }
  });

  test("records that lead outside, backwards or to a stranger are refused", () => {
    const id = ids.get("a") ?? 0;
    const changes: ((record: Buffer) => void)[] = [
      (record) => record.writeUInt32LE(0xffff_fff0, 28),
      (record) => record.writeUInt32LE(0xffff_ffff, 32),
      (record) => record.writeUInt32LE(1, 28),
      (record) => record.writeUInt8(7, 38),
      (record) => record.writeBigUInt64LE(2n ** 63n, 16),
      (record) => record.writeUInt32LE(ids.get("a-b/c") ?? 0, 28),
    ];
    for (const change of changes) {
      const copy = damagedCopy((target) => {
        const record = recordOf(target, id);
        change(record);
        sealRecord(record, id, Buffer.from("a"));
      });
      using index = openBytes(copy);
      const listAll = (): void => void childNames(index, index.node(id));
      expect(faultOf(listAll).kind).toBe("corrupt");
    }
  });

  test("ids that no index has are refused", () => {
    using index = openBytes(bytes);
    for (const id of [0, -1, 1.5, NaN, index.nodeCount + 1, 2 ** 32]) {
      expect(faultOf(() => index.node(id)).kind).toBe("corrupt");
    }
  });

  test("a missing file is told as missing", () => {
    expect(faultOf(() => new IndexReader(join(folder, "none.idx"))).kind).toBe("not-found");
  });
});
