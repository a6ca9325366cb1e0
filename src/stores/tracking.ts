// The store of schemes that nobody here can read: a reference is tracked, as one entry without size,
// pin or claim, and reading it says so.

import { Fault } from "../model/fault.js";
import { NO_PIN } from "../model/pin.js";
import { shownUri } from "../model/shown-uri.js";
import { secretIn } from "./http/secret-query.js";
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
        new Fault("usage", `Cannot read ${shownUri(entry.uri)}: ${whyUnread(entry.uri)}`, {
          subject: shownUri(entry.uri),
        }),
      ),
    close: () => Promise.resolve(),
  };
}

/** Why an object of an unsupported scheme cannot be had, as a clause. */
export function whyUnread(uri: string): string {
  const scheme = uri.slice(0, uri.indexOf(":"));
  return `the scheme "${scheme}" is not supported; it was logged only to be tracked`;
}

function querySecret(uri: string): string | undefined {
  const question = uri.indexOf("?");
  return question < 0 ? undefined : secretIn(new URLSearchParams(uri.slice(question + 1)));
}

function track(uri: string, pinVersion: boolean): Listed {
  const shown = shownUri(uri);
  if (pinVersion) {
    throw new Fault(
      "usage",
      `--pin version: ${shown} is only tracked, nothing of it can be pinned`,
      { subject: shown },
    );
  }
  const secret = /^[^:]+:\/\/[^/?#]*@/.test(uri) ? "a user name or a password" : querySecret(uri);
  if (secret !== undefined) {
    throw new Fault(
      "usage",
      `The URI of ${shown} holds ${secret}, which would be recorded with it: write it without`,
      { subject: shown },
    );
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
