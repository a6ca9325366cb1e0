// Which io mode suits a manifest: all its sizes are known before anything is mounted.

import { addon } from "../native/addon.js";
import type { Manifest } from "../registry/manifest.js";
import type { IoMode } from "./protocol.js";

const LARGE_FILE_BYTES = 64 * 1_048_576;
const LARGE_SHARE = 0.9;
const FEW_FILES = 1000;

/**
 * Passthrough suits few large files (mmap, random access); zero-message opens suit everything else.
 * An explicit wish is kept as far as the machine allows.
 */
export function chooseIo(manifest: Manifest, wish: "auto" | IoMode): IoMode {
  if (wish === "cached") return "cached";
  if (!addon().canPassthrough()) return "cached";
  if (wish === "passthrough") return "passthrough";
  if (manifest.files >= FEW_FILES || manifest.bytes === 0) return "cached";
  return manifest.bytesInFilesOfAtLeast(LARGE_FILE_BYTES) >= LARGE_SHARE * manifest.bytes
    ? "passthrough"
    : "cached";
}
