// Fetching over HTTP: what ties an answer to what was logged, ranges, what it proves, and everything
// that can go wrong with one.

import { createHash } from "node:crypto";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Entry } from "../../src/model/entry.js";
import type { ByteRange, Fetched } from "../../src/model/fetch.js";
import { openHttpStore } from "../../src/stores/http/store.js";
import type { Store } from "../../src/stores/store.js";
import { collect, entryOf, faultOf, listOptions, readAll } from "../contract/store.js";
import type { Accident, HttpDouble, ServedOptions } from "../support/http-double.js";
import { generated, startHttpDouble } from "../support/http-double.js";

let double: HttpDouble;
let store: Store;
beforeEach(async () => {
  double = await startHttpDouble();
  store = openHttpStore({}, { retryTimeoutMs: 0, stallTimeoutMs: 300 });
});
afterEach(async () => {
  await store.close();
  await double[Symbol.asyncDispose]();
});

const BYTES = "0123456789";

async function logged(bytes: Parameters<HttpDouble["put"]>[1], options: ServedOptions = {}) {
  double.put("/o", bytes, options);
  const listed = await store.stat(`${double.origin}/o`, listOptions());
  double.requests.length = 0;
  return entryOf(listed);
}

/** As logged with --hash, or without an ETag. */
async function hashed(bytes: string, options: ServedOptions = {}): Promise<Entry> {
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  return { ...(await logged(bytes, options)), digests: { sha256 } };
}

function open(entry: Entry, range: ByteRange | null = null): Promise<Fetched> {
  return store.fetch(entry, range, new AbortController().signal);
}

/** Everything but the body. */
async function answerTo(entry: Entry, range: ByteRange | null = null): Promise<Fetched> {
  const fetched = await open(entry, range);
  await fetched[Symbol.asyncDispose]();
  return fetched;
}

const upset = (accident: Accident, times?: number): void =>
  double.upset({ method: "GET" }, accident, times);

describe("what is asked for", () => {
  test("a strong ETag is the condition, and only it", async () => {
    const strong = await logged(BYTES, { etag: '"abc"' });
    expect((await answerTo(strong)).pinned).toBe(true);
    expect(double.requests[0]?.headers["if-match"]).toBe('"abc"');
    for (const etag of ['W/"abc"', "abc", null]) {
      const entry = await logged(BYTES, { etag });
      expect((await answerTo(entry)).pinned).toBe(false);
      expect(double.requests[0]?.headers["if-match"]).toBeUndefined();
    }
  });

  test("the whole as a range is asked for without one", async () => {
    const entry = await logged(BYTES);
    await answerTo(entry, { start: 0, end: 10 });
    await answerTo(entry, { start: 0, end: 9 });
    expect(double.requests.map(({ headers }) => headers.range)).toEqual([undefined, "bytes=0-8"]);
  });

  test("digests are, with the beginning of what was not hashed", async () => {
    const entry = await logged(BYTES);
    await answerTo(entry);
    await answerTo(entry, { start: 0, end: 5 });
    await answerTo(entry, { start: 5, end: 10 });
    await answerTo({ ...entry, digests: { sha256: "00" } });
    const wants = double.requests.map(({ headers }) => headers["want-repr-digest"] !== undefined);
    expect(wants).toEqual([true, true, false, false]);
  });

  test("connections are kept: many requests, few sockets", async () => {
    const entry = await logged(BYTES);
    for (let round = 0; round < 20; round++) await readAll(store, entry);
    expect(new Set(double.requests.map(({ remotePort }) => remotePort)).size).toBe(1);
  });
});

