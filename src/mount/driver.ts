// One manifest served at one directory: what a driver is given and what it gives back. Two drivers
// keep this contract: native (the addon on /dev/fuse) and fuse-native (portable).

import type { Negotiated, ProvidedBlob, SessionStats } from "../native/addon.js";

/** What a driver asks of the rooms above it. */
export interface Upcalls {
  /**
   * Makes sure the bytes of `node` are present and checked. Called at most once at a time per node.
   * Its rejection is translated to an errno for the readers (errnoOf).
   */
  fill(node: number): Promise<LentBlob>;
  /** The value of an extended attribute `user.refmount.*`, or null when there is none. */
  xattr(node: number, name: string): Promise<Uint8Array | null>;
  /** A read found the blob of `node` damaged; a new `fill` follows. */
  damaged(node: number, sha256: string): void;
  /** Something of the inode index was refused because it is damaged; told once per mount. */
  indexDamaged(): void;
}

/** A blob that stays where it is until disposed: a driver disposes it once it holds it open. */
export interface LentBlob extends ProvidedBlob, Disposable {}

export type EndReason = "unmounted" | "stopped" | "aborted";

/** A mount being served. */
export interface ServedMount {
  /** Settles when the mount is readable. */
  readonly ready: Promise<Negotiated>;
  /** Settles, never rejects, when the mount is gone or no longer served from here. */
  readonly ended: Promise<{ readonly reason: EndReason; readonly message: string }>;
  /** The blob with this name is being evicted: close it as soon as no reader needs it. */
  forget(sha256: string): void;
  /** Stops serving without unmounting. */
  stop(): void;
  /**
   * Unmounts; only on a driver that mounted by itself. Rejects with a Fault `busy` when the mount is in
   * use and `lazy` is false.
   */
  detach?(lazy: boolean): Promise<void>;
  stats(): SessionStats;
}
