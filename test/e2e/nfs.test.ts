// What a reader of a mount, `log` and `download` see when the file system that holds the logged files
// is dead, slow or restarted, as NFS servers are. It stands in for NFS, which the kernel of a test
// machine may not have: see support/fault-fs.ts.

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { FaultFs } from "../support/fault-fs.js";
import { needs } from "../support/needs.js";
import { complaintOf, readFileElsewhere } from "../support/reader.js";
import { Rig } from "../support/rig.js";
import { statusOf, until } from "../support/status.js";

const READY = needs("fuse", "addon", "root", "python3");
/** How long the daemon waits for bytes, and how much longer a reader may have to on a busy machine. */
const TIMEOUT_MS = 2_000;
const SLACK_MS = 6_000;
/** More than a file system has threads. */
const READERS = 24;
const EIO = /Input\/output error/;

/** A rig with a folder behind the fault layer, at `nas`. */
async function world(
  files: Readonly<Record<string, string | Uint8Array>>,
): Promise<{ rig: Rig; fs: FaultFs; nas: string }> {
  const rig = await Rig.create();
  const nas = rig.path("nas");
  await mkdir(nas);
  const fs = await FaultFs.mount(await rig.tree("behind", files), nas);
  return { rig, fs, nas };
}

function numbered(count: number, text: (index: number) => string): Record<string, string> {
  return Object.fromEntries(
    Array.from({ length: count }, (_, index) => [`f${index}`, text(index)]),
  );
}

async function log(rig: Rig, name: string, folder: string): Promise<void> {
  await rig.ok("log", name, "--type", "dataset", "--ref", `file://${folder}`);
}

function mount(rig: Rig, name: string, timeoutMs = TIMEOUT_MS): Promise<string> {
  return rig.mount(name, `mnt-${name}`, "--io", "cached", "--timeout", `${timeoutMs}ms`);
}

/** Waits until the file reads: a failure is remembered for a second. */
async function untilRead(path: string): Promise<string> {
  return until(
    () => readFileElsewhere(path).then(String, () => ""),
    (text) => text !== "",
  );
}

describe.runIf(READY)("a dead server", () => {
  test("stops its own readers, in time, and nobody else, and reads again when it is back", async () => {
    const { rig, fs, nas } = await world(numbered(READERS, (index) => `nas ${index}`));
    await using _ = rig;
    await log(rig, "nas", nas);
    await log(
      rig,
      "plain",
      await rig.tree(
        "plain",
        numbered(40, (index) => `plain ${index}`),
      ),
    );
    const nasDir = await mount(rig, "nas");
    const plainDir = await mount(rig, "plain");
    const held = await fs.hold({ ops: ["read"] });
    const begunMs = performance.now();
    const readers = Array.from({ length: READERS }, async (_each, index) => {
      const complaint = await complaintOf(join(nasDir, `f${index}`));
      return { complaint, tookMs: performance.now() - begunMs };
    });
    await held.reached(10);

    for (let index = 0; index < 40; index++) {
      expect((await readFileElsewhere(join(plainDir, `f${index}`))).toString()).toBe(
        `plain ${index}`,
      );
    }
    const { mounts } = await statusOf(rig);
    expect(mounts).toHaveLength(2);
    for (const { complaint, tookMs } of await Promise.all(readers)) {
      expect(complaint).toMatch(EIO);
      expect(tookMs).toBeLessThan(TIMEOUT_MS + SLACK_MS);
    }
    const { errors } = await statusOf(rig);
    expect(errors[0]).toMatchObject({
      mount: expect.stringMatching(/^nas:/) as string,
      kind: "unavailable",
      message: expect.stringMatching(
        /^Cannot read file:.*\/nas\/f\d+: the file system at \S+\/nas \(fuse\.fault\) has not answered for 2 s/,
      ) as string,
    });
    // Still dead, and its threads still wait.
    await rig.ok("unmount", plainDir);
    expect(await untilRead(join(await mount(rig, "plain"), "f0"))).toBe("plain 0");

    await held.end();
    for (let index = 0; index < READERS; index++) {
      expect(await untilRead(join(nasDir, `f${index}`))).toBe(`nas ${index}`);
    }
  });

  test("keeps one thread per file, however often the file is asked for", async () => {
    const { rig, fs, nas } = await world({ a: "first", b: "second" });
    await using _ = rig;
    await log(rig, "nas", nas);
    const dir = await mount(rig, "nas", 300);
    const held = await fs.hold({ ops: ["open"], path: /^a$/ });
    for (let attempt = 0; attempt < 3; attempt++) {
      // The failure before is remembered for a second.
      await until(
        () => complaintOf(join(dir, "a")).then(async () => (await statusOf(rig)).errors.length),
        (failures) => failures > attempt,
      );
    }
    expect(held.met).toEqual(["a"]);
    expect((await readFileElsewhere(join(dir, "b"))).toString()).toBe("second");
    await held.end();
    expect(await untilRead(join(dir, "a"))).toBe("first");
  });

  test("does not keep an unmounted daemon from ending", async () => {
    const { rig, fs, nas } = await world({ a: "first" });
    await using _ = rig;
    await log(rig, "nas", nas);
    const dir = await mount(rig, "nas");
    await fs.hold({ ops: ["read"] });
    expect(await complaintOf(join(dir, "a"))).toMatch(EIO);
    await rig.ok("unmount", dir);
    await until(
      () => rig.processes(),
      (processes) => processes.length === 0,
    );
  });

  test.each(["lookup", "open", "readdir", "read"] as const)(
    "that holds %s lets Ctrl-C end a log",
    async (operation) => {
      const { rig, fs, nas } = await world({ "sub/a": "first", "sub/b": "second" });
      await using _ = rig;
      const held = await fs.hold({ ops: [operation], path: /^sub/ });
      const running = rig.start(["log", "nas", "--type", "dataset", "--ref", `file://${nas}`]);
      await running.until(held.reached(1));
      running.child.kill("SIGINT");
      expect(await running.ended).toMatchObject({ code: 130 });
    },
  );

  test("lets Ctrl-C end a download, which goes on when the server is back", async () => {
    const { rig, fs, nas } = await world({ a: "first" });
    await using _ = rig;
    await log(rig, "nas", nas);
    const held = await fs.hold({ ops: ["read"] });
    const out = rig.path("out");
    const running = rig.start(["download", "nas", out]);
    await running.until(held.reached(1));
    running.child.kill("SIGINT");
    expect(await running.ended).toMatchObject({ code: 130 });
    await held.end();
    await rig.ok("download", "nas", out);
    expect((await readFileElsewhere(join(out, "a"))).toString()).toBe("first");
  });
});

