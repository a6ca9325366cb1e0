// What one look at an object tells: its size, its ETag, its checksums, and how it is asked when a
// server does not answer HEAD, or not the truth.

import { createHash } from "node:crypto";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { readClaims } from "../../src/stores/http/digests.js";
import { openHttpStore } from "../../src/stores/http/store.js";
import type { Listed, Store } from "../../src/stores/store.js";
import { collect, faultOf, listOptions } from "../contract/store.js";
import type { HttpDouble, ServedOptions } from "../support/http-double.js";
import { generated, startHttpDouble } from "../support/http-double.js";

let double: HttpDouble;
let store: Store;
beforeEach(async () => {
  double = await startHttpDouble();
  store = openHttpStore({}, { retryTimeoutMs: 0, stallTimeoutMs: 2_000 });
});
afterEach(async () => {
  await store.close();
  await double[Symbol.asyncDispose]();
});

const BYTES = "0123456789";
const look = (path = "/o", options = listOptions()): Promise<Listed> =>
  store.stat(double.origin + path, options);

async function lookAt(options: ServedOptions, bytes = BYTES): Promise<Listed> {
  double.put("/o", bytes, options);
  return look();
}

function asked(): string[] {
  return double.requests.map(
    ({ method, headers }) => method + (headers.range === undefined ? "" : ` ${headers.range}`),
  );
}

function digest(algorithm: string, bytes = BYTES): Buffer {
  return createHash(algorithm).update(bytes).digest();
}
const base64 = (algorithm: string): string => digest(algorithm).toString("base64");
const claim = (name: "sha256" | "md5" | "sha1") => ({
  algorithm: name,
  value: digest(name).toString("hex"),
  source: "checksum",
});

describe("the ETag", () => {
  test.each([
    ['"abc"', "abc", { etag: "abc" }, false],
    ['W/"abc"', 'W/"abc', { etag: "W/abc" }, true],
    ["abc", "abc", {}, true],
    ['""', "uri", {}, true],
    [null, "uri", {}, true],
  ] as const)("%s is recorded as %s", async (etag, entryDigest, pin, needsHash) => {
    const listed = await lookAt({ etag });
    const uri = `${double.origin}/o`;
    expect(listed).toMatchObject({
      key: "o",
      single: true,
      uri,
      sizeBytes: 10,
      entryDigest: entryDigest === "uri" ? uri : entryDigest,
      claims: [],
      needsHash,
    });
    expect(listed.pin).toEqual(pin);
  });

  test("is not needed where a checksum is told", async () => {
    const headers = { "content-md5": base64("md5") };
    expect(await lookAt({ etag: null, headers })).toMatchObject({
      claims: [claim("md5")],
      needsHash: false,
    });
  });

  test("and everything else is left out without checksums", async () => {
    double.put("/o", BYTES, { headers: { "content-md5": base64("md5") } });
    const listed = await look("/o", listOptions({ checksum: false }));
    expect(listed).toMatchObject({ entryDigest: `${double.origin}/o`, sizeBytes: 10, pin: {} });
    expect(listed.claims).toEqual([]);
    expect(listed.needsHash).toBeUndefined();
  });
});

test("Last-Modified is the object's time, none is unknown", async () => {
  expect((await lookAt({})).mtimeMs).toBe(Date.UTC(2026, 2, 1, 12));
  expect((await lookAt({ modified: null })).mtimeMs).toBeNull();
});

test("the query is part of the uri and not of the name", async () => {
  double.put("/d/foo.json?bar=abc", BYTES);
  const listed = await look("/d/foo.json?bar=abc");
  expect(listed).toMatchObject({ key: "foo.json", uri: `${double.origin}/d/foo.json?bar=abc` });
});

test("an address that ends in a slash is an object without a name", async () => {
  double.put("/d/", BYTES);
  expect(await collect(store.list(`${double.origin}/d/`, listOptions()))).toMatchObject([
    { key: "", single: true, sizeBytes: 10 },
  ]);
});

test("a version cannot be pinned", async () => {
  double.put("/o", BYTES);
  const fault = await faultOf(look("/o", listOptions({ pinVersion: true })));
  expect([fault.kind, fault.message]).toEqual(["usage", expect.stringContaining("--pin version")]);
  expect(double.requests).toEqual([]);
});

describe("is asked for", () => {
  test("by one HEAD, with digests, for the bytes as they are", async () => {
    await lookAt({});
    expect(asked()).toEqual(["HEAD"]);
    expect(double.requests[0]?.headers).toMatchObject({
      "accept-encoding": "identity",
      "want-repr-digest": expect.stringContaining("sha-256=10") as string,
      "want-digest": expect.stringContaining("SHA-256") as string,
    });
  });

  test.each([400, 403, 404, 405, 501])(
    "by its first byte where HEAD is answered %s",
    async (headStatus) => {
      expect(await lookAt({ headStatus })).toMatchObject({
        sizeBytes: 10,
        pin: { etag: expect.any(String) as string },
      });
      expect(asked()).toEqual(["HEAD", "GET bytes=0-0"]);
    },
  );

  test("by its first byte where HEAD tells no length, or none of zero", async () => {
    for (const headLength of [null, 0]) {
      expect(await lookAt({ headLength })).toMatchObject({ sizeBytes: 10 });
    }
    expect(asked()).toEqual(["HEAD", "GET bytes=0-0", "HEAD", "GET bytes=0-0"]);
  });

  test("as a whole that is not read where there are no ranges", async () => {
    double.put("/o", generated(1e12), { headStatus: 405, ranges: false, etag: '"big"' });
    expect(await look()).toMatchObject({ sizeBytes: 1e12, pin: { etag: "big" } });
  });

  test("as a whole when it is empty", async () => {
    expect(await lookAt({}, "")).toMatchObject({ sizeBytes: 0 });
    expect(asked()).toEqual(["HEAD", "GET bytes=0-0", "GET"]);
  });

  test("and counted where nothing tells its length, unless nothing is to be read", async () => {
    double.put("/o", generated(3_000_000), { chunked: true, ranges: false });
    expect(await look()).toMatchObject({ sizeBytes: 3_000_000 });
    const unread = await look("/o", listOptions({ checksum: false }));
    expect(unread.sizeBytes).toBeNull();
  });
});

