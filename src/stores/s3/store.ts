// The S3 store: AWS and everything that speaks its protocol. Joins listing and fetching over one
// connection, which is made when first needed.

import type { Environment, Store, StoreOptions } from "../store.js";
import type { S3Connection } from "./connection.js";
import { connect } from "./connection.js";
import { fetchObject } from "./fetch.js";
import { listObjects, statObject } from "./list.js";

/** Opens the store for `s3:` uris with the endpoint and credentials that `environment` names. */
export function openS3Store(environment: Environment, options: StoreOptions): Store {
  let opened: Promise<S3Connection> | undefined;
  const connection = (): Promise<S3Connection> => (opened ??= connect(environment, options));
  return {
    async *list(uri, listOptions) {
      yield* listObjects(await connection(), uri, listOptions);
    },
    stat: async (uri, statOptions) => statObject(await connection(), uri, statOptions),
    fetch: async (entry, range, signal) => fetchObject(await connection(), entry, range, signal),
    async close() {
      if (opened === undefined) return;
      const [settled] = await Promise.allSettled([opened]);
      if (settled.status === "fulfilled") settled.value.close();
    },
  };
}
