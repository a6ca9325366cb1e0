// The native driver: hands a session in C++ its descriptors and answers its upcalls. No byte of a
// file, no lookup and no directory passes through here.

import { addon, type Negotiated, type Session } from "../native/addon.js";
import { deferred } from "../model/deferred.js";
import { errnoOf, Fault } from "../model/fault.js";
import type { EndReason, ServedMount, Upcalls } from "./driver.js";

export interface NativeServeOptions {
  /** The mount's own device first, then its clones; owned by the session from here on. */
  readonly devices: readonly number[];
  /** The memfd with the negotiated state, kept by the holder. */
  readonly stateFd: number;
  readonly indexPath: string;
  readonly manifestDigest: string;
  readonly io: "cached" | "passthrough";
  readonly uid: number;
  readonly gid: number;
  readonly maxOpenBlobs: number;
  readonly upcalls: Upcalls;
}

/** Serves a mount on devices that the holder keeps; takes over where a predecessor stopped. */
export function serveNative(options: NativeServeOptions): ServedMount {
  const { upcalls, ...rest } = options;
  const ready = deferred<Negotiated>();
  const ended = deferred<{ reason: EndReason; message: string }>();
  // A mount may end before anybody waits for it to be ready.
  ready.promise.catch(() => undefined);
  let live = true;
  // From here on requests are for a successor, or for nobody.
  let stopping = false;

  const fill = async (node: number): Promise<void> => {
    if (stopping) return;
    try {
      using blob = await upcalls.fill(node);
      if (live) session.provide(node, blob);
    } catch (error) {
      if (live) session.fail(node, errnoOf(error));
    }
  };
  const xattr = async (token: number, node: number, name: string): Promise<void> => {
    if (stopping) return;
    let value: Uint8Array | null = null;
    try {
      value = await upcalls.xattr(node, name);
    } catch {
      // Whoever computes it tells why; to the reader the attribute is not there.
    }
    if (live) session.replyXattr(token, value);
  };

  const session: Session = addon().startSession({
    ...rest,
    onFill: (node) => void fill(node),
    onDamage: (node, sha256) => upcalls.damaged(node, sha256),
    onIndexDamage: () => upcalls.indexDamaged(),
    onXattr: (token, node, name) => void xattr(token, node, name),
    onReady: (negotiated) => ready.resolve(negotiated),
    onEnd: (reason, message) => {
      live = false;
      ready.reject(
        new Fault(
          "unavailable",
          `The mount ended before it was readable: ${message}; mount it again`,
        ),
      );
      ended.resolve({ reason, message });
    },
  });
  return {
    ready: ready.promise,
    ended: ended.promise,
    forget: (sha256) => live && session.forget(sha256),
    stop: () => {
      stopping = true;
      if (live) session.stop();
    },
    stats: () => session.stats(),
  };
}
