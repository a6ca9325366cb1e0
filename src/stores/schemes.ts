// The table of stores, and one store that routes by it. A store's module is loaded when a uri first
// needs it, so that no SDK is loaded for --help or for local files.

import { Fault } from "../model/fault.js";
import type { Fetch } from "../model/fetch.js";
import { isAzureUri } from "./azure/uri.js";
import type { Environment, Listed, Store, StoreOptions } from "./store.js";
import { openTracking } from "./tracking.js";

type OpenStore = (environment: Environment, options: StoreOptions) => Store;

interface Row {
  readonly name: string;
  readonly schemes: readonly string[];
  /** Of these schemes the row takes only uris for which this is true; all, when it is missing. */
  readonly takes?: (uri: string, environment: Environment) => boolean;
  readonly load: () => Promise<OpenStore>;
}

/** The first row that takes a uri is its store. */
const STORES: readonly Row[] = [
  {
    name: "file",
    schemes: ["file"],
    load: async () => (await import("./file.js")).openFileStore,
  },
  {
    name: "s3",
    schemes: ["s3"],
    load: async () => (await import("./s3/store.js")).openS3Store,
  },
  {
    name: "gcs",
    schemes: ["gs", "gcs"],
    load: async () => (await import("./gcs/store.js")).openGcsStore,
  },
  {
    name: "azure",
    schemes: ["https", "http", "az", "abfs", "abfss", "wasb", "wasbs"],
    takes: isAzureUri,
    load: async () => (await import("./azure/store.js")).openAzureStore,
  },
  {
    name: "http",
    schemes: ["https", "http"],
    load: async () => (await import("./http/store.js")).openHttpStore,
  },
];

/** A uri of any other scheme is tracked: listed, never read. */
const TRACKING: Row = { name: "tracking", schemes: [], load: () => Promise.resolve(openTracking) };

/**
 * The scheme of `uri`, in lower case.
 * @throws Fault `usage` when it has none.
 */
export function schemeOf(uri: string): string {
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):\/\//.exec(uri)?.[1]?.toLowerCase();
  if (scheme === undefined) {
    throw new Fault(
      "usage",
      `References must be URIs, and "${uri}" has no scheme. To reference a local file, use file:///path`,
      { subject: uri },
    );
  }
  return scheme;
}

/** True when a store can read uris of this scheme. */
export function isKnownScheme(scheme: string): boolean {
  return STORES.some((row) => row.schemes.includes(scheme));
}

/** One store for every scheme, with the credentials and endpoints that `environment` names. */
export function openStores(environment: Environment, options: StoreOptions = {}): Store {
  const opened = new Map<Row, Promise<Store>>();

  const storeOf = (uri: string): Promise<Store> => {
    const row = rowOf(uri, environment);
    let store = opened.get(row);
    if (store === undefined) {
      store = row.load().then((open) => open(environment, options));
      opened.set(row, store);
    }
    return store;
  };

  const fetch: Fetch = async (entry, range, signal) =>
    (await storeOf(entry.uri)).fetch(entry, range, signal);

  return {
    async *list(uri, listOptions): AsyncIterable<Listed> {
      yield* (await storeOf(uri)).list(uri, listOptions);
    },
    stat: async (uri, statOptions) => (await storeOf(uri)).stat(uri, statOptions),
    fetch,
    async close() {
      const stores = await Promise.allSettled(opened.values());
      opened.clear();
      for (const store of stores) if (store.status === "fulfilled") await store.value.close();
    },
  };
}

function rowOf(uri: string, environment: Environment): Row {
  const scheme = schemeOf(uri);
  const found = STORES.find(
    (row) => row.schemes.includes(scheme) && (row.takes?.(uri, environment) ?? true),
  );
  return found ?? TRACKING;
}
