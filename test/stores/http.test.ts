// The HTTP store by the contract that all stores keep: against nginx, and against the double as a
// server that has less than nginx has.

import { describe } from "vitest";
import { openHttpStore } from "../../src/stores/http/store.js";
import { encodeKey } from "../../src/stores/uri.js";
import type { StoreUnderTest } from "../contract/store.js";
import { storeContract } from "../contract/store.js";
import type { ServedOptions } from "../support/http-double.js";
import { startHttpDouble } from "../support/http-double.js";
import { needs } from "../support/needs.js";
import { startNginx } from "../support/nginx.js";

const ODD_NAMES = [
  "a#b",
  "a?b",
  "a%20b",
  "a%3Fb",
  "100%",
  "with space",
  " leading and trailing ",
  "plus+plus",
  "umlaut-\u00e4\u00f6",
  "astral-\u{1f600}",
  "combining-e\u0301",
  "trailing.",
  "trailing..",
  "...",
  "~tilde",
  "quote'\"<&>",
  "(!*)",
  "semi;colon,comma=equals@at:colon$",
  "back\\slash",
  "{braces}|^`[]",
  "line\nbreak",
  "tab\tand\u0001control",
  "x?token=1",
  "a".repeat(255),
] as const;

/** A server and its objects, by names that are raw. */
interface Server extends AsyncDisposable {
  readonly origin: string;
  put(name: string, bytes: Uint8Array): Promise<void>;
  remove(name: string): Promise<void>;
}

async function serveByNginx(): Promise<Server> {
  const nginx = await startNginx();
  return {
    origin: nginx.origin,
    put: (name, bytes) => nginx.put(name, bytes),
    remove: (name) => nginx.remove(name),
    [Symbol.asyncDispose]: () => nginx[Symbol.asyncDispose](),
  };
}

async function serveByDouble(options: ServedOptions): Promise<Server> {
  const double = await startHttpDouble();
  return {
    origin: double.origin,
    put(name, bytes) {
      double.put(pathOf(name), bytes, options);
      return Promise.resolve();
    },
    remove(name) {
      double.remove(pathOf(name));
      return Promise.resolve();
    },
    [Symbol.asyncDispose]: () => double[Symbol.asyncDispose](),
  };
}

/** As the store asks for it: it writes no escape that is not needed. */
function pathOf(name: string): string {
  return `/${encodeKey(name)}`;
}

function contract(name: string, serve: () => Promise<Server>): void {
  const make = async (): Promise<StoreUnderTest> => {
    const server = await serve();
    const store = openHttpStore({}, { retryTimeoutMs: 0 });
    return {
      store,
      uri: (object) => server.origin + pathOf(object),
      put: (object, bytes) => server.put(object, bytes),
      remove: (object) => server.remove(object),
      oddNames: ODD_NAMES,
      keepsVersions: false,
      async [Symbol.asyncDispose]() {
        await store.close();
        await server[Symbol.asyncDispose]();
      },
    };
  };
  storeContract(name, make, { hasPrefixes: false });
}

describe.runIf(needs("nginx"))("nginx", () => {
  contract("HTTP from nginx", serveByNginx);
});
contract("HTTP with ETags", () => serveByDouble({}));
contract("HTTP without HEAD", () => serveByDouble({ headStatus: 405 }));
contract("HTTP that ignores conditions", () => serveByDouble({ ignoresConditions: true }));
contract("HTTP that tells no length", () => serveByDouble({ chunked: true }));
