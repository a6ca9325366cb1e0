// The HTTP(S) store: one URL is one object. Joins looking at one and fetching it over one connection,
// which is made when first needed.

import type { Fetch } from "../../model/fetch.js";
import { tooMany } from "../listing.js";
import type { Environment, Store, StoreOptions } from "../store.js";
import type { HttpConnection } from "./connection.js";
import { connect } from "./connection.js";
import { makeFetch } from "./fetch.js";
import { statObject } from "./stat.js";

/** Opens the store for `http:` and `https:` uris with the credentials that `environment` names. */
export function openHttpStore(environment: Environment, options: StoreOptions): Store {
  let opened: { readonly connection: HttpConnection; readonly fetch: Fetch } | undefined;
  const open = (): { readonly connection: HttpConnection; readonly fetch: Fetch } => {
    if (opened !== undefined) return opened;
    const connection = connect(environment, options);
    opened = { connection, fetch: makeFetch(connection) };
    return opened;
  };
  return {
    async *list(uri, listOptions) {
      const listed = await statObject(open().connection, uri, listOptions);
      if (listOptions.maxObjects < 1) throw tooMany(listed.uri, listOptions.maxObjects);
      yield listed;
      listOptions.onProgress?.(1);
    },
    stat: async (uri, statOptions) => statObject(open().connection, uri, statOptions),
    fetch: async (entry, range, signal) => open().fetch(entry, range, signal),
    close() {
      opened?.connection.close();
      return Promise.resolve();
    },
  };
}
