// The store of Google Cloud Storage. Joins listing and fetching over one connection, which is made when
// first needed.

import type { Environment, Store, StoreOptions } from "../store.js";
import type { GcsConnection } from "./connection.js";
import { connect } from "./connection.js";
import { fetchObject } from "./fetch.js";
import { listObjects, statObject } from "./list.js";

/** Opens the store for `gs:` uris with the credentials that `environment` names. */
export function openGcsStore(environment: Environment, options: StoreOptions): Store {
  let opened: GcsConnection | undefined;
  const connection = (): GcsConnection => (opened ??= connect(environment, options));
  return {
    async *list(uri, listOptions) {
      yield* listObjects(connection(), uri, listOptions);
    },
    stat: async (uri, statOptions) => statObject(connection(), uri, statOptions),
    fetch: async (entry, range, signal) => fetchObject(connection(), entry, range, signal),
    close() {
      opened?.close();
      return Promise.resolve();
    },
  };
}
