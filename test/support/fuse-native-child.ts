// Runs in a process of its own: serves a mount with the compiled fuse-native driver and asks the
// process that started it for everything above the driver. Compiled on its own, so it imports no
// source file of ours but types.

import { writeSync } from "node:fs";
import type { FuseNativeMount, serveFuseNative } from "../../src/mount/fuse-native.js";
import type { ChildMessage, ParentMessage } from "./fuse-native-server.js";

interface Driver {
  readonly serveFuseNative: typeof serveFuseNative;
}

const tell = (message: ChildMessage): void => void process.send?.(message);
const pending = new Map<number, (message: ParentMessage & { kind: "answer" }) => void>();
let lastId = 0;
let mount: FuseNativeMount | undefined;

function ask(
  message: { ask: "fill"; node: number } | { ask: "xattr"; node: number; name: string },
) {
  return new Promise<unknown>((resolve, reject) => {
    const id = ++lastId;
    pending.set(id, ({ value, fault }) => {
      if (fault === undefined) resolve(value);
      else reject(faultFromRecord(fault));
    });
    tell({ kind: "ask", id, ...message });
  });
}

const [driverUrl = "", faultUrl = "", optionsText = "{}"] = process.argv.slice(2);
const { Fault, isFaultKind } = (await import(
  faultUrl
)) as typeof import("../../src/model/fault.js");

function faultFromRecord(record: { kind: string; message: string }): Error {
  return isFaultKind(record.kind)
    ? new Fault(record.kind, record.message)
    : new Error(record.message);
}

process.on("message", (message: ParentMessage) => {
  switch (message.kind) {
    case "answer": {
      pending.get(message.id)?.(message);
      pending.delete(message.id);
      return;
    }
    case "forget":
      mount?.forget(message.sha256);
      return;
    case "stop":
      mount?.stop();
      return;
    case "detach":
      mount?.detach(message.lazy).then(
        () => tell({ kind: "detached" }),
        (error: unknown) => tell({ kind: "detached", fault: recordOf(error) }),
      );
      return;
    case "stats":
      if (mount !== undefined) tell({ kind: "stats", stats: mount.stats() });
  }
});

function recordOf(error: unknown): { kind: string; message: string } {
  if (error instanceof Fault) return { kind: error.kind, message: error.message };
  return { kind: "bug", message: error instanceof Error ? (error.stack ?? "") : String(error) };
}

process.on("warning", (warning) => writeSync(2, `warning: ${warning.message}\n`));

try {
  const { serveFuseNative: serve } = (await import(driverUrl)) as Driver;
  mount = await serve({
    ...(JSON.parse(optionsText) as Omit<Parameters<typeof serve>[0], "upcalls">),
    upcalls: {
      fill: async (node) => {
        const blob = (await ask({ ask: "fill", node })) as {
          path: string;
          sha256: string;
          sizeBytes: number;
          blockCrcs: string | null;
          temporary: boolean;
        };
        return {
          ...blob,
          blockCrcs: blob.blockCrcs === null ? null : Buffer.from(blob.blockCrcs, "base64"),
          [Symbol.dispose]: () => tell({ kind: "disposed", node }),
        };
      },
      xattr: async (node, name) => {
        const value = (await ask({ ask: "xattr", node, name })) as string | null;
        return value === null ? null : Buffer.from(value);
      },
      damaged: (node, sha256) => tell({ kind: "damaged", node, sha256 }),
      indexDamaged: () => undefined,
    },
  });
  tell({ kind: "ready", negotiated: await mount.ready });
  const end = await mount.ended;
  tell({ kind: "ended", ...end });
  // What holds the event loop after the end would keep a daemon from stopping.
  process.disconnect();
} catch (error) {
  tell({ kind: "failed", fault: recordOf(error) });
  process.disconnect();
}