describe.runIf(READY)("a server that was restarted", () => {
  test.each([
    ["read", 1],
    // The kernel itself asks once more for a stale name.
    ["open", 2],
    ["getattr", 2],
  ] as const)(
    "and answers ESTALE to %s costs a retry and nothing else",
    async (operation, times) => {
      const { rig, fs, nas } = await world({ a: "first" });
      await using _ = rig;
      await log(rig, "nas", nas);
      const dir = await mount(rig, "nas");
      const upset = await fs.fail("ESTALE", { ops: [operation], path: /^a$/, times });
      expect((await readFileElsewhere(join(dir, "a"))).toString()).toBe("first");
      expect(upset.met).toHaveLength(times);
    },
  );

  test("and answers ESTALE and EIO to a log costs it a retry", async () => {
    const { rig, fs, nas } = await world({ "sub/a": "first", b: "second" });
    await using _ = rig;
    const upsets = [
      await fs.fail("EIO", { ops: ["opendir"], path: /^sub$/, times: 1 }),
      await fs.fail("ESTALE", { ops: ["lookup"], path: /^b$/, times: 2 }),
      await fs.fail("EIO", { ops: ["read"], path: /^sub\/a$/, times: 1 }),
    ];
    await log(rig, "nas", nas);
    for (const upset of upsets) expect(upset.met.length).toBeGreaterThan(0);
    expect((await rig.json<{ files: number }>("show", "nas")).files).toBe(2);
  });
});

describe.runIf(READY)("a server that fails", () => {
  test.each(["EIO", "ETIMEDOUT"] as const)(
    "with %s is an error until it is over, with the reason in status",
    async (code) => {
      const { rig, fs, nas } = await world({ a: "first" });
      await using _ = rig;
      await log(rig, "nas", nas);
      const dir = await mount(rig, "nas", 500);
      const upset = await fs.fail(code, { ops: ["read"] });
      expect(await complaintOf(join(dir, "a"))).toMatch(EIO);
      expect((await statusOf(rig)).errors[0]).toMatchObject({
        path: "a",
        kind: "unavailable",
        message: expect.stringContaining(`the file system answers ${code}`) as string,
      });
      await upset.end();
      expect(await untilRead(join(dir, "a"))).toBe("first");
    },
  );

  test("with ENOENT has lost the file: that is drift, and no retry", async () => {
    const { rig, fs, nas } = await world({ a: "first" });
    await using _ = rig;
    await log(rig, "nas", nas);
    const dir = await mount(rig, "nas");
    await fs.fail("ENOENT", { ops: ["lookup"], path: /^a$/ });
    expect(await complaintOf(join(dir, "a"))).toMatch(/Stale file handle/);
  });
});

test.runIf(READY).each([
  ["open", /^sub\/a$/, /Cannot list file:.*\/nas\/sub\/a: permission denied/],
  ["opendir", /^sub$/, /Cannot list file:.*\/nas\/sub: permission denied/],
] as const)(
  "what may not be read, by %s, is named and nothing is logged",
  async (op, path, words) => {
    const { rig, fs, nas } = await world({ "sub/a": "first", b: "second" });
    await using _ = rig;
    await fs.fail("EACCES", { ops: [op], path });
    const outcome = await rig.run("log", "nas", "--type", "dataset", "--ref", `file://${nas}`);
    expect(outcome).toMatchObject({ code: 4, stderr: expect.stringMatching(words) as string });
    expect(await rig.json("ls")).toEqual({ collections: [] });
  },
);

test.runIf(READY)("a slow server is waited for as long as bytes come", async () => {
  const bytes = Buffer.alloc(2_000_000, "slow ");
  const { rig, fs, nas } = await world({ a: bytes });
  await using _ = rig;
  await log(rig, "nas", nas);
  const timeoutMs = 1_000;
  const dir = await mount(rig, "nas", timeoutMs);
  // 16 requests, one after the other.
  await fs.slow(100, { ops: ["read"] });
  const begunMs = performance.now();
  expect((await readFileElsewhere(join(dir, "a"))).equals(bytes)).toBe(true);
  expect(performance.now() - begunMs).toBeGreaterThan(timeoutMs);
});
