// The store of Google Cloud Storage against the double, by the contract that all stores keep. Objects
// are put and deleted by Google's own SDK.

import { formatGcsUri } from "../../src/stores/gcs/uri.js";
import { openGcsStore } from "../../src/stores/gcs/store.js";
import type { StoreUnderTest } from "../contract/store.js";
import { storeContract } from "../contract/store.js";
import { startGcsDouble } from "../support/gcs-double.js";
import { ODD_NAMES } from "../support/gcs-names.js";
import { sdkOf } from "../support/gcs-sdk.js";

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
