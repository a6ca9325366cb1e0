// The mounts of this daemon, from prepared to gone. Joins registry, stores, cache and mount; the
// holder keeps what must outlive this process.

import { Cache, type CacheUse } from "../cache/cache.js";
import { deferred, type Deferred } from "../model/deferred.js";
import { Fault } from "../model/fault.js";
import type { ServedMount } from "../mount/driver.js";
import { Holder } from "../mount/holder.js";
import { isOwnMount } from "../mount/mountinfo.js";
import { requestsMayBeLost } from "../mount/takeover.js";
import { addon, type Negotiated } from "../native/addon.js";
import { wholeIndex } from "../registry/index-thread.js";
import { Manifest } from "../registry/manifest.js";
import { openStores } from "../stores/schemes.js";
import { limitsWithin, type Store } from "../stores/store.js";
import { withRetry } from "../stores/retry.js";
import { detachBusyLazily } from "./attach.js";
import { FaultLog } from "./fault-log.js";
import type { Home } from "./home.js";
import { serveDriver } from "./drivers.js";
import type { MountRecord, MountStatus, StatusReport } from "./protocol.js";
import { serveUpcalls } from "./serving.js";
import { within } from "./within.js";

/** A prepared mount that nobody serves by then was abandoned by its command. */
const PREPARED_MS = 60_000;
/** The kernel asks for INIT at once; a mount that is not readable by then never will be. */
const READY_MS = 15_000;
/** What users of a mount get to end in, once it was let go because the daemon ends. */
const LAST_USERS_MS = 3_000;

interface MountSlot {
  readonly record: MountRecord;
  readonly manifest: Manifest;
  readonly stores: Store;
  readonly cache: Cache;
  readonly use: CacheUse;
  readonly gone: Deferred<void>;
  state: MountStatus["state"] | "prepared";
  /** As negotiated, once it is served. */
  io: MountRecord["io"];
  served: ServedMount | null;
}

export interface MountsOptions {
  readonly home: Home;
  readonly holderSocket: string;
  readonly log: (line: string) => void;
  /** Called when the last mount is gone. */
  readonly onIdle: () => void;
}

export class Mounts {
  readonly #options: MountsOptions;
  readonly #slots = new Map<string, MountSlot>();
  readonly #faults: FaultLog;
  #cache: Promise<Cache> | null = null;
  #openCache: Cache | null = null;

  constructor(options: MountsOptions) {
    this.#options = options;
    this.#faults = new FaultLog(options.log);
  }

  get size(): number {
    return this.#slots.size;
  }

  /** Opens everything a mount needs, so that what cannot work fails before anything is mounted. */
  async prepare(record: MountRecord): Promise<void> {
    const { home } = this.#options;
    const cache = await this.#useCache(record.cacheBytes);
    // The last wish counts: there is one cache for all mounts.
    const { cacheBytes } = record;
    if (cacheBytes !== null && cacheBytes !== cache.stats().limitBytes) {
      await cache.setLimit(cacheBytes);
    }
    // What is served already is in the mount table, where the command looks; this is about two
    // commands at once, so nothing may be awaited between here and the slot's entry.
    const taken = [...this.#slots.values()].find(
      ({ record: other, state }) =>
        other.directory === record.directory && (state === "prepared" || state === "starting"),
    );
    if (taken !== undefined) {
      throw new Fault(
        "busy",
        `${taken.record.ref} is being mounted at ${record.directory} already`,
        {
          subject: record.directory,
        },
      );
    }
    const manifest = Manifest.open(home.manifestsDir, record.manifestDigest);
    const slot: MountSlot = {
      record,
      manifest,
      stores: openStores(record.environment, limitsWithin(record.timeoutMs)),
      cache,
      use: cache.openUse(record.id),
      gone: deferred(),
      state: "prepared",
      io: record.io,
      served: null,
    };
    this.#slots.set(record.id, slot);
    setTimeout(() => {
      if (slot.state === "prepared") void this.#release(slot);
    }, PREPARED_MS).unref();
  }

