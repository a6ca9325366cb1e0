import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, afterEach, describe, expect, it } from "vitest";
import type { Entry } from "../../src/model/entry.js";
import { Fault, type FaultKind } from "../../src/model/fault.js";
import { addon } from "../../src/native/addon.js";
import { Budget } from "../../src/model/budget.js";
import { Observed } from "../../src/cache/observed.js";
import { receive, type ReceiveOptions, type Received } from "../../src/cache/receive.js";
import { flipped, Folder, hashed, md5, Origin, pinned, sha1, sha256 } from "./origin.js";

const MIB = 1_048_576;

let folder: Folder;
let observed: Observed;
let origin: Origin;
let target: string;
let files = 0;

beforeEach(() => {
  folder = new Folder();
  observed = Observed.open(join(folder.path, "observed.sqlite"), throwLine);
  origin = new Origin();
  target = join(folder.path, `target-${++files}`);
});

afterEach(() => {
  observed[Symbol.dispose]();
  folder[Symbol.dispose]();
});

function throwLine(line: string): void {
  throw new Error(line);
}

function take(entry: Entry, options: Partial<ReceiveOptions> = {}): Promise<Received> {
  target = join(folder.path, `target-${++files}`);
  const signal = new AbortController().signal;
  return receive(entry, origin.fetch, target, { observed, timeoutMs: 5000, signal, ...options });
}

async function faultOf(promise: Promise<unknown>): Promise<Fault> {
  const error = await promise.then(
    () => new Error("it did not fail"),
    (reason: unknown) => reason,
  );
  if (!(error instanceof Fault)) throw error;
  return error;
}

async function expectFault(
  promise: Promise<unknown>,
  kind: FaultKind,
  text?: string,
): Promise<void> {
  const fault = await faultOf(promise);
  expect([fault.kind, fault.message]).toEqual([kind, expect.stringContaining(text ?? "")]);
  expect(existsSync(target), "no file stays").toBe(false);
}

const claim = (bytes: Uint8Array): Entry["claims"] => [
  { algorithm: "md5", value: md5(bytes), source: "etag" },
];

