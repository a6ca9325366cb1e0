// Makes sure that a manifest has its inode index without keeping the caller's thread: compiling one
// anew reads the whole manifest. This file is also the thread that does it.

import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { Fault, type FaultRecord } from "../model/fault.js";
import { isIndexOf } from "./inode-index.js";
import { indexPath } from "./manifest-file.js";
import { Manifest } from "./manifest.js";

interface Order {
  readonly manifestsDir: string;
  readonly digest: string;
}

type Outcome = { readonly done: true } | { readonly fault: FaultRecord };

/**
 * The path of the inode index, compiled anew in a thread when it is missing or not whole.
 * @throws Fault `corrupt` when the manifest is damaged.
 */
export async function wholeIndex(manifestsDir: string, digest: string): Promise<string> {
  const path = indexPath(manifestsDir, digest);
  if (isIndexOf(path, digest)) return path;
  const order: Order = { manifestsDir, digest };
  const thread = new Worker(new URL(import.meta.url), { workerData: order });
  const outcome = await new Promise<Outcome>((resolve, reject) => {
    thread.once("message", resolve);
    thread.once("error", reject);
    thread.once("exit", (code) => reject(new Error(`The index thread ended with ${code}`)));
  });
  if ("fault" in outcome) throw Fault.fromJSON(outcome.fault);
  return path;
}

function carryOut({ manifestsDir, digest }: Order): Outcome {
  try {
    using manifest = Manifest.open(manifestsDir, digest);
    manifest.ensureIndex();
    return { done: true };
  } catch (error) {
    if (error instanceof Fault) return { fault: error.toJSON() };
    throw error;
  }
}

function isOrder(given: unknown): given is Order {
  return given !== null && typeof given === "object" && "manifestsDir" in given;
}

// Imported by another thread, this is a module like any other.
if (!isMainThread && isOrder(workerData)) parentPort?.postMessage(carryOut(workerData));
