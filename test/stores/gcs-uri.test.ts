// How gs: uris name objects and generations.

import { describe, expect, test } from "vitest";
import { describe as describeName, formatGcsUri, parseGcsUri } from "../../src/stores/gcs/uri.js";

describe("gs: uris", () => {
  test.each([
    ["gs://bucket", "", undefined],
    ["gs://bucket/", "", undefined],
    ["GS://bucket/k", "k", undefined],
    ["gcs://bucket/dir/k", "dir/k", undefined],
    ["gs://bucket/k#17", "k", "17"],
    ["gs://bucket/k#1700000000000001", "k", "1700000000000001"],
    ["gs://bucket/a#b", "a#b", undefined],
    ["gs://bucket/a#b#2", "a#b", "2"],
    ["gs://bucket/a#1#2", "a#1", "2"],
    ["gs://bucket/a#1/b", "a#1/b", undefined],
    ["gs://bucket/a#1b", "a#1b", undefined],
    ["gs://bucket/a#", "a#", undefined],
    ["gs://bucket/a%231", "a#1", undefined],
    ["gs://bucket/a%3Fb", "a?b", undefined],
    ["gs://bucket/a%20b", "a%20b", undefined],
    ["gs://bucket//a", "/a", undefined],
    ["gs://my_bucket.example.com/k", "k", undefined],
  ])("%s", (uri, key, generation) => {
    expect(parseGcsUri(uri)).toMatchObject({ key, generation });
  });

  test("any key comes back from its uri, and never as a generation", () => {
    const parts = ["a", "#", "1", "23", "?", "%", "%23", "%2", "/", " ", "\u0001", "\u{1f600}"];
    for (const one of parts) {
      for (const two of parts) {
        for (const three of parts) {
          const key = `k${one}${two}${three}`;
          const uri = formatGcsUri("bucket", key);
          expect(parseGcsUri(uri)).toEqual({ bucket: "bucket", key, generation: undefined });
          if (key.endsWith("/")) continue;
          expect(parseGcsUri(`${uri}#42`)).toEqual({ bucket: "bucket", key, generation: "42" });
        }
      }
    }
  });

  test("what is described names the generation", () => {
    expect(describeName({ bucket: "bucket", key: "a#1", generation: "2" })).toBe(
      "gs://bucket/a%231#2",
    );
  });

  test.each([
    ["gs://", /names no bucket/],
    ["gs:///k", /names no bucket/],
    ["gs://bucket/k?generation=1", /no query may follow/],
    ["gs://bucket/k#1?x", /no query may follow/],
    ["gs://bucket?x", /no query may follow/],
    ["gs://Bucket/k", /cannot be the name/],
    ["gs://b/k", /cannot be the name/],
    ["gs://-bucket/k", /cannot be the name/],
    ["gs://user:secret@bucket/k", /cannot be the name/],
    ["gs://bucket#1", /belongs to one object/],
    ["gs://bucket/#1", /belongs to one object/],
    ["gs://bucket/dir/#1", /belongs to one object/],
  ])("%s is refused", (uri, message) => {
    expect(() => parseGcsUri(uri)).toThrow(message);
    expect(() => parseGcsUri(uri)).toThrow(expect.objectContaining({ kind: "usage" }) as Error);
  });

  test("a query, which may be a signed link's, is not repeated", () => {
    expect(() => parseGcsUri("gs://bucket/k?X-Goog-Signature=secret")).toThrow(
      expect.objectContaining({
        message: expect.not.stringContaining("secret") as string,
      }) as Error,
    );
  });
});