describe("verification", () => {
  const bytes = Buffer.from("the logged bytes of this object");
  const levels: Record<string, Partial<Entry>> = {
    content: { digests: { sha256: sha256(bytes) } },
    "content by md5 alone": { digests: { md5: md5(bytes) } },
    provider: { claims: claim(bytes) },
    pin: {},
    none: { pin: {} },
  };

  it("checks a checksum of the answer, but says no more of an entry that pins nothing", async () => {
    origin.put("a", bytes);
    origin.answer = { claims: [{ algorithm: "md5", value: md5(bytes), source: "checksum" }] };
    const loose = pinned("a", bytes.length, { pin: {} });
    expect((await take(loose)).assurance).toBe("none");
    expect((await take(pinned("a", bytes.length))).assurance).toBe("provider");
    origin.answer = {
      claims: [{ algorithm: "md5", value: md5(Buffer.from("x")), source: "checksum" }],
    };
    await expect(take(loose)).rejects.toThrow(/md5 that the store holds/);
  });

  for (const [level, differences] of Object.entries(levels)) {
    it(`accepts the right bytes at level ${level}`, async () => {
      origin.put("a", bytes);
      const received = await take(pinned("a", bytes.length, differences));
      expect(received.assurance).toBe(level.split(" ")[0]);
      expect(readFileSync(target)).toEqual(bytes);
      expect(statSync(target).mode & 0o777).toBe(0o400);
      expect(received.sha256).toBe(sha256(bytes));
      expect(received.hashes.blockCrcs.readUInt32LE()).toBe(addon().crc32c(bytes));
      expect(origin.disposed).toBe(origin.opened);
    });

    it(`refuses another size at level ${level}, as corrupt where the store pins and else as drift`, async () => {
      for (const other of [bytes.subarray(1), Buffer.concat([bytes, bytes])]) {
        origin.put("a", other);
        const entry = pinned("a", bytes.length, differences);
        origin.answer = { pinned: true };
        await expectFault(take(entry), "corrupt", `${bytes.length} were logged`);
        origin.answer = { pinned: false };
        await expectFault(take(entry), "drifted", `${bytes.length} were logged`);
      }
      expect(origin.disposed).toBe(origin.opened);
    });

    it(`refuses a body that is longer than promised at level ${level}`, async () => {
      origin.put("a", bytes);
      origin.plan.push({ surplus: 3 }, { surplus: 3 });
      await expectFault(take(pinned("a", bytes.length, differences)), "corrupt", "longer");
    });

    it(`goes on where a short body ended at level ${level}`, async () => {
      origin.put("a", bytes);
      origin.plan.push({ breakAfter: 10 });
      await take(pinned("a", bytes.length, differences));
      expect(readFileSync(target)).toEqual(bytes);
      expect(origin.requests.map(({ range }) => range)).toEqual([
        null,
        { start: 10, end: bytes.length },
      ]);
    });
  }

  for (const level of ["content", "content by md5 alone", "provider"]) {
    it(`refuses a flipped bit at level ${level}, after fetching twice where the store pins`, async () => {
      origin.put("a", flipped(bytes, 7));
      const entry = pinned("a", bytes.length, levels[level]);
      await expectFault(take(entry), "corrupt", "test://bucket/a");
      expect(origin.requests).toHaveLength(2);
      origin.answer = { pinned: false };
      await expectFault(take(entry), "drifted", "log a new version");
      expect(origin.requests).toHaveLength(3);
    });
  }

  it("takes the second answer when only the first was damaged", async () => {
    origin.put("a", bytes);
    const entry = hashed("a", bytes);
    let first = true;
    const fetch: typeof origin.fetch = async (...request) => {
      const fetched = await origin.fetch(...request);
      if (!first) return fetched;
      first = false;
      return { ...fetched, body: bodyOf(flipped(bytes)) };
    };
    const done: number[] = [];
    await receive(entry, fetch, target, {
      observed,
      timeoutMs: 5000,
      signal: new AbortController().signal,
      onProgress: (doneBytes) => done.push(doneBytes),
    });
    expect(readFileSync(target)).toEqual(bytes);
    expect(done).toEqual([bytes.length, 0, bytes.length]);
  });

  it("never ignores one wrong checksum among right ones", async () => {
    origin.put("a", bytes);
    origin.answer = {
      claims: [
        { algorithm: "sha256", value: sha256(bytes), source: "checksum" },
        { algorithm: "crc32", value: "00000000", source: "checksum" },
      ],
    };
    await expectFault(
      take(pinned("a", bytes.length, { claims: claim(bytes) })),
      "corrupt",
      "crc32",
    );
  });

  it("counts a checksum that is learnt from the answer", async () => {
    origin.put("a", bytes);
    origin.answer = { claims: [{ algorithm: "md5", value: md5(bytes), source: "checksum" }] };
    expect((await take(pinned("a", bytes.length))).assurance).toBe("provider");
    origin.answer = {
      claims: [{ algorithm: "md5", value: md5(Buffer.alloc(1)), source: "checksum" }],
    };
    await expectFault(take(pinned("b", bytes.length, { uri: "test://bucket/a" })), "corrupt");
  });

  it("gets only the pin's assurance where encryption voids the ETag", async () => {
    origin.put("a", bytes);
    origin.answer = { etagIsHash: false };
    const entry = pinned("a", bytes.length, {
      claims: claim(Buffer.from("of the encrypted bytes")),
    });
    expect((await take(entry)).assurance).toBe("pin");
    const checksum = { algorithm: "crc32c", value: "00000000", source: "checksum" } as const;
    origin.answer = { etagIsHash: false, claims: [checksum] };
    await expectFault(take(entry), "corrupt", "crc32c");
  });

  it("gets no assurance from a pin that the store did not honour", async () => {
    origin.put("a", bytes);
    origin.answer = { pinned: false };
    expect((await take(pinned("a", bytes.length))).assurance).toBe("none");
    expect(observed.find(pinned("a", bytes.length))).toBeNull();
  });

  it("learns the size of an object whose listing gave none", async () => {
    for (const size of [0, 10, 3 * MIB]) {
      const body = origin.put(`s${size}`, size);
      const entry = pinned(`s${size}`, 0, { sizeBytes: null });
      expect((await take(entry)).sizeBytes).toBe(size);
      expect(readFileSync(target).equals(body)).toBe(true);
    }
  });
});

