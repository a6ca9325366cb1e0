// The file store on real files: the contract, links, special files, and files that change.

import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import {
  chmod,
  mkdir,
  mkdtemp,
  readdir,
  rename,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Entry } from "../../src/model/entry.js";
import { openFileStore } from "../../src/stores/file.js";
import { formatFileUri } from "../../src/stores/uri.js";
import { FaultFs } from "../support/fault-fs.js";
import { lacks } from "../support/needs.js";
import type { StoreUnderTest } from "../contract/store.js";
import {
  collect,
  entryOf,
  faultOf,
  listOptions,
  readAll,
  storeContract,
} from "../contract/store.js";

const store = openFileStore({});
let root: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "refmount-file-"));
});
afterEach(async () => {
  await rm(root, { recursive: true, force: true });
});

async function put(name: string, bytes: string | Uint8Array): Promise<string> {
  const path = join(root, name);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, bytes);
  return path;
}

async function one(path: string): Promise<Entry> {
  const [listed] = await collect(store.list(formatFileUri(path), listOptions()));
  if (listed === undefined) throw new Error("nothing listed");
  return entryOf(listed);
}

storeContract("file", async (): Promise<StoreUnderTest> => {
  const place = await mkdtemp(join(tmpdir(), "refmount-contract-"));
  return {
    store,
    uri: (name) => formatFileUri(join(place, name)),
    async put(name, bytes) {
      await mkdir(dirname(join(place, name)), { recursive: true });
      await writeFile(join(place, name), bytes);
    },
    remove: (name) => rm(join(place, name)),
    oddNames: [
      "a#b",
      "a?b",
      "a%20b",
      "100%",
      "with space",
      "umlaut-\u00e4",
      "astral-\u{1f600}",
      "trailing.",
      "line\nbreak",
      "back\\slash",
      "!@#$%^&[]()|',`~",
      ".hidden",
      "n".repeat(255),
    ],
    keepsVersions: false,
    [Symbol.asyncDispose]: () => rm(place, { recursive: true, force: true }),
  };
});

