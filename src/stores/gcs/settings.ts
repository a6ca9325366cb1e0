// What the environment says about Google Cloud Storage: where it is, where credentials may be, who is
// billed. Reads the passed environment only, and no file.

import { homedir } from "node:os";
import { join } from "node:path";
import { Fault } from "../../model/fault.js";
import type { Environment } from "../store.js";
import { nonEmpty } from "../store.js";

export interface GcsSettings {
  /** Where the JSON API is; its own path included, without a "/" at the end. */
  readonly api: URL;
  /** STORAGE_EMULATOR_HOST is set: no credentials are looked for and none are sent. */
  readonly emulator: boolean;
  /** The file that GOOGLE_APPLICATION_CREDENTIALS names: it must be there. */
  readonly credentialsFile: string | undefined;
  /** Where `gcloud auth application-default login` writes; need not be there. */
  readonly wellKnownFile: string;
  /** GOOGLE_CLOUD_QUOTA_PROJECT: billed for requests to buckets whose requester pays. */
  readonly quotaProject: string | undefined;
  /** GCE_METADATA_HOST: asked for this machine's own credentials, wherever this machine is. */
  readonly metadataHost: string | undefined;
  /** NO_GCE_CHECK: without GCE_METADATA_HOST the machine is not asked, whatever it looks like. */
  readonly noMetadata: boolean;
}

const API = "https://storage.googleapis.com";
const API_PATH = "/storage/v1";

/** @throws Fault `usage` for an emulator's address that is none. */
export function readSettings(environment: Environment): GcsSettings {
  const emulator = nonEmpty(environment["STORAGE_EMULATOR_HOST"]);
  const home = nonEmpty(environment["HOME"]) ?? homedir();
  const gcloud = nonEmpty(environment["CLOUDSDK_CONFIG"]) ?? join(home, ".config", "gcloud");
  return {
    api: apiAt(emulator ?? API),
    emulator: emulator !== undefined,
    credentialsFile: nonEmpty(environment["GOOGLE_APPLICATION_CREDENTIALS"]),
    wellKnownFile: join(gcloud, "application_default_credentials.json"),
    quotaProject: nonEmpty(environment["GOOGLE_CLOUD_QUOTA_PROJECT"]),
    metadataHost: nonEmpty(environment["GCE_METADATA_HOST"]),
    noMetadata: environment["NO_GCE_CHECK"]?.toLowerCase() === "true",
  };
}

/** An emulator may be written without its scheme, and with the path that every SDK would add. */
function apiAt(text: string): URL {
  const withScheme = text.includes("://") ? text : `http://${text}`;
  const url = URL.canParse(withScheme) ? new URL(withScheme) : undefined;
  const usable =
    url !== undefined &&
    /^https?:$/.test(url.protocol) &&
    url.hostname !== "" &&
    url.username === "" &&
    url.search === "";
  if (!usable) {
    throw new Fault(
      "usage",
      "STORAGE_EMULATOR_HOST must be HOST:PORT or an http:// or https:// address without user name and query",
    );
  }
  const path = url.pathname.replace(/\/+$/, "");
  url.pathname = path.endsWith(API_PATH) ? path : `${path}${API_PATH}`;
  url.hash = "";
  return url;
}
