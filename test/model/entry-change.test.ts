import { expect, test } from "vitest";
import type { Entry } from "../../src/model/entry.js";
import { compareEntries } from "../../src/model/entry-change.js";
import { anEntry } from "../support/entries.js";

const S1 = "11".repeat(32);
const S2 = "22".repeat(32);
const M1 = "11".repeat(16);
const M2 = "22".repeat(16);
const none = { digests: {}, claims: [] };
const claimed = (value: string, source: "etag" | "checksum" = "checksum"): Partial<Entry> => ({
  claims: [{ algorithm: "md5", value, source }],
});

test.each<[string, Partial<Entry>, Partial<Entry>, string]>([
  ["other sizes", { sizeBytes: 1 }, { sizeBytes: 2 }, "content"],
  ["other hashes", { digests: { sha256: S1 } }, { digests: { sha256: S2 } }, "content"],
  ["the same hash", { digests: { sha256: S1 } }, { digests: { sha256: S1 } }, "reference"],
  ["a hash against an equal claim", { digests: { md5: M1 } }, claimed(M1), "reference"],
  ["a hash against another claim", { digests: { md5: M1 } }, claimed(M2), "content"],
  ["other claims", claimed(M1), claimed(M2), "content"],
  ["other ETags that look like MD5", claimed(M1, "etag"), claimed(M2, "etag"), "content"],
  [
    "the strongest common hash decides",
    { digests: { sha256: S1, md5: M1 } },
    { digests: { sha256: S2, md5: M1 } },
    "content",
  ],
  [
    "an ETag of parts against one of the whole",
    { claims: [{ algorithm: "md5", value: `${M1}-2`, source: "etag", ofParts: true }] },
    { ...claimed(M1, "etag"), entryDigest: "other" },
    "unknown",
  ],
  [
    "no hash in common",
    { digests: { sha256: S1 } },
    { digests: { md5: M1 }, entryDigest: "other" },
    "unknown",
  ],
  ["nothing but another ETag", none, { ...none, entryDigest: "0x8DC" }, "unknown"],
  ["an equal ETag, pinned otherwise", none, { ...none, pin: { versionId: "2" } }, "reference"],
  [
    "nothing known of either",
    { ...none, entryDigest: "x://a", uri: "x://a" },
    { ...none, entryDigest: "x://a", uri: "x://a", mtimeMs: 5 },
    "unknown",
  ],
  ["an unknown size tells nothing", { ...none, sizeBytes: null }, none, "reference"],
])("%s: %j and %j are %s", (_, before, after, expected) => {
  const base = { claims: [], digests: {} };
  expect(
    compareEntries(anEntry("a", { ...base, ...before }), anEntry("a", { ...base, ...after })),
  ).toBe(expected);
});
