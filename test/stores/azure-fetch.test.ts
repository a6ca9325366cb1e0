// Fetching from Azure: pins, ranges, what an answer proves, and everything that can go wrong with one.
// On the double, whose signatures are checked, unless azurite is said.

import { createHash, randomUUID } from "node:crypto";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Entry } from "../../src/model/entry.js";
import type { ByteRange, Fetched } from "../../src/model/fetch.js";
import { openAzureStore } from "../../src/stores/azure/store.js";
import type { Store } from "../../src/stores/store.js";
import { collect, entryOf, faultOf, listOptions, readAll } from "../contract/store.js";
import type { Accident, AzureDouble, Container, PutOptions } from "../support/azure-double.js";
import { startAzureDouble } from "../support/azure-double.js";
import { startAzurite } from "../support/azurite.js";

let double: AzureDouble;
let store: Store;
/** Gives up soon: only for what never goes on. */
let hasty: Store;
let container: Container;

beforeEach(async () => {
  double = await startAzureDouble();
  container = double.container("data");
  store = openAzureStore(double.environment, { retryTimeoutMs: 0 });
  hasty = openAzureStore(double.environment, { retryTimeoutMs: 0, stallTimeoutMs: 150 });
});
afterEach(async () => {
  await store.close();
  await hasty.close();
  await double[Symbol.asyncDispose]();
});

async function logged(name: string): Promise<Entry> {
  const listed = await store.stat(`az://data/${name}`, listOptions());
  double.requests.length = 0;
  return entryOf(listed);
}

async function put(bytes: string | Uint8Array, options: PutOptions = {}): Promise<Entry> {
  container.put("k", bytes, options);
  return logged("k");
}

