// The POSIX contract on real mounts of the built command line, in both io modes.

import { MOUNT_TRAITS, posixContract, type MakePosixSubject } from "../contract/posix.js";
import { needs } from "../support/needs.js";
import { Rig } from "../support/rig.js";

function mounted(...options: readonly string[]): MakePosixSubject {
  return async (source) => {
    const rig = await Rig.create();
    await rig.ok("log", "tree", "--type", "dataset", "--ref", `file://${source}`);
    const dir = await rig.mount("tree", "mnt", ...options);
    return { dir, [Symbol.asyncDispose]: () => rig[Symbol.asyncDispose]() };
  };
}

if (needs("fuse", "addon", "root")) {
  posixContract("native driver, cached", mounted("--io", "cached"));
  // There the file system of the cache decides what O_DIRECT takes, and what it costs to clone 4 GiB.
  posixContract("native driver, passthrough", mounted("--io", "passthrough"), {
    ...MOUNT_TRAITS,
    directAnywhere: false,
    sparse: false,
  });
}
