// Chooses the driver that a mount's record names and hands it what it needs.

import { readFileSync } from "node:fs";
import type { ServedMount, Upcalls } from "../mount/driver.js";
import { Holder } from "../mount/holder.js";
import { serveNative } from "../mount/native.js";
import type { Home } from "./home.js";
import type { MountRecord } from "./protocol.js";

export interface DriverNeeds {
  readonly home: Home;
  readonly holderSocket: string;
  readonly indexPath: string;
  readonly upcalls: Upcalls;
}

const MOST_OPEN_BLOBS = 8192;
const FEWEST_OPEN_BLOBS = 16;

export async function serveDriver(record: MountRecord, needs: DriverNeeds): Promise<ServedMount> {
  if (record.driver === "fuse-native") {
    // Loaded only when asked for: it needs libfuse 2 on the machine.
    const { serveFuseNative } = await import("../mount/fuse-native.js");
    return serveFuseNative({
      dir: record.directory,
      indexPath: needs.indexPath,
      manifestDigest: record.manifestDigest,
      fsname: record.ref,
      allowOther: record.allowOther,
      uid: record.uid,
      gid: record.gid,
      upcalls: needs.upcalls,
    });
  }
  const maxOpenBlobs = mostOpenBlobs();
  using holder = Holder.connect(needs.holderSocket);
  const { stateFd, devices } = holder.take(record.id);
  return serveNative({
    devices,
    stateFd,
    indexPath: needs.indexPath,
    manifestDigest: record.manifestDigest,
    io: record.io,
    uid: record.uid,
    gid: record.gid,
    maxOpenBlobs,
    upcalls: needs.upcalls,
  });
}

/** A quarter of what this process may open: the rest is for other mounts, fetches and databases. */
function mostOpenBlobs(): number {
  const soft = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
  const quarter = Math.floor(Number(soft ?? 1024) / 4);
  return Math.max(FEWEST_OPEN_BLOBS, Math.min(MOST_OPEN_BLOBS, quarter));
}
