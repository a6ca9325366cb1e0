// The native driver: hands a session in C++ its descriptors and answers its upcalls. No byte of a
// file, no lookup and no directory passes through here.

import { addon, type Negotiated, type Session } from "../native/addon.js";
import { deferred } from "../model/deferred.js";
import { errnoOf } from "../model/fault.js";
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

  const fill = async (node: number): Promise<void> => {
    try {
      using blob = await upcalls.fill(node);
      if (live) session.provide(node, blob);
    } catch (error) {
      if (live) session.fail(node, errnoOf(error));
    }
  };
  const xattr = async (token: number, node: number, name: string): Promise<void> => {
    const value = await upcalls.xattr(node, name).catch(() => null);
    if (live) session.replyXattr(token, value);
  };

  const session: Session = addon().startSession({
    ...rest,
    onFill: (node) => void fill(node),
    onDamage: (node, sha256) => upcalls.damaged(node, sha256),
    onXattr: (token, node, name) => void xattr(token, node, name),
    onReady: (negotiated) => ready.resolve(negotiated),
    onEnd: (reason, message) => {
      live = false;
      ready.reject(new Error(`The mount ended before it was readable: ${message}`));
      ended.resolve({ reason, message });
    },
  });
  return {
    ready: ready.promise,
    ended: ended.promise,
    forget: (sha256) => live && session.forget(sha256),
    stop: () => live && session.stop(),
    stats: () => session.stats(),
  };
}
