import { expect, test } from "vitest";
import { assuranceOf, ASSURANCES, parseAssurance, satisfies } from "../../src/model/assurance.js";
import {
  base64ToHex,
  decodeClaims,
  decodeDigests,
  encodeClaims,
  encodeDigests,
  hexToBase64,
  type Claim,
  type Digests,
} from "../../src/model/digest.js";
import { canonicalRow, canonicalRowOf, toColumns } from "../../src/model/entry.js";
import {
  decodePin,
  encodePin,
  immutableVersion,
  pinsObject,
  type Pin,
} from "../../src/model/pin.js";
import { anEntry } from "../support/entries.js";

const PINS: readonly (readonly [pin: Pin, pins: boolean])[] = [
  [{}, false],
  [{ versionId: "3sL4kq" }, true],
  [{ versionId: "null" }, false],
  [{ versionId: "null", etag: "abc" }, true],
  [{ versionId: 'odd "\\, : id', etag: "\u00e9" }, true],
  [{ generation: "1700000000000000" }, true],
  [{ etag: "abc-2" }, true],
  [{ etag: 'W/"abc"' }, false],
  [{ etag: 'W/"abc"', versionId: "v" }, true],
];

test.each(PINS)("the pin %j survives storage and pins: %s", (pin, pins) => {
  expect(decodePin(encodePin(pin))).toEqual(pin);
  expect(pinsObject(pin)).toBe(pins);
});

test("a pin has one text whatever the order of its keys", () => {
  expect(encodePin({ etag: "e", versionId: "v" })).toBe(encodePin({ versionId: "v", etag: "e" }));
  expect(encodePin({})).toBe("");
  expect(immutableVersion({ versionId: "null" })).toBeUndefined();
  expect(immutableVersion({ versionId: "v" })).toBe("v");
});

test("digests survive storage, in one order", () => {
  const all: Digests = {
    crc32: "01",
    crc32c: "02",
    crc64nvme: "03",
    sha1: "04",
    md5: "05",
    sha256: "06",
  };
  expect(decodeDigests(encodeDigests(all))).toEqual(all);
  expect(encodeDigests(all)).toBe("sha256:06,md5:05,sha1:04,crc64nvme:03,crc32c:02,crc32:01");
  expect(decodeDigests(encodeDigests({}))).toEqual({});
});

test("claims survive storage, in one order", () => {
  const claims: Claim[] = [
    { algorithm: "md5", value: "aa", source: "etag" },
    { algorithm: "crc64nvme", source: "checksum" },
    { algorithm: "crc32c", value: "bb", source: "checksum" },
    { algorithm: "md5", value: "cc-2", source: "etag", ofParts: true },
    { algorithm: "sha256", value: "dd-12", source: "checksum", ofParts: true },
    { algorithm: "sha1", source: "checksum", ofParts: true },
  ];
  const text = encodeClaims(claims);
  expect(encodeClaims([...claims].reverse())).toBe(text);
  expect(encodeClaims(decodeClaims(text))).toBe(text);
  expect(new Set(decodeClaims(text))).toEqual(new Set(claims));
  expect(decodeClaims(encodeClaims([]))).toEqual([]);
  // What manifests that are sealed hold: their names depend on it.
  expect(text).toBe(
    "checksum:crc32c:bb,checksum:crc64nvme:,checksum:sha1:-,checksum:sha256:dd-12,etag:md5:aa,etag:md5:cc-2",
  );
});

test("hex and base64 are each other's inverse", () => {
  expect(base64ToHex("XUFAKrxLKna5cZ2REBfFkg==")).toBe("5d41402abc4b2a76b9719d911017c592");
  expect(hexToBase64("5d41402abc4b2a76b9719d911017c592")).toBe("XUFAKrxLKna5cZ2REBfFkg==");
});

test("the canonical row tells every field apart but times and chunks", () => {
  const entry = anEntry("a/b");
  const row = canonicalRow(entry);
  for (const other of [
    { path: "a/c" },
    { sizeBytes: 4 },
    { sizeBytes: null },
    { entryDigest: "x" },
    { uri: "s3://b/c" },
    { pin: { etag: "x" } },
    { digests: { md5: "00" } },
    { claims: [] },
  ]) {
    expect(canonicalRow({ ...entry, ...other })).not.toBe(row);
  }
  expect(canonicalRow({ ...entry, mtimeMs: null, chunks: new Uint8Array(32) })).toBe(row);
  expect(canonicalRowOf(toColumns(entry))).toBe(row);
  expect(canonicalRow({ ...entry, path: "new\nline" })).not.toContain("\n");
});

test("assurance is the strongest that an entry has", () => {
  const claim: Claim = { algorithm: "md5", source: "etag" };
  expect(assuranceOf({ digests: { sha256: "x" }, claims: [claim], pin: {} })).toBe("content");
  expect(assuranceOf({ digests: {}, claims: [claim], pin: {} })).toBe("provider");
  expect(assuranceOf({ digests: {}, claims: [], pin: { etag: "e" } })).toBe("pin");
  expect(assuranceOf({ digests: {}, claims: [], pin: {} })).toBe("none");
});

test("a level satisfies itself and what is weaker", () => {
  const table = ASSURANCES.map((actual) =>
    ASSURANCES.map((required) => satisfies(actual, required)),
  );
  expect(table).toEqual([
    [true, true, true, true],
    [false, true, true, true],
    [false, false, true, true],
    [false, false, false, true],
  ]);
  expect(parseAssurance("pin")).toBe("pin");
  expect(() => parseAssurance("Pin")).toThrow(expect.objectContaining({ kind: "usage" }));
});