/** Pinned by its ETag alone, as where no versions are kept. */
async function putPlain(bytes: string | Uint8Array): Promise<Entry> {
  container.keepsVersions = false;
  return put(bytes);
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
  double.upset({ operation: "GetBlob" }, accident, times);

describe("what is asked for", () => {
  test("a version by its id, without a condition", async () => {
    const entry = await put("bytes");
    await readAll(store, entry);
    expect(double.requests).toHaveLength(1);
    const [seen] = double.requests;
    expect(seen).toMatchObject({ operation: "GetBlob", versionId: entry.pin.versionId });
    expect(seen?.headers).toMatchObject({ "accept-encoding": "identity" });
    expect(seen?.headers["if-match"]).toBeUndefined();
    expect(seen?.range).toBeUndefined();
  });

  test("an ETag alone is sent as If-Match", async () => {
    const entry = await putPlain("bytes");
    expect((await answerTo(entry)).pinned).toBe(true);
    expect(double.requests[0]?.headers["if-match"]).toBe(`"${entry.pin.etag ?? ""}"`);
    expect(double.requests[0]?.versionId).toBeUndefined();
  });

  test("a snapshot is asked for by its time and its ETag", async () => {
    const { etag } = container.put("k", "as it was");
    const snapshot = container.snapshot("k");
    container.put("k", "as it is");
    const entry = await logged(`k?snapshot=${snapshot}`);
    expect(entry.pin).toEqual({ snapshot, etag });
    expect((await readAll(store, entry)).toString()).toBe("as it was");
    expect(double.requests[0]).toMatchObject({ snapshot, headers: { "if-match": `"${etag}"` } });
  });

  test("nothing pinned is asked for as it is, and not promised", async () => {
    const entry = { ...(await put("bytes")), pin: {} };
    expect((await answerTo(entry)).pinned).toBe(false);
    expect(double.requests[0]?.headers["if-match"]).toBeUndefined();
  });

  test("the whole blob asked for as a range is asked for without one", async () => {
    const entry = await put("0123456789");
    expect((await answerTo(entry, { start: 0, end: 10 })).range).toEqual({ start: 0, end: 10 });
    expect(double.requests[0]?.range).toBeUndefined();
  });

  test("connections are kept: many requests, few sockets", async () => {
    const entry = await put("bytes");
    for (let round = 0; round < 20; round++) await readAll(store, entry);
    expect(new Set(double.requests.map(({ remotePort }) => remotePort)).size).toBe(1);
  });
});

describe("what an answer proves", () => {
  const md5 = (bytes: string): unknown => [
    { algorithm: "md5", value: createHash("md5").update(bytes).digest("hex"), source: "checksum" },
  ];

  test("the MD5 of the whole blob, also with a range of it", async () => {
    const entry = await put("0123456789");
    expect((await answerTo(entry)).claims).toEqual(md5("0123456789"));
    expect((await answerTo(entry, { start: 2, end: 5 })).claims).toEqual(md5("0123456789"));
  });

  test("the MD5 of a range is none of the blob", async () => {
    const entry = await put("0123456789", { md5: null });
    upset({ headers: { "content-md5": createHash("md5").update("234").digest("base64") } });
    expect((await answerTo(entry, { start: 2, end: 5 })).claims).toEqual([]);
  });

  test("bytes that are stored compressed come as they are stored", async () => {
    const entry = await put("not really gzip", { contentEncoding: "gzip" });
    expect((await readAll(store, entry)).toString()).toBe("not really gzip");
  });

  test("a server without ranges gives everything, and says so", async () => {
    const entry = await put("0123456789");
    upset({ ignoreRange: true });
    await using fetched = await open(entry, { start: 2, end: 5 });
    expect(fetched.range).toEqual({ start: 0, end: 10 });
    expect(Buffer.concat(await collect(fetched.body)).toString()).toBe("0123456789");
  });

  test.each([
    ["another range", { "content-range": "bytes 3-5/10" }],
    ["a longer range", { "content-range": "bytes 2-6/10" }],
    ["no range", { "content-range": "" }],
    ["a range of unknown size", { "content-range": "bytes 2-4/*" }],
  ])("%s than asked is corrupt", async (_what, headers) => {
    const entry = await put("0123456789");
    upset({ headers });
    expect((await faultOf(open(entry, { start: 2, end: 5 }))).kind).toBe("corrupt");
  });

  test("another version than asked is corrupt", async () => {
    const { writtenAt } = container.put("k", "old");
    const entry = await put("new");
    upset({ answerWithVersion: writtenAt });
    const fault = await faultOf(open(entry));
    expect([fault.kind, fault.message]).toEqual(["corrupt", expect.stringContaining(writtenAt)]);
  });

  test("a server that ignores the version and names none has not got it", async () => {
    const entry = await put("bytes");
    upset({ headers: { "x-ms-version-id": "" } });
    const fault = await faultOf(open(entry));
    expect([fault.kind, fault.message]).toEqual([
      "drifted",
      expect.stringContaining(entry.pin.versionId ?? "?"),
    ]);
  });

  test.each(['"0x8DEADBEEF"', ""])(
    "a server that ignores a snapshot or a condition is caught by its ETag %s",
    async (etag) => {
      const entry = await putPlain("bytes");
      const snapshot = container.snapshot("k");
      const other = { headers: { etag } };
      upset(other);
      expect((await faultOf(open(entry))).kind).toBe("drifted");
      upset(other);
      expect((await faultOf(open({ ...entry, pin: { ...entry.pin, snapshot } }))).kind).toBe(
        "corrupt",
      );
    },
  );
});

describe("a blob that is gone or another", () => {
  test("a deleted version has drifted, naming it", async () => {
    const entry = await put("bytes");
    container.put("k", "newer");
    container.deleteVersion("k", entry.pin.versionId ?? "");
    const fault = await faultOf(open(entry));
    expect([fault.kind, fault.subject]).toEqual([
      "drifted",
      `${double.endpoint}/data/k (version ${entry.pin.versionId ?? ""})`,
    ]);
  });

  test("a container that is gone has drifted", async () => {
    const entry = await put("bytes");
    const fault = await faultOf(open({ ...entry, uri: `${double.endpoint}/nobody/k` }));
    expect([fault.kind, fault.message]).toEqual([
      "drifted",
      expect.stringContaining("container does not exist"),
    ]);
  });

  test.each([
    ["overwritten", (): unknown => container.put("k", "newer")],
    ["deleted", (): void => container.delete("k")],
  ])(
    "pinned by ETag and %s since, the version with that ETag is found and read",
    async (_how, change) => {
      const entry = await putPlain("bytes");
      container.put("k.bak", "bytes");
      container.keepsVersions = true;
      change();
      expect((await readAll(store, entry)).toString()).toBe("bytes");
      expect((await readAll(store, entry, { start: 1, end: 3 })).toString()).toBe("yt");
      const counts = { GetBlob: 4, ListVersions: 2 };
      expect(double.counts()).toEqual(counts);
    },
  );

  test("a snapshot of it with that ETag does as well", async () => {
    const entry = await putPlain("bytes");
    container.snapshot("k");
    container.put("k", "newer");
    container.snapshot("k");
    expect((await readAll(store, entry)).toString()).toBe("bytes");
  });

  test("another blob with the same ETag is never taken instead", async () => {
    const entry = await putPlain("bytes");
    container.keepsVersions = true;
    container.put("k.txt", "bytes", { etag: entry.entryDigest });
    container.put("j", "bytes", { etag: entry.entryDigest });
    container.keepsVersions = false;
    container.put("k", "newer");
    expect((await faultOf(open(entry))).kind).toBe("drifted");
    expect(double.counts()).toEqual({ GetBlob: 1, ListVersions: 1 });
  });

  test("whoever may not list versions has none to find", async () => {
    const entry = await putPlain("bytes");
    container.keepsVersions = true;
    container.put("k", "newer");
    double.upset({ operation: "ListVersions" }, { status: 403, code: "AuthorizationFailure" });
    const fault = await faultOf(open(entry));
    expect([fault.kind, fault.message]).toEqual([
      "drifted",
      expect.stringContaining("overwritten"),
    ]);
  });

  test("pinned by ETag and overwritten without versions, it has drifted", async () => {
    const entry = await putPlain("bytes");
    container.put("k", "BYTES");
    const fault = await faultOf(open(entry));
    expect([fault.kind, fault.message]).toEqual([
      "drifted",
      expect.stringContaining("overwritten"),
    ]);
  });

  test("a pinned blob shorter than a range of it is corrupt", async () => {
    const entry = await put("bytes");
    const fault = await faultOf(open({ ...entry, sizeBytes: 100 }, { start: 50, end: 60 }));
    expect(fault.kind).toBe("corrupt");
  });
});

describe("refusals", () => {
  test.each([
    [
      403,
      "AuthorizationPermissionMismatch",
      "denied",
      /access was refused to the account key.*Reader/,
    ],
    [403, "AuthenticationFailed", "denied", /was not accepted/],
    [403, "KeyBasedAuthenticationNotPermitted", "denied", /no account keys/],
    [403, "AuthorizationSourceIPMismatch", "denied", /this machine's address/],
    [409, "BlobArchived", "denied", /archive tier.*rehydrate it first/],
    [409, "BlobBeingRehydrated", "denied", /being rehydrated/],
    [409, "BlobUsesCustomerSpecifiedEncryption", "denied", /customer-provided/],
    [404, "BlobNotFound", "drifted", /gone/],
    [410, "", "drifted", /gone/],
    [400, "InvalidQueryParameterValue", "drifted", /no such version/],
    [400, "InvalidInput", "denied", /refused the request/],
    [429, "TooManyRequests", "unavailable", /overloaded/],
    [500, "InternalError", "unavailable", /overloaded/],
    [502, "", "unavailable", /HTTP 502/],
    [503, "ServerBusy", "unavailable", /ServerBusy/],
    [500, "OperationTimedOut", "unavailable", /OperationTimedOut/],
    [307, "TemporaryRedirect", "denied", /refused the request/],
  ] as const)("%i %s is %s", async (status, code, kind, message) => {
    const entry = await put("bytes");
    upset({ status, code });
    const fault = await faultOf(open(entry));
    expect([fault.kind, fault.message]).toEqual([kind, expect.stringMatching(message)]);
    expect(fault.message).toContain(`${double.endpoint}/data/k`);
  });

  test("an archived blob is listed, but not read before it is rehydrated", async () => {
    const entry = await put("bytes", { tier: "Archive" });
    expect((await faultOf(open(entry))).message).toMatch(/rehydrate it first \(409 BlobArchived\)/);
  });

  test("a store that names a time to wait is given it", async () => {
    const entry = await put("bytes");
    upset({ status: 503, code: "ServerBusy", headers: { "retry-after": "3" } });
    expect((await faultOf(open(entry))).retryAfterMs).toBe(3_000);
  });

  test.each([3_600_000, -3_600_000])("a clock that is %i ms off is told of", async (aheadMs) => {
    const entry = await put("bytes");
    double.authority.clockAheadMs = aheadMs;
    const wrong = ["denied", expect.stringContaining("clock is wrong")];
    const reading = await faultOf(open(entry));
    expect([reading.kind, reading.message]).toEqual(wrong);
    // The answer to HEAD has no body that could tell.
    const looking = await faultOf(store.stat("az://data/k", listOptions()));
    expect([looking.kind, looking.message]).toEqual(wrong);
  });

  test("no secret and no signed text is in a refusal", async () => {
    const entry = await put("bytes");
    const right = double.authority.key;
    double.authority.key = Buffer.from("rotated").toString("base64");
    const fault = await faultOf(open(entry));
    expect([fault.kind, fault.message]).toEqual([
      "denied",
      expect.stringMatching(/the account key in AZURE_STORAGE_CONNECTION_STRING was not accepted/),
    ]);
    const told = JSON.stringify([fault, fault.message, String(fault.cause)]);
    expect(told).not.toContain(right);
    expect(told).not.toMatch(/SharedKey|x-ms-date|string to sign/);
  });
});

describe("transfers that go wrong", () => {
  const bytes = Buffer.alloc(400_000, 3);

  test.each([
    ["is reset before the first byte", { resetAfterBytes: 0 }],
    ["is reset midway", { resetAfterBytes: 100_000 }],
    ["is closed early", { shortByBytes: 1 }],
    ["stalls midway", { stallAfterBytes: 100_000 }],
    ["never begins", { silent: true }],
  ] as const)("a body that %s is unavailable", async (_how, accident) => {
    const entry = await put(bytes);
    upset(accident);
    expect((await faultOf(readAll(hasty, entry))).kind).toBe("unavailable");
    expect((await readAll(store, entry)).equals(bytes)).toBe(true);
  });

  test("a body longer than the blob is corrupt", async () => {
    const entry = await put(bytes);
    upset({ longByBytes: 1 });
    expect((await faultOf(readAll(store, entry))).kind).toBe("corrupt");
  });

  test("a held answer ends with the signal's reason", async () => {
    const entry = await put(bytes);
    const held = double.hold({ operation: "GetBlob" });
    const controller = new AbortController();
    const reason = new Error("enough");
    const waiting = store.fetch(entry, null, controller.signal);
    await held.arrived;
    controller.abort(reason);
    await expect(waiting).rejects.toBe(reason);
    held.release();
  });

  test("nobody listening is unavailable", async () => {
    const entry = await put(bytes);
    await double.stop();
    const fault = await faultOf(hasty.fetch(entry, null, new AbortController().signal));
    expect([fault.kind, fault.message]).toEqual([
      "unavailable",
      expect.stringContaining("refused"),
    ]);
    await double.resume();
    expect((await readAll(hasty, entry)).equals(bytes)).toBe(true);
  });
});

describe("azurite", () => {
  test("a made-up version is not served, although it answers 200 with what is current", async () => {
    await using azurite = await startAzurite();
    const real = openAzureStore(azurite.environment, { retryTimeoutMs: 0 });
    const name = randomUUID();
    const client = azurite.client.getContainerClient(name);
    await client.create();
    const blob = client.getBlockBlobClient("a");
    await blob.uploadData(Buffer.from("current"));
    const entry = entryOf(await real.stat(`az://${name}/a`, listOptions()));
    const versionId = "2020-01-01T00:00:00.0000000Z";
    const fault = await faultOf(readAll(real, { ...entry, pin: { versionId } }));
    expect([fault.kind, fault.message]).toEqual(["drifted", expect.stringContaining(versionId)]);

    // Overwritten, but a snapshot was made of it in time.
    await blob.createSnapshot();
    await blob.uploadData(Buffer.from("another"));
    expect((await readAll(real, entry)).toString()).toBe("current");
    expect((await readAll(real, entry, { start: 1, end: 3 })).toString()).toBe("ur");
    await blob.delete({ deleteSnapshots: "only" });
    expect((await faultOf(readAll(real, entry))).kind).toBe("drifted");
    await real.close();
  });
});
