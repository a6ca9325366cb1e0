// The Azure Blob Storage store. Joins listing and fetching over one connection, which is made when
// first needed.

import type { Environment, Store, StoreOptions } from "../store.js";
import type { AzureConnection } from "./connection.js";
import { connect } from "./connection.js";
import { fetchBlob } from "./fetch.js";
import { listBlobs, statBlob } from "./list.js";

/** Opens the store for Azure uris with the accounts and credentials that `environment` names. */
export function openAzureStore(environment: Environment, options: StoreOptions): Store {
  let opened: AzureConnection | undefined;
  const connection = (): AzureConnection => (opened ??= connect(environment, options));
  return {
    async *list(uri, listOptions) {
      yield* listBlobs(connection(), environment, uri, listOptions);
    },
    async stat(uri, statOptions) {
      return statBlob(connection(), environment, uri, statOptions);
    },
    async fetch(entry, range, signal) {
      return fetchBlob(connection(), environment, entry, range, signal);
    },
    close() {
      opened?.close();
      return Promise.resolve();
    },
  };
}