describe("listing files", () => {
  test("a file is listed with its size, time and local path, and no digest", async () => {
    const path = await put("data/file1.txt", "hello");
    await utimes(path, 1_000, 1_234.5);
    const listed = await collect(store.list(`file://${path}`, listOptions()));
    expect(listed).toEqual([
      {
        key: "file1.txt",
        single: true,
        sizeBytes: 5,
        entryDigest: "",
        uri: `file://${path}`,
        pin: {},
        claims: [],
        mtimeMs: 1_234_500,
        localPath: path,
      },
    ]);
  });

  test("hidden files, empty files and empty directories are listed", async () => {
    await put("data/.hidden", "");
    await mkdir(join(root, "data/empty/below"), { recursive: true });
    const listed = await collect(store.list(formatFileUri(join(root, "data")), listOptions()));
    expect(listed.map(({ key, emptyDirectory }) => [key, emptyDirectory]).sort()).toEqual([
      [".hidden", undefined],
      ["empty/below", true],
    ]);
  });

  test("a directory of which everything is left out is an empty one", async () => {
    await put("data/real/a", "x");
    await mkdir(join(root, "data/links"));
    await symlink("../real", join(root, "data/links/real"));
    const listed = await collect(store.list(formatFileUri(join(root, "data")), listOptions()));
    expect(listed.filter((one) => one.emptyDirectory).map(({ key }) => key)).toEqual(["links"]);
  });

  test("nothing but empty directories is not-found, and they count for no limit", async () => {
    await mkdir(join(root, "data/a/b"), { recursive: true });
    await mkdir(join(root, "data/c"));
    const uri = formatFileUri(join(root, "data"));
    expect((await faultOf(collect(store.list(uri, listOptions())))).kind).toBe("not-found");
    await put("data/file", "x");
    expect(await collect(store.list(uri, listOptions({ maxObjects: 1 })))).toHaveLength(3);
  });

  test("a link to a file of the same tree is that file under the link's name", async () => {
    const target = await put("data/real", "bytes");
    await symlink("real", join(root, "data/link"));
    const listed = await collect(store.list(formatFileUri(join(root, "data")), listOptions()));
    expect(listed.map(({ key, localPath }) => [key, localPath]).sort()).toEqual([
      ["link", target],
      ["real", target],
    ]);
    const link = listed.find(({ key }) => key === "link");
    expect(link && (await readAll(store, entryOf(link))).toString()).toBe("bytes");
  });

  test("a link out of the tree is refused by name", async () => {
    await put("secret", "x");
    await put("data/a", "x");
    await symlink("../secret", join(root, "data/link"));
    const fault = await faultOf(
      collect(store.list(formatFileUri(join(root, "data")), listOptions())),
    );
    expect(fault.kind).toBe("usage");
    expect(fault.message).toContain("data/link");
  });

  test("a link into a sibling whose name begins alike is out of the tree", async () => {
    await put("data2/x", "x");
    await mkdir(join(root, "data"));
    await symlink("../data2/x", join(root, "data/link"));
    const fault = await faultOf(
      collect(store.list(formatFileUri(join(root, "data")), listOptions())),
    );
    expect(fault.message).toContain("out of the tree");
  });

  test("a dangling link is refused by name", async () => {
    await mkdir(join(root, "data"));
    await symlink("nowhere", join(root, "data/link"));
    const fault = await faultOf(
      collect(store.list(formatFileUri(join(root, "data")), listOptions())),
    );
    expect([fault.kind, fault.message]).toEqual([
      "usage",
      expect.stringContaining("leads nowhere"),
    ]);
  });

  test("a link to a directory of the tree is left out with a notice, loops included", async () => {
    await put("data/real/a", "x");
    await symlink("real", join(root, "data/link"));
    await symlink("..", join(root, "data/real/loop"));
    const options = listOptions();
    const listed = await collect(store.list(formatFileUri(join(root, "data")), options));
    expect(listed.map(({ key }) => key)).toEqual(["real/a"]);
    expect(options.notices.join("\n")).toMatch(/data\/link is a symbolic link to a directory/);
  });

  test("a link given as the source itself is followed", async () => {
    await put("data/a", "x");
    await symlink("data", join(root, "current"));
    const listed = await collect(store.list(formatFileUri(join(root, "current")), listOptions()));
    expect(listed.map(({ key, uri, localPath }) => [key, uri, localPath])).toEqual([
      ["a", formatFileUri(join(root, "current/a")), join(root, "data/a")],
    ]);
  });

  test("named pipes and sockets are refused by name", async () => {
    await put("data/a", "x");
    const fifo = join(root, "data/pipe");
    execFileSync("mkfifo", [fifo]);
    const uri = formatFileUri(join(root, "data"));
    const fault = await faultOf(collect(store.list(uri, listOptions())));
    expect([fault.kind, fault.message]).toEqual([
      "usage",
      expect.stringMatching(/data\/pipe is a named pipe/),
    ]);
    await rm(fifo);
    const server = createServer().listen(join(root, "data/sock"));
    await once(server, "listening");
    expect((await faultOf(collect(store.list(uri, listOptions())))).message).toContain("a socket");
    server.close();
  });

  test.skipIf(lacks("root"))("devices are refused by name, and links to them", async () => {
    await put("data/a", "x");
    execFileSync("mknod", [join(root, "data/null"), "c", "1", "3"]);
    await symlink("null", join(root, "data/link"));
    const uri = formatFileUri(join(root, "data"));
    const { kind, message } = await faultOf(collect(store.list(uri, listOptions())));
    expect(kind).toBe("usage");
    expect(message).toMatch(/data\/null is a device, not a file: move it away/);
    expect(message).toMatch(/data\/link is a symbolic link to a device, not to a file: remove it/);
  });

  test("of many bad files the first ten are named, and what is good is listed no further", async () => {
    await mkdir(join(root, "data"));
    for (let index = 0; index < 12; index++) {
      await symlink("nowhere", join(root, `data/link${index}`));
    }
    await put("data/sub/good", "x");
    const uri = formatFileUri(join(root, "data"));
    const many = await faultOf(collect(store.list(uri, listOptions())));
    expect(many.kind).toBe("usage");
    expect(many.message).toMatch(/^More than 10 files of file:.*data cannot be logged/);
    expect(many.message.split("\n")).toHaveLength(11);
    for (let index = 2; index < 12; index++) await rm(join(root, `data/link${index}`));
    const two = await faultOf(collect(store.list(uri, listOptions())));
    expect(two.message).toMatch(
      /^2 files of .*\n {2}file:.*data\/link[01] is a symbolic link that leads nowhere.*\n {2}file:/,
    );
  });

  test("links that lead in a circle are refused by name", async () => {
    await put("data/a", "x");
    await symlink("two", join(root, "data/one"));
    await symlink("one", join(root, "data/two"));
    const fault = await faultOf(
      collect(store.list(formatFileUri(join(root, "data")), listOptions())),
    );
    expect(fault.message).toMatch(/data\/one is a symbolic link that leads nowhere/);
    expect(fault.message).toMatch(/data\/two is a symbolic link that leads nowhere/);
  });

  test("a name with a real U+FFFD in it is a name like others", async () => {
    await put("data/odd-\ufffd", "x");
    const listed = await collect(store.list(formatFileUri(join(root, "data")), listOptions()));
    expect(listed.map(({ key }) => key)).toEqual(["odd-\ufffd"]);
  });

  test("a tree of 500 levels is walked to its end", async () => {
    const deep = "d/".repeat(500);
    await mkdir(join(root, "data", deep), { recursive: true });
    for (const level of [1, 250, 500]) await put(`data/${"d/".repeat(level)}file`, "x");
    const before = (await readdir("/proc/self/fd")).length;
    const listed = await collect(store.list(formatFileUri(join(root, "data")), listOptions()));
    expect(listed.map(({ key }) => key.split("/").length - 1).sort((a, b) => a - b)).toEqual([
      1, 250, 500,
    ]);
    await expect
      .poll(async () => (await readdir("/proc/self/fd")).length)
      .toBeLessThan(before + 20);
  });

  test("100,000 files in one directory are listed in one go", async () => {
    await put("data/one", "x");
    await put("data/two", "y");
    const script = `import os, sys
for i in range(49_999):
    os.link("one", f"a{i}")
    os.link("two", f"b{i}")`;
    execFileSync("python3", ["-c", script], { cwd: join(root, "data") });
    const uri = formatFileUri(join(root, "data"));
    const keys = new Set<string>();
    for await (const { key } of store.list(uri, listOptions({ maxObjects: 100_000 })))
      keys.add(key);
    expect(keys.size).toBe(100_000);
  });

  test.skipIf(lacks("root", "fuse", "python3"))(
    "what goes away between its directory and itself is left out",
    async () => {
      await put("behind/a", "x");
      await put("behind/sub/b", "x");
      await put("behind/sub/c", "x");
      await mkdir(join(root, "nas"));
      await using fs = await FaultFs.mount(join(root, "behind"), join(root, "nas"));
      await fs.fail("ENOENT", { ops: ["lookup"], path: /^a$|^sub\/b$/ });
      const listed = await collect(store.list(formatFileUri(join(root, "nas")), listOptions()));
      expect(listed.map(({ key }) => key)).toEqual(["sub/c"]);
      await fs.fail("ENOENT", { ops: ["opendir"], path: /^sub$/ });
      await put("behind/d", "x");
      const fewer = await collect(store.list(formatFileUri(join(root, "nas")), listOptions()));
      expect(fewer.map(({ key }) => key)).toEqual(["d"]);
    },
  );

  test("a name that is not UTF-8 is refused, not garbled", async () => {
    const data = join(root, "data");
    await mkdir(data);
    await writeFile(Buffer.concat([Buffer.from(`${data}/bad-`), Buffer.from([0xff])]), "x");
    const fault = await faultOf(collect(store.list(formatFileUri(data), listOptions())));
    expect([fault.kind, fault.message]).toEqual(["usage", expect.stringContaining("UTF-8")]);
  });

  test("uris that name no local path are refused", async () => {
    for (const uri of [
      "file://data/x",
      "file:relative",
      "file:///a/../b",
      "file:///a%00b",
      "file:///%zz",
    ]) {
      expect((await faultOf(collect(store.list(uri, listOptions())))).kind).toBe("usage");
    }
    const localhost = await put("a", "x");
    expect(await collect(store.list(`file://localhost${localhost}`, listOptions()))).toHaveLength(
      1,
    );
  });

  test("--pin version is refused: files have no versions", async () => {
    const path = await put("a", "x");
    const fault = await faultOf(
      collect(store.list(formatFileUri(path), listOptions({ pinVersion: true }))),
    );
    expect([fault.kind, fault.message]).toEqual([
      "usage",
      expect.stringContaining("--pin version"),
    ]);
  });
});

