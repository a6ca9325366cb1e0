// The table of schemes, and one store that routes by it. A scheme's module is loaded when a uri
// first needs it, so that no SDK is loaded for --help or for local files.

import { Fault } from "../model/fault.js";
import type { Fetch } from "../model/fetch.js";
import type { Environment, Listed, ListOptions, Store, StoreOptions } from "./store.js";

type OpenStore = (environment: Environment, options: StoreOptions) => Store;

const SCHEMES: Readonly<Record<string, () => Promise<OpenStore>>> = {
  file: async () => (await import("./file.js")).openFileStore,
  s3: async () => (await import("./s3/store.js")).openS3Store,
};

/**
 * The scheme of `uri`, in lower case.
 * @throws Fault `usage` when it has none or one that no store knows.
 */
export function schemeOf(uri: string): string {
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):\/\//.exec(uri)?.[1]?.toLowerCase();
  if (scheme === undefined) {
    throw new Fault(
      "usage",
      `"${uri}" is not a URI: a reference begins with a scheme; for a local file write file:///path`,
      { subject: uri },
    );
  }
  if (!Object.hasOwn(SCHEMES, scheme)) {
    const known = Object.keys(SCHEMES).map((name) => `${name}://`);
    throw new Fault(
      "usage",
      `No store for "${scheme}://" references; those known are ${known.join(", ")}`,
    );
  }
  return scheme;
}

/** One store for every scheme, with the credentials and endpoints that `environment` names. */
export function openStores(environment: Environment, options: StoreOptions = {}): Store {
  const opened = new Map<string, Promise<Store>>();

  const storeOf = (uri: string): Promise<Store> => {
    const scheme = schemeOf(uri);
    let store = opened.get(scheme);
    if (store === undefined) {
      store = openScheme(scheme, environment, options);
      opened.set(scheme, store);
    }
    return store;
  };

  const fetch: Fetch = async (entry, range, signal) =>
    (await storeOf(entry.uri)).fetch(entry, range, signal);

  return {
    async *list(uri: string, listOptions: ListOptions): AsyncIterable<Listed> {
      yield* (await storeOf(uri)).list(uri, listOptions);
    },
    fetch,
    async close() {
      const stores = await Promise.allSettled(opened.values());
      opened.clear();
      for (const store of stores) if (store.status === "fulfilled") await store.value.close();
    },
  };
}

async function openScheme(
  scheme: string,
  environment: Environment,
  options: StoreOptions,
): Promise<Store> {
  const load = SCHEMES[scheme];
  if (load === undefined) throw new Error(`no row for scheme ${scheme}`);
  return (await load())(environment, options);
}