describe("what an answer proves", () => {
  const sha256 = createHash("sha256").update(BYTES).digest("hex");
  const field = `sha-256=:${Buffer.from(sha256, "hex").toString("base64")}:`;
  const claim = { algorithm: "sha256", value: sha256, source: "checksum" };

  test("its checksums, those of the whole also with a range", async () => {
    const entry = await logged(BYTES, { headers: { "repr-digest": field } });
    expect((await answerTo(entry)).claims).toEqual([claim]);
    expect((await answerTo(entry, { start: 1, end: 3 })).claims).toEqual([claim]);
  });

  test("not by the digest of a part", async () => {
    const entry = await logged(BYTES, { headers: { "content-digest": field } });
    expect((await answerTo(entry)).claims).toEqual([claim]);
    expect((await answerTo(entry, { start: 1, end: 3 })).claims).toEqual([]);
  });

  test("a server without ranges gives everything, and says so", async () => {
    const entry = await logged(BYTES, { ranges: false });
    await using fetched = await open(entry, { start: 2, end: 5 });
    expect(fetched.range).toEqual({ start: 0, end: 10 });
    expect(Buffer.concat(await collect(fetched.body)).toString()).toBe(BYTES);
  });

  test.each([
    ["another range", { "content-range": "bytes 3-5/10" }],
    ["no range", { "content-range": "" }],
    ["a range of unknown size", { "content-range": "bytes 2-4/*" }],
  ])("%s than asked is corrupt", async (_what, headers) => {
    const entry = await logged(BYTES);
    upset({ headers });
    expect((await faultOf(open(entry, { start: 2, end: 5 }))).kind).toBe("corrupt");
  });

  test("a part that was not asked for is corrupt", async () => {
    const entry = await logged(BYTES);
    upset({ status: 206, headers: { etag: `"${entry.pin.etag ?? ""}"` } });
    expect((await faultOf(open(entry))).kind).toBe("corrupt");
  });
});

describe("an object that is gone or another", () => {
  test.each([404, 410])("%s has drifted", async (status) => {
    const entry = await logged(BYTES);
    upset({ status });
    expect((await faultOf(open(entry))).kind).toBe("drifted");
  });

  test("another ETag has drifted, whether or not the server knows conditions", async () => {
    for (const ignoresConditions of [false, true]) {
      const entry = await logged(BYTES, { etag: '"one"' });
      double.put("/o", BYTES, { etag: '"two"', ignoresConditions });
      const fault = await faultOf(open(entry));
      expect(fault).toMatchObject({ kind: "drifted", subject: `${double.origin}/o` });
      if (ignoresConditions) expect(fault.message).toContain("its ETag is two; logged was one");
    }
  });

  test.each([null, 'W/"one"', "one"])("a strong ETag that became %s has drifted", async (etag) => {
    const entry = await logged(BYTES, { etag: '"one"' });
    double.put("/o", BYTES, { etag, ignoresConditions: true });
    expect((await faultOf(open(entry))).kind).toBe("drifted");
  });

  test("a weak ETag is compared weakly", async () => {
    const entry = await logged(BYTES, { etag: 'W/"one"' });
    double.put("/o", BYTES, { etag: '"one"' });
    expect((await answerTo(entry)).pinned).toBe(false);
    double.put("/o", BYTES, { etag: 'W/"two"' });
    expect((await faultOf(open(entry))).kind).toBe("drifted");
  });

  test("what was hashed is judged by its hash: its ETag may change", async () => {
    const entry = await hashed(BYTES, { etag: '"one"' });
    expect((await answerTo(entry)).pinned).toBe(true);
    double.put("/o", BYTES, { etag: '"two"' });
    const fetched = await answerTo(entry);
    expect(fetched.pinned).toBe(false);
    expect(double.requests.map(({ headers }) => headers["if-match"])).toEqual([
      undefined,
      undefined,
    ]);
  });

  test("a range past the end has drifted, or is corrupt where the ETag is the same", async () => {
    const entry = await logged(BYTES, { etag: '"one"' });
    double.put("/o", "0123", { etag: '"two"', ignoresConditions: true });
    expect((await faultOf(open(entry, { start: 5, end: 8 }))).kind).toBe("drifted");
    double.put("/o", "0123", { etag: '"one"' });
    expect((await faultOf(open(entry, { start: 5, end: 8 }))).kind).toBe("corrupt");
  });

  const later = new Date("2026-04-01T00:00:00Z");
  test.each([
    ["time", { etag: 'W/"one"' }, { etag: 'W/"one"', modified: later }],
    ["time", { etag: null }, { etag: null, modified: later }],
    ["ETag", { etag: null }, { etag: '"two"' }],
  ])("ranges of versions that differ in their %s never make one file", async (_what, one, two) => {
    const entry = await logged(BYTES, one);
    expect((await readAll(store, entry, { start: 0, end: 5 })).toString()).toBe("01234");
    expect((await readAll(store, entry, { start: 5, end: 10 })).toString()).toBe("56789");
    double.put("/o", "abcdefghij", two);
    const fault = await faultOf(open(entry, { start: 5, end: 10 }));
    expect(fault).toMatchObject({ kind: "drifted" });
    expect(fault.message).toContain("while it was being read");
    // Read from its beginning it is one version again, for the cache to judge.
    expect((await readAll(store, entry, { start: 0, end: 5 })).toString()).toBe("abcde");
    expect((await readAll(store, entry, { start: 5, end: 10 })).toString()).toBe("fghij");
    // The hash of all of them would tell.
    const known = { ...entry, digests: { sha256: "00" } };
    await answerTo(known, { start: 0, end: 5 });
    double.put("/o", BYTES, one);
    expect((await readAll(store, known, { start: 5, end: 10 })).toString()).toBe("56789");
  });
});

