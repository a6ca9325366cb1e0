// The contract on the kernel's own file system: what it asks for is what a plain directory does.

import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { needs } from "../support/needs.js";
import { posixContract, type PosixTraits } from "./posix.js";

const PLAIN: PosixTraits = {
  readOnly: false,
  exactAttributes: false,
  sorted: false,
  directAnywhere: false,
  sparse: true,
};

posixContract(
  "a plain folder",
  (source) => Promise.resolve({ dir: source, [Symbol.asyncDispose]: () => Promise.resolve() }),
  PLAIN,
);

if (needs("root")) {
  posixContract(
    "a plain folder, bound read-only",
    (source, _tree, scratch) => {
      const dir = join(scratch, "bound");
      mkdirSync(dir);
      execFileSync("mount", ["--bind", source, dir]);
      execFileSync("mount", ["-o", "remount,bind,ro", dir]);
      return Promise.resolve({
        dir,
        [Symbol.asyncDispose]: () => {
          execFileSync("umount", [dir]);
          return Promise.resolve();
        },
      });
    },
    { ...PLAIN, readOnly: true },
  );
}