describe("checksums", () => {
  const sf = (name: string, algorithm: string): string => `${name}=:${base64(algorithm)}:`;
  const WHOLE = "whole";

  test.each([
    [{ "repr-digest": sf("sha-256", "sha256") }, ["sha256"]],
    [
      { "repr-digest": `${sf("md5", "md5")}, ${sf("sha", "sha1")};x=1, sha-512=:AAAA:` },
      ["md5", "sha1"],
    ],
    [{ "content-digest": sf("sha-256", "sha256") }, ["sha256"]],
    [
      { digest: `SHA-256=${base64("sha256")},md5=${base64("md5")}, SHA=${base64("sha1")}` },
      ["sha256", "md5", "sha1"],
    ],
    [{ "content-md5": base64("md5") }, ["md5"]],
    [{ "content-md5": base64("md5"), "repr-digest": sf("md5", "md5") }, ["md5"]],
    [{ "repr-digest": `sha-256=${base64("sha256")}` }, []],
    [{ "repr-digest": "sha-256=:AAAA:" }, []],
    [{ "repr-digest": "sha-256=:!:, ," }, []],
    [{ "repr-digest": "sha-256" }, []],
    [{ digest: "SHA-256=,=,MD5" }, []],
    [{ "content-md5": digest("md5").toString("hex") }, []],
  ] as const)("%j are read", (headers, algorithms) => {
    expect(readClaims(headers, WHOLE)).toEqual(algorithms.map(claim));
  });

  test("CRC-32C, too", () => {
    const value = { algorithm: "crc32c", value: "e3069283", source: "checksum" };
    expect(readClaims({ "repr-digest": "crc32c=:4waSgw==:" }, WHOLE)).toEqual([value]);
    expect(readClaims({ digest: "crc32c=4waSgw==" }, WHOLE)).toEqual([value]);
  });

  test("of a part say of the whole only what they are defined to say", () => {
    const headers = {
      "repr-digest": sf("sha-256", "sha256"),
      "content-digest": sf("sha", "sha1"),
      "content-md5": base64("md5"),
    };
    expect(readClaims(headers, "part")).toEqual([claim("sha256")]);
    expect(readClaims(headers, "none")).toEqual([claim("sha256"), claim("md5")]);
    expect(readClaims(headers, "whole")).toEqual(
      ["sha256", "sha1", "md5"].map((name) => claim(name as "md5")),
    );
  });

  test("come with HEAD, but Content-Digest, which is that of no bytes there, does not", async () => {
    const headers = {
      "repr-digest": sf("sha-256", "sha256"),
      "content-digest": `sha=:${createHash("sha1").digest("base64")}:`,
    };
    expect((await lookAt({ headers })).claims).toEqual([claim("sha256")]);
  });
});

test("compressed bytes that were not asked for are told about", async () => {
  const options = listOptions();
  double.put("/o", BYTES, { headers: { "content-encoding": "gzip" } });
  await look("/o", options);
  expect(options.notices).toEqual([expect.stringMatching(/\/o: .*compressed \(gzip\)/)]);
  double.put("/o", BYTES, { headers: { "content-encoding": "identity" } });
  await look("/o", options);
  expect(options.notices).toHaveLength(1);
});

describe("an answer that is no object", () => {
  test.each([
    [404, "not-found", /no such object/],
    [410, "not-found", /no such object/],
    [401, "denied", /no credentials were sent/],
    [403, "denied", /no credentials were sent/],
    [407, "denied", /proxy/],
    [400, "denied", /refused the request/],
    [204, "denied", /no object/],
    [304, "denied", /no object/],
    [300, "denied", /no object/],
    [501, "denied", /refused the request/],
    [202, "unavailable", /not ready/],
    [408, "unavailable", /not ready/],
    [429, "unavailable", /not ready/],
    [500, "unavailable", /overloaded or failing/],
    [503, "unavailable", /overloaded or failing/],
  ] as const)("%s is %s", async (status, kind, why) => {
    double.upset({}, { status, headers: { "retry-after": "7" } }, Infinity);
    const fault = await faultOf(look());
    expect(fault).toMatchObject({ kind, subject: `${double.origin}/o` });
    expect(fault.message).toMatch(why);
    expect(fault.message).toContain(`HTTP ${status}`);
    expect(fault.retryAfterMs).toBe(kind === "unavailable" ? 7_000 : undefined);
  });

  test("for a while is waited for", async () => {
    double.put("/o", BYTES);
    double.upset({}, { status: 503 }, 2);
    const patient = openHttpStore({}, { retryTimeoutMs: 10_000 });
    expect((await patient.stat(`${double.origin}/o`, listOptions())).sizeBytes).toBe(10);
    expect(asked()).toEqual(["HEAD", "HEAD", "HEAD"]);
    await patient.close();
  });

  test("and a server that is not there is unavailable", async () => {
    await double.stop();
    expect((await faultOf(look())).kind).toBe("unavailable");
    await double.resume();
  });
});