describe("fetching files", () => {
  test("the bytes, the local path and no promise that they are the logged ones", async () => {
    const bytes = randomBytes(2_500_000);
    const entry = await one(await put("a", bytes));
    await using fetched = await store.fetch(entry, null, new AbortController().signal);
    expect(fetched).toMatchObject({ pinned: false, localPath: join(root, "a"), claims: [] });
    expect(Buffer.concat(await collect(fetched.body)).equals(bytes)).toBe(true);
    await fetched.confirm?.();
  });

  test("another size than logged is drift before any byte is read", async () => {
    const path = await put("a", "123");
    const entry = await one(path);
    await writeFile(path, "1234");
    expect((await faultOf(readAll(store, entry))).kind).toBe("drifted");
  });

  test.each([
    ["written to", (path: string) => writeFile(path, "456")],
    [
      "replaced by a file with equal size and time",
      async (path: string) => {
        const { atime, mtime } = await stat(path);
        await writeFile(`${path}.new`, "456");
        await utimes(`${path}.new`, atime, mtime);
        await rename(`${path}.new`, path);
      },
    ],
    ["removed", (path: string) => rm(path)],
    ["truncated", (path: string) => writeFile(path, "1")],
  ])("a file that is %s during the fetch is not confirmed", async (_how, change) => {
    const path = await put("a", "123");
    const entry = await one(path);
    await using fetched = await store.fetch(entry, null, new AbortController().signal);
    await change(path);
    expect((await faultOf(Promise.resolve(fetched.confirm?.()))).kind).toBe("drifted");
  });

  test("a file that shrinks under the reader is drift, not a short body", async () => {
    const path = await put("a", Buffer.alloc(3_000_000));
    const entry = await one(path);
    await using fetched = await store.fetch(entry, null, new AbortController().signal);
    const reading = (async () => {
      for await (const chunk of fetched.body) if (chunk.length > 0) await writeFile(path, "short");
    })();
    expect((await faultOf(reading)).kind).toBe("drifted");
  });

  test.each([
    ["a named pipe", (path: string) => void execFileSync("mkfifo", [path])],
    ["a directory", (path: string) => mkdir(path)],
    ["a dangling link", (path: string) => symlink("nowhere", path)],
  ])("%s in the file's place has drifted, and blocks nobody", async (_what, make) => {
    const path = await put("a", "123");
    const entry = await one(path);
    await rm(path);
    await make(path);
    expect((await faultOf(readAll(store, entry))).kind).toBe("drifted");
  });

  test("a file in the place of a directory has drifted", async () => {
    const path = await put("dir/a", "123");
    const entry = await one(path);
    await rm(dirname(path), { recursive: true });
    await writeFile(dirname(path), "x");
    expect((await faultOf(readAll(store, entry))).kind).toBe("drifted");
  });

  test.skipIf(process.getuid?.() === 0)("a file that may not be read is denied", async () => {
    const path = await put("a", "123");
    const entry = await one(path);
    await chmod(path, 0);
    expect((await faultOf(readAll(store, entry))).kind).toBe("denied");
  });
});
