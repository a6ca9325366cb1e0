// The S3 store against the double, by the contract that all stores keep.

import { openS3Store } from "../../src/stores/s3/store.js";
import { formatS3Uri } from "../../src/stores/uri.js";
import type { StoreUnderTest } from "../contract/store.js";
import { storeContract } from "../contract/store.js";
import { startS3Double } from "../support/s3-double.js";

const ODD_NAMES = [
  "a#b",
  "a?b",
  "a%20b",
  "a%3Fb",
  "a%253Fb",
  "100%",
  "with space",
  " leading and trailing ",
  "plus+plus",
  "umlaut-\u00e4\u00f6",
  "astral-\u{1f600}",
  "combining-e\u0301",
  "a//b",
  "/leading",
  "trailing.",
  "trailing..",
  "d/../up",
  "./here",
  "quote'\"<&>",
  "(!*)",
  "back\\slash",
  "line\nbreak",
  "tab\tand\u0001control",
  "x?versionId=1",
  "a".repeat(900),
] as const;

async function make(versioning: "enabled" | "never"): Promise<StoreUnderTest> {
  const double = await startS3Double();
  const bucket = double.bucket("bucket", versioning);
  const store = openS3Store(double.environment, { retryTimeoutMs: 0 });
  return {
    store,
    uri: (name) => formatS3Uri("bucket", name),
    put(name, bytes) {
      bucket.put(name, bytes);
      return Promise.resolve();
    },
    remove(name) {
      bucket.delete(name);
      return Promise.resolve();
    },
    oddNames: ODD_NAMES,
    keepsVersions: versioning === "enabled",
    async [Symbol.asyncDispose]() {
      await store.close();
      await double[Symbol.asyncDispose]();
    },
  };
}

storeContract("S3 with versions", () => make("enabled"));
storeContract("S3 without versions", () => make("never"));
