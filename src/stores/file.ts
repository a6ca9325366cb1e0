// The file store: local disks and NFS. Lists a file or a tree and opens files for copying; it hashes
// nothing, and pins nothing: that a file is still the one that was logged shows in its hash alone.

import { openEntry } from "./file-fetch.js";
import { listFiles, statFile } from "./file-list.js";
import {
  RETRY_TIMEOUT_MS,
  STALL_TIMEOUT_MS,
  type Environment,
  type Store,
  type StoreOptions,
} from "./store.js";

/** Opens the store for `file:` uris. */
export function openFileStore(_environment: Environment, options: StoreOptions = {}): Store {
  const stallTimeoutMs = options.stallTimeoutMs ?? STALL_TIMEOUT_MS;
  // A call that waits cannot be made again, so a listing waits for one call as long as it would retry.
  const listTimeoutMs = options.retryTimeoutMs ?? RETRY_TIMEOUT_MS;
  return {
    list: (uri, listOptions) => listFiles(uri, listOptions, listTimeoutMs),
    stat: (uri, statOptions) => statFile(uri, statOptions, listTimeoutMs),
    fetch: (entry, range, signal) => openEntry(entry, range, signal, stallTimeoutMs),
    close: () => Promise.resolve(),
  };
}
