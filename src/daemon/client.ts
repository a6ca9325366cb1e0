// What a command does to mount, unmount and ask: resolves the ref in its own process, mounts with its
// own rights in its own mount namespace, and gives the device to the holder.

import { randomUUID } from "node:crypto";
import type { Assurance } from "../model/assurance.js";
import { Fault } from "../model/fault.js";
import { Holder } from "../mount/holder.js";
import { isOwnMount } from "../mount/mountinfo.js";
import { addon } from "../native/addon.js";
import { Manifest } from "../registry/manifest.js";
import { Registry } from "../registry/registry.js";
import { attach, detach, undoAttach } from "./attach.js";
import { call } from "./channel.js";
import { becomeHolder } from "./foreground.js";
import type { Environment, Home } from "./home.js";
import { chooseIo } from "./io-choice.js";
import { mountpointPath, prepareMountpoint, refuseMounted } from "./mountpoint.js";
import type { DriverName, IoMode, MountRecord, StatusReport } from "./protocol.js";
import { beginUse } from "./provenance.js";
import { MANY_REFUSED, refuseWeaker } from "./require.js";
import { claimStart, ensureDaemon } from "./start.js";

export type { MountStatus, StatusReport } from "./protocol.js";

export interface MountRequest {
  readonly ref: string;
  readonly dir: string;
  /** Refuse an artifact of another type. */
  readonly type?: string;
  readonly allowOther: boolean;
  readonly require: Assurance;
  /** Limit of the daemon's one cache in bytes: the last that was asked for counts. Null: as it is. */
  readonly cacheBytes: number | null;
  /** How long a reader waits for bytes that make no progress, in milliseconds. */
  readonly timeoutMs: number;
  readonly driver: DriverName;
  readonly io: "auto" | IoMode;
  /**
   * Serve from this process, which is replaced and does not return, until SIGTERM or unmount. Where a
   * daemon runs already, and for a driver that needs one, the daemon serves and the call returns.
   */
  readonly foreground: boolean;
  /** Called when it is mounted, just before this process is replaced; may throw to undo it. */
  readonly onForeground?: (report: MountReport) => void;
}

export interface MountReport {
  /** `name:vN`, with entity and project where the collection has them. */
  readonly ref: string;
  readonly version: string;
  readonly path: string;
  readonly digest: string;
  readonly files: number;
  readonly bytes: number;
  readonly io: IoMode;
  readonly notes: readonly string[];
}

/** Variables that a mount keeps from the shell that asked for it. */
const KEPT_VARIABLE =
  /^(AWS_|GOOGLE_|AZURE_|WANDB_|SSL_|GCE_METADATA_|IDENTITY_|MSI_|CLOUDSDK_CONFIG$|NO_GCE_CHECK$|PATH$|STORAGE_EMULATOR_HOST$|NETRC$|REFMOUNT_HTTP_HEADERS$|HOME$|(http|https|no|all)_proxy$|NODE_EXTRA_CA_CERTS$)/i;
const PREPARE_ATTEMPTS = 3;

/**
 * Mounts a version and returns when its directory is readable.
 * @throws Fault for whatever of the request cannot be done; nothing is mounted then.
 */
export async function mountRef(
  home: Home,
  request: MountRequest,
  environment: Environment,
): Promise<MountReport> {
  const use = beginUse(environment, "mount");
  const { record, version } = resolveRequest(home, request, environment);
  const dir = await mountpointPath(request.dir);
  const notes = await prepareMountpoint(dir);
  if (request.io === "passthrough" && record.io !== "passthrough") {
    notes.push(
      "passthrough needs Linux 6.9, root and the native driver: reads go through the page cache",
    );
  }
  const located: MountRecord = { ...record, directory: dir };
  const report = {
    ref: record.ref,
    version,
    path: dir,
    digest: record.manifestDigest,
    files: record.files,
    bytes: record.bytes,
  };
  // The other driver mounts from within its worker, which a daemon has to be there for.
  const startLock =
    request.foreground && record.driver === "native" ? await claimStart(home) : null;
  const used = { ref: record.ref, manifestDigest: record.manifestDigest };
  const note = (message: string): void => void notes.push(message);
  if (startLock !== null) {
    // This process becomes another program when it has mounted, so its use is recorded before.
    await use.record(home, used, note);
    const onMounted = (): void => request.onForeground?.({ ...report, io: record.io, notes });
    return becomeHolder({ home, record: located, startLock, environment, onMounted });
  }
  await prepareMount(home, located, environment);
  let attached = false;
  try {
    // Another command may have mounted here since we looked; it cannot any more.
    refuseMounted(dir);
    attached = true;
    if (record.driver === "native") giveDevice(home, located);
    const { io, notes: more } = await ask(home, "serve", { id: record.id });
    await use.record(home, used, note);
    return { ...report, io, notes: [...notes, ...more] };
  } catch (error) {
    await call(home.controlSocket, "cancel", { id: record.id }).catch(() => null);
    if (attached) undoAttach(dir);
    throw error;
  }
}

