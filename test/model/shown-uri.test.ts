import { expect, test } from "vitest";
import { shownUri } from "../../src/model/shown-uri.js";

test.each([
  ["s3://bkt/a b#c", "s3://bkt/a b#c"],
  ["s3://bkt/k?versionId=abc", "s3://bkt/k?versionId=abc"],
  [
    "https://a.blob.core.windows.net/c/b?snapshot=2026-01-01",
    "https://a.blob.core.windows.net/c/b?snapshot=2026-01-01",
  ],
  ["https://host/x?X-Amz-Signature=secret", "https://host/x?..."],
  ["https://host/x?versionId=1&sig=secret", "https://host/x?..."],
  ["https://host/x?", "https://host/x?..."],
  ["https://user:secret@host/x", "https://host/x"],
  ["https://secret@host/x", "https://host/x"],
  ["ftp://anna:secret@host/x", "ftp://host/x"],
  ["git+https://secret@host/x", "git+https://host/x"],
  ["s3://AKIAKEY:secret@bucket/key", "s3://bucket/key"],
  ["abfss://container:secret@account/x", "abfss://container@account/x"],
  [
    "abfss://container@account.dfs.core.windows.net/x",
    "abfss://container@account.dfs.core.windows.net/x",
  ],
  ["https://host/user:pass@x", "https://host/user:pass@x"],
  ["file:///a/b@c:d", "file:///a/b@c:d"],
  ["no uri", "no uri"],
])("%s is shown as %s", (uri, shown) => {
  expect(shownUri(uri)).toBe(shown);
});
