// The store of schemes that nobody here can read: a reference is tracked, as one entry without size,
// pin or claim, and reading it says so.

import { Fault } from "../model/fault.js";
import { NO_PIN } from "../model/pin.js";
import type { Listed, Store } from "./store.js";

export function openTracking(): Store {
  return {
    // eslint-disable-next-line @typescript-eslint/require-await -- nothing has to be asked.
    async *list(uri, options) {
      options.signal.throwIfAborted();
      yield track(uri, options.pinVersion);
      options.onProgress?.(1);
    },
    stat: (uri, options) => Promise.resolve().then(() => track(uri, options.pinVersion)),
    fetch: (entry) =>
      Promise.reject(
        new Fault(
          "usage",
          `Cannot read ${entry.uri}: the scheme "${schemeIn(entry.uri)}" is not supported; ` +
            "it was logged only to be tracked",
          { subject: entry.uri },
        ),
      ),
    close: () => Promise.resolve(),
  };
}

function track(uri: string, pinVersion: boolean): Listed {
  if (pinVersion) {
    throw new Fault("usage", `--pin version: ${uri} is only tracked, nothing of it can be pinned`, {
      subject: uri,
    });
  }
  return {
    // Not named by the uri, whose parts may mean anything: whoever logs it gives it a path.
    key: "",
    single: true,
    sizeBytes: null,
    entryDigest: uri,
    uri,
    pin: NO_PIN,
    claims: [],
    mtimeMs: null,
  };
}

function schemeIn(uri: string): string {
  return uri.slice(0, uri.indexOf(":"));
}