describe("what was observed", () => {
  const bytes = Buffer.from("first sight");

  it("holds a pinned object to its first bytes, also for another reader of the table", async () => {
    origin.put("a", bytes);
    await take(pinned("a", bytes.length));
    observed[Symbol.dispose]();
    observed = Observed.open(join(folder.path, "observed.sqlite"), () => undefined);
    await take(pinned("a", bytes.length));
    origin.put("a", flipped(bytes));
    await expectFault(take(pinned("a", bytes.length)), "corrupt", "seen at the first fetch");
    origin.answer = { pinned: false };
    await expectFault(take(pinned("a", bytes.length)), "drifted", "seen at the first fetch");
    expect((await take(pinned("a", bytes.length, { pin: { versionId: "other" } }))).sha256).toBe(
      sha256(flipped(bytes)),
    );
  });

  it("is shared by processes that have the table open at once; the first sight counts", async () => {
    const path = join(folder.path, "new folder", "observed.sqlite");
    const [one, two] = [Observed.open(path, throwLine), Observed.open(path, throwLine)];
    const entry = pinned("a", bytes.length);
    origin.put("a", bytes);
    await take(entry, { observed: one });
    origin.put("a", flipped(bytes));
    // Not written yet: both believe to be the first.
    await take(entry, { observed: two });
    one[Symbol.dispose]();
    two[Symbol.dispose]();
    using later = Observed.open(path, throwLine);
    expect(later.find(entry)?.sha256).toBe(sha256(bytes));
    await expectFault(take(entry, { observed: later }), "corrupt");
  });

  it("gives way to bytes that a checksum of the provider proves", async () => {
    origin.put("a", flipped(bytes));
    await take(pinned("a", bytes.length));
    origin.put("a", bytes);
    await take(pinned("a", bytes.length, { claims: claim(bytes) }));
    expect(observed.find(pinned("a", bytes.length))?.sha256).toBe(sha256(bytes));
    origin.put("a", flipped(bytes));
    await expectFault(take(pinned("a", bytes.length)), "corrupt");
  });

  it("holds an unpinned object within its scope only", async () => {
    const entry = pinned("a", bytes.length, { pin: { etag: "W/weak" } });
    origin.answer = { pinned: false };
    origin.put("a", bytes);
    await take(entry, { scope: "one" });
    origin.put("a", flipped(bytes));
    await expectFault(take(entry, { scope: "one" }), "drifted");
    await take(entry, { scope: "two" });
    await take(entry);
    await observed.forgetScope("one");
    await take(entry, { scope: "one" });
  });

  it("joins what several fetches told of the same bytes", async () => {
    origin.put("a", bytes);
    await take(pinned("a", bytes.length, { digests: { md5: md5(bytes) } }));
    origin.answer = { claims: [{ algorithm: "sha1", value: sha1(bytes), source: "checksum" }] };
    await take(pinned("a", bytes.length));
    expect(observed.find(pinned("a", bytes.length))).toMatchObject({
      digests: { sha256: sha256(bytes), md5: md5(bytes), sha1: sha1(bytes) },
      providerChecked: true,
    });
  });
});