  /** Serves a prepared mount whose device the holder has; settles when it is readable. */
  async serve(id: string): Promise<{ io: MountRecord["io"]; notes: string[] }> {
    const slot = this.#slots.get(id);
    if (slot?.state !== "prepared") {
      throw new Fault("unavailable", "The mount was prepared too long ago; mount it again");
    }
    slot.state = "starting";
    let negotiated;
    try {
      negotiated = await this.#begin(slot);
    } catch (error) {
      await this.#release(slot);
      throw error;
    }
    slot.state = "serving";
    slot.io = negotiated.io;
    this.#options.log(
      `${slot.record.ref} is readable at ${slot.record.directory} (${negotiated.io}, protocol ` +
        `${negotiated.protocol}${negotiated.resumed ? ", taken over" : ""})`,
    );
    const notes =
      negotiated.io === slot.record.io
        ? []
        : [
            `passthrough is not available here, so reads go through the page cache (${negotiated.io})`,
          ];
    return { io: negotiated.io, notes };
  }

  async #begin(slot: MountSlot): Promise<Negotiated> {
    const { record, manifest } = slot;
    const { home, holderSocket } = this.#options;
    const served = await serveDriver(record, {
      home,
      holderSocket,
      indexPath: await wholeIndex(home.manifestsDir, record.manifestDigest),
      upcalls: serveUpcalls({
        record,
        manifest,
        cache: slot.cache,
        use: slot.use,
        fetch: withRetry(slot.stores.fetch, { timeoutMs: record.timeoutMs }),
        faults: this.#faults,
        io: () => slot.io,
        onBug: (error) => this.#bug(error),
      }),
    });
    if (this.#slots.get(record.id) !== slot) {
      // Everything was unmounted while this one began.
      served.stop();
      throw new Fault("unavailable", "The daemon is ending; try again");
    }
    slot.served = served;
    void served.ended.then(({ reason, message }) => {
      this.#options.log(`${record.ref} at ${record.directory}: ${reason} ${message}`.trim());
      slot.state = "ending";
      if (reason !== "stopped") void this.#release(slot);
    });
    return within(READY_MS, served.ready, () => {
      throw new Fault(
        "unavailable",
        `The kernel did not begin to use the mount at ${record.directory}; see the daemon's log`,
        { subject: record.directory },
      );
    });
  }

  /**
   * Takes over the mounts that a predecessor served. One that cannot be served any more is unmounted:
   * readers then get an error instead of waiting for ever.
   * @returns why, for each mount given up.
   */
  async resume(): Promise<readonly unknown[]> {
    const failures: unknown[] = [];
    for (const record of this.#keptRecords()) {
      try {
        if (requestsMayBeLost(record.directory)) {
          throw new Fault(
            "unavailable",
            `${record.directory} cannot be taken over: what its readers wait for was lost with the ` +
              "process that served them, and this kernel (before Linux 6.9) does not ask again. " +
              "Mount it again",
            { subject: record.directory },
          );
        }
        await this.prepare(record);
        await this.serve(record.id);
      } catch (error) {
        this.#bug(error);
        failures.push(error);
        this.#giveUp(record);
      }
    }
    return failures;
  }

  cancel(id: string): Promise<void> {
    const slot = this.#slots.get(id);
    return slot?.state === "prepared" ? this.#release(slot) : Promise.resolve();
  }

  /**
   * Settles when the mount that was at `dir` is gone; at once with `lazy`, since a mount that was let
   * go lives on until its last user ends. False when there was none.
   */
  async gone(dir: string, lazy: boolean): Promise<boolean> {
    // Not one that another command is just beginning there.
    const slots = [...this.#slots.values()].filter(
      ({ record, state }) =>
        record.directory === dir && (state === "serving" || state === "ending"),
    );
    for (const slot of slots) {
      if (lazy) slot.state = "ending";
      else if (slot.state !== "ending") await slot.gone.promise;
    }
    return slots.length > 0;
  }

  /** Unmounts what mounts itself; false when the command has to do it. */
  async detach(dir: string, force: boolean): Promise<boolean> {
    const slot = [...this.#slots.values()].findLast((one) => one.record.directory === dir);
    if (slot?.served?.detach === undefined) return false;
    await slot.served.detach(force);
    return true;
  }

  /** Unmounts everything: in order, lazily where somebody still uses it. */
  async unmountAll(): Promise<void> {
    await Promise.all(
      [...this.#slots.values()].map(async (slot) => {
        if (slot.served === null) return this.#release(slot);
        try {
          if (slot.served.detach !== undefined) await slot.served.detach(true);
          else detachBusyLazily(slot.record.directory);
        } catch (error) {
          // Unmounted from elsewhere a moment ago, or not ours to unmount: the device closes with us.
          this.#options.log(`unmounting ${slot.record.directory}: ${(error as Error).message}`);
          return this.#release(slot);
        }
        await within(LAST_USERS_MS, slot.gone.promise, () => {
          this.#options.log(`${slot.record.directory} is still in use: its readers get errors now`);
          return this.#release(slot);
        });
      }),
    );
  }

  async close(): Promise<void> {
    await this.#openCache?.[Symbol.asyncDispose]();
  }

  status(): StatusReport {
    const cache = this.#openCache?.stats();
    return {
      pid: process.ppid,
      workerPid: process.pid,
      mounts: [...this.#slots.values()].flatMap((slot) => mountStatus(slot)),
      cache: {
        dir: this.#options.home.cacheDir,
        usedBytes: cache?.usedBytes ?? 0,
        limitBytes: cache?.limitBytes ?? 0,
        hits: cache?.hits ?? 0,
        misses: cache?.misses ?? 0,
      },
      fetches: (cache?.fetches ?? []).map((fetch) => ({
        uri: fetch.uri,
        path: fetch.path,
        sizeBytes: fetch.sizeBytes,
        doneBytes: fetch.doneBytes,
        ageMs: Date.now() - fetch.startedMs,
      })),
      errors: this.#faults.list(),
    };
  }

  #useCache(limitBytes: number | null): Promise<Cache> {
    this.#cache ??= Cache.open({
      dir: this.#options.home.cacheDir,
      limitBytes,
      floorBytes: null,
      onEvict: (sha256) => {
        for (const slot of this.#slots.values()) slot.served?.forget(sha256);
      },
      log: this.#options.log,
    }).then(
      (cache) => (this.#openCache = cache),
      (error: unknown) => {
        // The next mount may find the folder writable, or free.
        this.#cache = null;
        throw error;
      },
    );
    return this.#cache;
  }

  /** Frees all that a slot holds; one step that fails keeps none of the others from being done. */
  async #release(slot: MountSlot): Promise<void> {
    const { record } = slot;
    if (!this.#slots.delete(record.id)) return;
    // Its command mounted, and died before it had it served: a dead mount would stay behind.
    const begun = slot.state === "prepared" || slot.state === "starting";
    const abandoned = begun && this.#isKept(record.id) && isOwnMount(record.directory);
    const steps: readonly (() => unknown)[] = [
      () => slot.served?.stop(),
      () => slot.use[Symbol.dispose](),
      () => slot.manifest.close(),
      () => abandoned && addon().detach(record.directory, true),
      () => this.#drop(record.id),
      () => slot.stores.close(),
    ];
    for (const step of steps) {
      try {
        await step();
      } catch (error) {
        this.#bug(error);
      }
    }
    slot.gone.resolve();
    if (this.#slots.size === 0) this.#options.onIdle();
  }

  #isKept(id: string): boolean {
    try {
      using holder = Holder.connect(this.#options.holderSocket);
      return holder.list().includes(id);
    } catch {
      return false;
    }
  }

  #drop(id: string): void {
    using holder = Holder.connect(this.#options.holderSocket);
    if (holder.list().includes(id)) holder.drop(id);
  }

  #keptRecords(): MountRecord[] {
    using holder = Holder.connect(this.#options.holderSocket);
    return holder.records().map((record) => JSON.parse(record) as MountRecord);
  }

  #giveUp(record: MountRecord): void {
    for (const step of [
      () => isOwnMount(record.directory) && addon().detach(record.directory, true),
      // Also when it could not be unmounted: without a descriptor the kernel ends all waiting.
      () => this.#drop(record.id),
    ]) {
      try {
        step();
      } catch (error) {
        this.#bug(error);
      }
    }
  }

  #bug(error: unknown): void {
    this.#options.log(error instanceof Error ? (error.stack ?? error.message) : String(error));
  }
}

function mountStatus(slot: MountSlot): MountStatus[] {
  if (slot.state === "prepared") return [];
  const { record, served, state } = slot;
  const stats = served?.stats();
  return [
    {
      ref: record.ref,
      path: record.directory,
      digest: record.manifestDigest,
      driver: record.driver,
      io: slot.io,
      require: record.require,
      files: record.files,
      bytes: record.bytes,
      state,
      reads: stats?.reads ?? 0,
      readBytes: stats?.readBytes ?? 0,
      parked: stats?.parked ?? 0,
    },
  ];
}