describe("bytes that a server compresses", () => {
  test("are what was logged when they were then", async () => {
    const entry = await logged("gzipped", { headers: { "content-encoding": "gzip" } });
    expect((await readAll(store, entry)).toString()).toBe("gzipped");
    expect((await readAll(store, entry, { start: 0, end: 2 })).toString()).toBe("gz");
  });

  test.each([
    ["whole", {}, null],
    ["in chunks", { chunked: true }, null],
    ["by ranges", {}, { start: 0, end: 2 }],
  ] as const)("only now, %s, are not what was logged", async (_how, options, range) => {
    const entry = await hashed(BYTES, { etag: '"one"' });
    double.put("/o", "zipped", {
      ...options,
      etag: '"one"',
      headers: { "content-encoding": "gzip" },
    });
    const fault = await faultOf(readAll(store, entry, range));
    expect(fault).toMatchObject({ kind: "drifted" });
    expect(fault.message).toContain("compressed (gzip)");
  });
});

describe("an object of unknown size", () => {
  test("is read to its end, and then is known", async () => {
    double.put("/o", generated(3_000_000), { chunked: true, ranges: false });
    const unknown = await store.stat(`${double.origin}/o`, listOptions({ checksum: false }));
    expect(unknown.sizeBytes).toBeNull();
    const entry = entryOf(unknown);
    const fetched = await answerTo(entry);
    expect(fetched.sizeBytes).toBe(3_000_000);
    expect((await readAll(store, entry)).length).toBe(3_000_000);
  });

  test("that grew by the second reading has drifted", async () => {
    const entry = { ...(await logged(BYTES, { chunked: true, etag: null })), sizeBytes: null };
    const counting = double.hold({ method: "GET" });
    const reading = readAll(store, entry);
    await counting.arrived;
    const again = double.hold({ method: "GET" });
    counting.release();
    await again.arrived;
    double.put("/o", `${BYTES}more`, { chunked: true, etag: null });
    again.release();
    expect((await faultOf(reading)).kind).toBe("drifted");
  });

  test.each([
    ["longer", "0123456789ab"],
    ["shorter", "01234567"],
  ])("that is %s now is corrupt under the same ETag, else it has drifted", async (_how, now) => {
    for (const [etag, kind] of [
      ['"one"', "corrupt"],
      [null, "drifted"],
    ] as const) {
      const entry = await logged(BYTES, { chunked: true, etag });
      expect(entry.sizeBytes).toBe(10);
      double.put("/o", now, { chunked: true, etag });
      expect((await faultOf(readAll(store, entry))).kind).toBe(kind);
    }
  });
});

describe("an answer that is none", () => {
  test.each([
    [401, "denied"],
    [403, "denied"],
    [412, "drifted"],
    [204, "denied"],
    [429, "unavailable"],
    [500, "unavailable"],
    [503, "unavailable"],
  ] as const)("%s is %s", async (status, kind) => {
    const entry = await logged(BYTES);
    upset({ status, headers: { "retry-after": "3" } });
    const fault = await faultOf(open(entry));
    expect(fault).toMatchObject({ kind, subject: `${double.origin}/o` });
    expect(fault.retryAfterMs).toBe(kind === "unavailable" ? 3_000 : undefined);
  });

  test.each([
    ["a reset before the first byte", { resetAfterBytes: 0 }],
    ["a reset in mid-body", { resetAfterBytes: 500_000 }],
    ["a short body", { shortByBytes: 1 }],
    ["a stall before the answer", { silent: true }],
    ["a stall in mid-body", { stallAfterBytes: 500_000 }],
  ])("%s is unavailable", async (_what, accident) => {
    const entry = await logged(generated(1_000_000));
    upset(accident);
    expect((await faultOf(readAll(store, entry))).kind).toBe("unavailable");
  });

  test("a long body is corrupt", async () => {
    const entry = await logged(BYTES);
    upset({ longByBytes: 5 });
    expect((await faultOf(readAll(store, entry))).kind).toBe("corrupt");
  });

  test("a server that is not there is unavailable", async () => {
    const entry = await logged(BYTES);
    await double.stop();
    expect((await faultOf(open(entry))).kind).toBe("unavailable");
    await double.resume();
  });
});