describe("transfers", () => {
  it("reads a large object by parallel ranges and writes them in order", async () => {
    const bytes = origin.put("big", 40 * MIB + 17);
    const done: number[] = [];
    const received = await take(hashed("big", bytes), { onProgress: (n) => done.push(n) });
    expect(readFileSync(target).equals(bytes)).toBe(true);
    expect(received.hashes.chunks.length).toBe(41 * 32);
    expect(origin.requests.map(({ range }) => range)).toEqual([
      { start: 0, end: 8 * MIB },
      { start: 8 * MIB, end: 16 * MIB },
      { start: 16 * MIB, end: 24 * MIB },
      { start: 24 * MIB, end: 32 * MIB },
      { start: 32 * MIB, end: 40 * MIB },
      { start: 40 * MIB, end: 40 * MIB + 17 },
    ]);
    expect(done.at(-1)).toBe(bytes.length);
    expect(origin.disposed).toBe(origin.opened);
  });

  it("repeats only the rest of the one range that broke", async () => {
    const bytes = origin.put("big", 20 * MIB);
    origin.plan.push({}, { breakAfter: 3 * MIB });
    await take(hashed("big", bytes));
    expect(readFileSync(target).equals(bytes)).toBe(true);
    expect(origin.requests.map(({ range }) => range)).toContainEqual({
      start: 11 * MIB,
      end: 16 * MIB,
    });
    expect(origin.requests).toHaveLength(4);
  });

  it("uses the whole as it comes from a server that ignores ranges", async () => {
    const bytes = origin.put("big", 20 * MIB);
    origin.ranges = false;
    await take(hashed("big", bytes));
    expect(readFileSync(target).equals(bytes)).toBe(true);
    expect(origin.requests).toHaveLength(1);
  });

  it("skips what it has when such a server breaks off", async () => {
    const bytes = origin.put("big", 20 * MIB);
    origin.ranges = false;
    origin.plan.push({ breakAfter: 5 * MIB + 1 });
    await take(hashed("big", bytes));
    expect(readFileSync(target).equals(bytes)).toBe(true);
    expect(origin.requests).toHaveLength(2);
  });

  it("stays right when a server ignores ranges from the second one on", async () => {
    const bytes = origin.put("big", 20 * MIB);
    const fetch: typeof origin.fetch = async (...request) => {
      const fetched = await origin.fetch(...request);
      origin.ranges = false;
      return fetched;
    };
    const signal = new AbortController().signal;
    await receive(hashed("big", bytes), fetch, target, { observed, timeoutMs: 5000, signal });
    expect(readFileSync(target).equals(bytes)).toBe(true);
    expect(origin.disposed).toBe(origin.opened);
  });

  it("ends with the range that cannot be had, gives its buffers back and leaves no file", async () => {
    const bytes = origin.put("big", 40 * MIB);
    origin.plan.push({}, {}, { refuse: new Fault("drifted", "gone") });
    const buffers = new Budget(64 * MIB);
    await expectFault(take(hashed("big", bytes), { buffers }), "drifted", "gone");
    expect(buffers.free).toBe(64 * MIB);
    expect(origin.disposed).toBe(origin.opened);
  });

  it("reads many large objects at once within a budget smaller than one window", async () => {
    const buffers = new Budget(10 * MIB);
    const bytes = origin.put("big", 20 * MIB);
    const signal = new AbortController().signal;
    await Promise.all(
      [1, 2, 3, 4].map((number) =>
        receive(hashed("big", bytes), origin.fetch, join(folder.path, `many-${number}`), {
          observed,
          timeoutMs: 5000,
          signal,
          buffers,
        }),
      ),
    );
    expect(buffers.free).toBe(10 * MIB);
  });

  it("gives up when nothing comes for the timeout, with the last fault", async () => {
    origin.put("a", 100);
    for (let count = 0; count < 10_000; count++) origin.plan.push({ breakAfter: 0 });
    await expectFault(take(pinned("a", 100), { timeoutMs: 50 }), "unavailable", "reset");
    expect(origin.requests.length).toBeGreaterThan(1);
  });

  it("gives up on a body that neither moves nor ends", async () => {
    origin.put("a", 100);
    origin.hold();
    await expectFault(take(pinned("a", 100), { timeoutMs: 20 }), "unavailable", "no progress");
  });

  it("refuses a size that changes between two ranges", async () => {
    const bytes = origin.put("big", 20 * MIB);
    origin.answer = { pinned: false };
    origin.plan.push({ breakAfter: MIB });
    const fetch: typeof origin.fetch = async (...request) => {
      const fetched = await origin.fetch(...request);
      origin.put("big", Buffer.concat([bytes, Buffer.alloc(1)]));
      return fetched;
    };
    const signal = new AbortController().signal;
    await expectFault(
      receive(hashed("big", bytes), fetch, target, { observed, timeoutMs: 5000, signal }),
      "drifted",
      "its size is",
    );
  });

  it("stops at once when its signal fires, with the reason", async () => {
    origin.put("a", 3 * MIB);
    const release = origin.hold();
    const abort = new AbortController();
    const receiving = take(pinned("a", 3 * MIB), { signal: abort.signal });
    await origin.waiting(1);
    abort.abort(new Fault("unavailable", "closing"));
    await expectFault(receiving, "unavailable", "closing");
    release();
  });
});

async function* bodyOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  await Promise.resolve();
  yield bytes;
}
