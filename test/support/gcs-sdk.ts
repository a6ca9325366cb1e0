// Google's own SDK, as somebody who writes objects uses it.

import { Storage } from "@google-cloud/storage";

/** @param server Where a double or an emulator listens. */
export function sdkOf(server: { readonly host: string }): Storage {
  return new Storage({ apiEndpoint: `http://${server.host}`, projectId: "project" });
}
