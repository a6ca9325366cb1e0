// The Azure store by the contract that all stores keep: on azurite, which is Microsoft's own emulator
// but keeps no versions, and on the double, with versions and without.

import { randomUUID } from "node:crypto";
import { afterAll, beforeAll } from "vitest";
import { openAzureStore } from "../../src/stores/azure/store.js";
import { formatAzureUri } from "../../src/stores/azure/uri.js";
import type { StoreUnderTest } from "../contract/store.js";
import { storeContract } from "../contract/store.js";
import type { Azurite } from "../support/azurite.js";
import { startAzurite } from "../support/azurite.js";
import { startAzureDouble } from "../support/azure-double.js";

/** Names that Azure takes; control characters and a dot at the end it does not. */
const ODD_NAMES = [
  "a#b",
  "a?b",
  "a%20b",
  "a%3Fb",
  "a%253Fb",
  "100%",
  "%#%2#%%23",
  "with space",
  " leading and trailing ",
  "plus+plus",
  "umlaut-\u00e4\u00f6",
  "astral-\u{1f600}",
  "combining-e\u0301",
  "a//b",
  "/leading",
  "quote'\"<&>",
  "(!*)",
  "x?versionId=1",
  "x&sig=1;2=3,4",
  "a".repeat(900),
] as const;

let azurite: Azurite;
beforeAll(async () => {
  azurite = await startAzurite();
});
afterAll(async () => {
  await azurite[Symbol.asyncDispose]();
});

storeContract("Azure on azurite", async (): Promise<StoreUnderTest> => {
  const place = { account: azurite.account, endpoint: azurite.endpoint, container: randomUUID() };
  const container = azurite.client.getContainerClient(place.container);
  await container.create();
  const store = openAzureStore(azurite.environment, { retryTimeoutMs: 0 });
  return {
    store,
    uri: (name) => formatAzureUri(place, name),
    async put(name, bytes) {
      await container.getBlockBlobClient(name).uploadData(bytes);
    },
    async remove(name) {
      await container.deleteBlob(name);
    },
    oddNames: ODD_NAMES,
    keepsVersions: false,
    async [Symbol.asyncDispose]() {
      await store.close();
      await container.delete();
    },
  };
});

async function onDouble(keepsVersions: boolean): Promise<StoreUnderTest> {
  const double = await startAzureDouble({ keepsVersions });
  const container = double.container("data");
  const store = openAzureStore(double.environment, { retryTimeoutMs: 0 });
  const place = { account: double.authority.account, endpoint: double.endpoint, container: "data" };
  return {
    store,
    uri: (name) => formatAzureUri(place, name),
    put(name, bytes) {
      container.put(name, bytes);
      return Promise.resolve();
    },
    remove(name) {
      container.delete(name);
      return Promise.resolve();
    },
    oddNames: [...ODD_NAMES, "not-xml-\ufffe%/\uffff", "back\\slash", "d/../up", "./here", "dot."],
    keepsVersions,
    async [Symbol.asyncDispose]() {
      await store.close();
      await double[Symbol.asyncDispose]();
    },
  };
}

storeContract("Azure with versions", () => onDouble(true));
storeContract("Azure without versions", () => onDouble(false));
