// The store of Google Cloud Storage against the double, by the contract that all stores keep. Objects
// are put and deleted by Google's own SDK.

import { formatGcsUri } from "../../src/stores/gcs/uri.js";
import { openGcsStore } from "../../src/stores/gcs/store.js";
import type { StoreUnderTest } from "../contract/store.js";
import { storeContract } from "../contract/store.js";
import { startGcsDouble } from "../support/gcs-double.js";
import { sdkOf } from "../support/gcs-sdk.js";

/** GCS allows neither line breaks in a name nor "." and "..". */
const ODD_NAMES = [
  "a#b",
  "a#1",
  "a#",
  "#7",
  "a?b",
  "a%20b",
  "a%231",
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
  "tab\tand\u0001control",
  "x?generation=1",
  "a".repeat(900),
] as const;

async function make(versioning: boolean): Promise<StoreUnderTest> {
  const double = await startGcsDouble();
  double.bucket("bucket", versioning);
  const bucket = sdkOf(double).bucket("bucket");
  const store = openGcsStore(double.environment, { retryTimeoutMs: 0 });
  return {
    store,
    uri: (name) => formatGcsUri("bucket", name),
    put: (name, bytes) => bucket.file(name).save(Buffer.from(bytes), { resumable: false }),
    remove: async (name) => {
      await bucket.file(name).delete();
    },
    oddNames: ODD_NAMES,
    keepsVersions: versioning,
    async [Symbol.asyncDispose]() {
      await store.close();
      await double[Symbol.asyncDispose]();
    },
  };
}

storeContract("GCS with versions", () => make(true));
storeContract("GCS without versions", () => make(false));