/**
 * Unmounts what of ours is mounted at `dir` and returns when it is gone and its resources are freed.
 * @throws Fault `not-found` when nothing of ours is there, `busy` when it is in use and not forced.
 */
export async function unmountDir(
  home: Home,
  dir: string,
  options: { readonly force: boolean },
): Promise<void> {
  const path = await mountpointPath(dir);
  if (!isOwnMount(path)) {
    throw new Fault("not-found", `Nothing of refmount is mounted at ${path}`, { subject: path });
  }
  const answer = await call(home.controlSocket, "detach", { dir: path, force: options.force });
  if (answer?.answer.detached !== true) detach(path, options.force);
  await call(home.controlSocket, "gone", { dir: path, lazy: options.force }).catch(
    (error: unknown) => {
      // A daemon that ended by itself meanwhile has freed everything.
      if (!(error instanceof Fault && error.kind === "unavailable")) throw error;
    },
  );
}

/** What the daemon does, or null when there is none. */
export async function readStatus(home: Home): Promise<StatusReport | null> {
  return (await call(home.controlSocket, "status", {}))?.answer ?? null;
}

function resolveRequest(
  home: Home,
  request: MountRequest,
  environment: Environment,
): { record: MountRecord; version: string } {
  const registry = Registry.open(home);
  try {
    const version = registry.resolve(
      request.ref,
      request.type === undefined ? {} : { type: request.type },
    );
    const manifest = Manifest.open(home.manifestsDir, version.manifestDigest);
    try {
      const weaker = manifest.firstBelow(request.require, MANY_REFUSED);
      refuseWeaker(request.ref, request.require, weaker, "mount");
      manifest.ensureIndex();
      const record: MountRecord = {
        id: randomUUID(),
        ref: version.ref,
        directory: request.dir,
        manifestDigest: version.manifestDigest,
        driver: request.driver,
        io: request.driver === "native" ? chooseIo(manifest, request.io) : "cached",
        require: request.require,
        allowOther: request.allowOther,
        cacheBytes: request.cacheBytes,
        timeoutMs: request.timeoutMs,
        files: version.files,
        bytes: version.bytes,
        uid: process.getuid?.() ?? 0,
        gid: process.getgid?.() ?? 0,
        environment: keptEnvironment(environment),
      };
      return { record, version: version.version };
    } finally {
      manifest.close();
    }
  } finally {
    registry.close();
  }
}

/** Has the daemon prepare the mount, starting one where none runs or the last one is just ending. */
async function prepareMount(
  home: Home,
  record: MountRecord,
  environment: Environment,
): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    await ensureDaemon(home, environment);
    try {
      await ask(home, "prepare", { record });
      return;
    } catch (error) {
      const gone = error instanceof Fault && error.kind === "unavailable";
      if (!gone || attempt === PREPARE_ATTEMPTS) throw error;
    }
  }
}

function keptEnvironment(environment: Environment): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const [name, value] of Object.entries(environment)) {
    if (value !== undefined && KEPT_VARIABLE.test(name)) kept[name] = value;
  }
  return kept;
}

function giveDevice(home: Home, record: MountRecord): void {
  const device = attach(record);
  try {
    using holder = Holder.connect(home.holderSocket);
    holder.adopt(record.id, JSON.stringify(record), device);
  } finally {
    addon().closeFd(device);
  }
}

async function ask<V extends "prepare" | "serve">(
  home: Home,
  verb: V,
  request: Parameters<typeof call<V>>[2],
): Promise<NonNullable<Awaited<ReturnType<typeof call<V>>>>["answer"]> {
  const answer = await call(home.controlSocket, verb, request);
  if (answer === null) throw new Fault("unavailable", "The daemon went away; try again");
  return answer.answer;
}
