import { describe, expect, test } from "vitest";
import { Fault } from "../../src/model/fault.js";
import {
  encodeKey,
  formatFileUri,
  formatS3Uri,
  parseFileUri,
  parseS3Uri,
} from "../../src/stores/uri.js";

describe("S3 uris", () => {
  test.each([
    ["s3://bucket/key", "key"],
    ["s3://bucket/a/b c.txt", "a/b c.txt"],
    ["s3://bucket/a%20b", "a%20b"],
    ["s3://bucket/\u00fc\u{1f600}", "\u00fc\u{1f600}"],
    ["s3://bucket/a//b", "a//b"],
    ["s3://bucket//a", "/a"],
    ["s3://bucket/trailing.", "trailing."],
    ["s3://bucket/100%", "100%"],
  ])("%s is plain and stays as it is", (uri, key) => {
    expect(parseS3Uri(uri)).toEqual({ bucket: "bucket", key, versionId: undefined });
    expect(formatS3Uri("bucket", key)).toBe(uri);
  });

  test.each([
    ["a?b", "s3://bucket/a%3Fb"],
    ["a#b", "s3://bucket/a%23b"],
    ["a%3Fb", "s3://bucket/a%253Fb"],
    ["a%3fb", "s3://bucket/a%253fb"],
    ["a%25b", "s3://bucket/a%2525b"],
    ["a%%3F", "s3://bucket/a%%253F"],
    ["a\nb", "s3://bucket/a%0Ab"],
    ["a%0Ab", "s3://bucket/a%250Ab"],
    ["x?versionId=1", "s3://bucket/x%3FversionId=1"],
  ])("the key %j is written %s, and only that", (key, uri) => {
    expect(formatS3Uri("bucket", key)).toBe(uri);
    expect(parseS3Uri(uri).key).toBe(key);
  });

  test("keys in an S3 uri are refused and not repeated", () => {
    for (const uri of ["s3://AKIAKEY:hush@bucket/key", "s3://hush@bucket"]) {
      expect(() => parseS3Uri(uri)).toThrow(/holds no keys/);
      expect(() => parseS3Uri(uri)).not.toThrow(/hush/);
    }
  });

  test("any key comes back from its uri", () => {
    const alphabet = [
      "%",
      "2",
      "3",
      "5",
      "F",
      "f",
      "0",
      "A",
      "?",
      "#",
      "/",
      " ",
      "\u00e4",
      "\n",
      "\u007f",
    ];
    let state = 1;
    const next = (): number => (state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0);
    for (let round = 0; round < 20_000; round++) {
      const length = 1 + ((next() >>> 16) % 8);
      const key = Array.from({ length }, () => alphabet[(next() >>> 16) % alphabet.length]).join(
        "",
      );
      expect(parseS3Uri(formatS3Uri("b-1", key)).key).toBe(key);
    }
  });

  test("a raw # belongs to the key; ?versionId= names a version", () => {
    expect(parseS3Uri("s3://bucket/a#b").key).toBe("a#b");
    expect(parseS3Uri("s3://bucket/a?versionId=x%2By/z")).toEqual({
      bucket: "bucket",
      key: "a",
      versionId: "x+y/z",
    });
  });

  test("a bucket alone is the whole bucket", () => {
    expect(parseS3Uri("s3://bucket").key).toBe("");
    expect(parseS3Uri("s3://bucket/").key).toBe("");
  });

  test.each([
    "s3://",
    "s3:///key",
    "s3://b@d/key",
    "s3://arn:aws:s3:us-east-1:1:accesspoint/x/key",
    "s3://name--use1-az4--x-s3/key",
    "s3://bucket/a?versionId=",
    "s3://bucket/a?versionId=%zz",
  ])("%s is refused", (uri) => {
    expect(() => parseS3Uri(uri)).toThrow(Fault);
  });

  test("a query that may be a signature is not repeated", () => {
    let message = "";
    try {
      parseS3Uri("s3://bucket/a?X-Amz-Signature=SECRET");
    } catch (error) {
      message = (error as Fault).message;
    }
    expect(message).toContain("s3://bucket/a");
    expect(message).not.toContain("SECRET");
  });
});

describe("file uris", () => {
  test.each([
    ["/data/file.txt", "file:///data/file.txt"],
    ["/data/a b#c?d%e", "file:///data/a%20b%23c%3Fd%25e"],
    ["/data/\u00fc", "file:///data/%C3%BC"],
    ["/", "file:///"],
  ])("%s is %s", (path, uri) => {
    expect(formatFileUri(path)).toBe(uri);
    expect(parseFileUri(uri)).toBe(path);
  });

  test("more slashes than needed are one", () => {
    expect(parseFileUri("file:////data//x/./y/")).toBe("/data/x/y");
  });
});

test("a key becomes the path of a request with everything reserved encoded", () => {
  expect(encodeKey("a/b c+!'()*~:@&=\u00fc")).toBe("a/b%20c%2B%21%27%28%29%2A~%3A%40%26%3D%C3%BC");
});
