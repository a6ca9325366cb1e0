// The built refmount, with a home of its own: logs folders, mounts them in each of the ways that are
// compared, and takes everything away again.

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { run, timed } from "./process.js";

const MAIN = fileURLToPath(new URL("../../dist/main.js", import.meta.url));

const WAYS = {
  cached: ["--driver", "native", "--io", "cached"],
  passthrough: ["--driver", "native", "--io", "passthrough"],
  "fuse-native": ["--driver", "fuse-native", "--io", "cached"],
};

export class Refmount {
  #folder;
  #mounted = new Set();
  #made = 0;

  constructor(folder) {
    this.#folder = folder;
  }

  /** Logs everything in `source` and gives the ref; `listed` leaves the bytes unread. */
  async log(name, source, { listed = false } = {}) {
    const extra = listed ? ["--no-checksum"] : [];
    const ref = ["--type", "dataset", "--ref", `file://${source}`, "--max-objects", "100000000"];
    await this.#cli("log", name, ...ref, ...extra);
    return `${name}:latest`;
  }

  /** Mounts at a new directory; gives it and the nanoseconds that the command took. */
  async mount(ref, subject, { listed = false } = {}) {
    const dir = join(this.#folder, `mount-${++this.#made}`);
    mkdirSync(dir);
    const extra = listed ? ["--require", "none"] : [];
    const ns = await timed(
      process.execPath,
      this.#args("mount", ref, dir, ...WAYS[subject], ...extra),
    );
    this.#mounted.add(dir);
    return { dir, ns };
  }

  async unmount(dir) {
    await this.#cli("unmount", dir);
    this.#mounted.delete(dir);
  }

  /** The mount's line of `status`. */
  async statusOf(dir) {
    const status = JSON.parse(await this.#cli("status", "--json"));
    return status.mounts.find((mount) => mount.path === dir);
  }

  async unmountAll() {
    for (const dir of [...this.#mounted]) {
      await run(process.execPath, this.#args("unmount", dir, "--force"));
      this.#mounted.delete(dir);
    }
  }

  #args(...args) {
    return [MAIN, "--home", join(this.#folder, "home"), ...args];
  }

  #cli(...args) {
    return run(process.execPath, this.#args(...args));
  }
}
