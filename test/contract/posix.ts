// The POSIX behaviour of a read-only mount, as named checks that hold for any directory with the
// contract's tree. Each check runs in a process of its own (posix_checks.py): whoever serves a mount
// must not be the one that reads it.

import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { needs } from "../support/needs.js";
import { type ContractTree, unlockContractTree, writeContractTree } from "./tree.js";

/** What holds for our mounts but not for every directory. */
export interface PosixTraits {
  /** Every write is EROFS. */
  readonly readOnly: boolean;
  /** st_blocks follows from st_size, st_nlink of a directory from its subdirectories. */
  readonly exactAttributes: boolean;
  /** Listings come in byte order. */
  readonly sorted: boolean;
  /** O_DIRECT takes any offset and length. */
  readonly directAnywhere: boolean;
  /** The tree has its sparse file of over 4 GiB. */
  readonly sparse: boolean;
}

export const MOUNT_TRAITS: PosixTraits = {
  readOnly: true,
  exactAttributes: true,
  sorted: true,
  directAnywhere: true,
  sparse: true,
};

/** A directory that holds the tree, served by another process or by the kernel alone. */
export interface PosixSubject extends AsyncDisposable {
  readonly dir: string;
}

/** Makes `source`, a plain folder with `tree`, appear at a directory of its own. */
export type MakePosixSubject = (
  source: string,
  tree: ContractTree,
  scratch: string,
) => Promise<PosixSubject>;

interface Check {
  /** Name of the function in posix_checks.py. */
  readonly run: string;
  readonly says: string;
  readonly only?: keyof PosixTraits;
}

const CHECKS: readonly Check[] = [
  { run: "listing_complete", says: "every directory lists exactly what is in it, again and again" },
  { run: "listing_sorted", says: "a listing is in byte order", only: "sorted" },
  { run: "listing_seek", says: "telldir, seekdir and rewinddir find their place" },
  { run: "listing_types", says: "a listing's types and inode numbers are those of stat" },
  { run: "stat_fields", says: "stat tells size, mode, links, owner and time" },
  {
    run: "stat_exact",
    says: "stat tells blocks and links of directories",
    only: "exactAttributes",
  },
  { run: "inodes_unique", says: "inode numbers are stable and no two files share one" },
  { run: "read_whole", says: "every file reads as it was written" },
  {
    run: "read_odd_offsets",
    says: "pread at odd offsets and lengths gives the bytes that are there",
  },
  { run: "read_sequential", says: "read, lseek and dup share one position" },
  { run: "read_past_end", says: "a read at or past the end is empty, one across it is short" },
  { run: "read_mapped", says: "a mapped file equals a read one and ends in zeros" },
  { run: "read_direct", says: "O_DIRECT reads give the same bytes" },
  {
    run: "read_direct_odd",
    says: "O_DIRECT reads at any offset give them too",
    only: "directAnywhere",
  },
  { run: "read_sendfile", says: "sendfile and splice give the same bytes" },
  { run: "read_copy_range", says: "copy_file_range gives the same bytes or refuses" },
  { run: "read_sparse", says: "offsets beyond 2 and 4 GiB are not mixed up", only: "sparse" },
  { run: "read_empty", says: "an empty file is empty however it is read" },
  { run: "read_concurrently", says: "many processes and threads read right bytes at once" },
  { run: "names_odd", says: "odd, long and unicode names are found as they were written" },
  { run: "names_deep", says: "deep paths are reached from the top, step by step and by chdir" },
  {
    run: "missing",
    says: "missing, too long and impossible paths give ENOENT, ENAMETOOLONG, ENOTDIR",
  },
  { run: "missing_again", says: "a missing name stays missing and hides nothing" },
  { run: "open_kinds", says: "a directory is no file and a file is no directory" },
  { run: "writes_refused", says: "every kind of write is refused with EROFS", only: "readOnly" },
  { run: "access_modes", says: "access() grants reading and refuses execution" },
  { run: "access_write", says: "access() for writing is EROFS", only: "readOnly" },
  { run: "statfs", says: "statfs tells block size and longest name" },
  { run: "statfs_read_only", says: "statfs tells that it is read-only", only: "readOnly" },
  { run: "seek_data_hole", says: "SEEK_DATA and SEEK_HOLE make sense" },
  { run: "xattrs", says: "an unknown attribute is ENODATA and a listed one can be read" },
  {
    run: "sync_harmless",
    says: "fsync, fdatasync and fadvise on a read-only descriptor do no harm",
  },
  { run: "locks", says: "flock and fcntl locks work between processes" },
  { run: "copied_by_tools", says: "find, cp -r, cp -a and tar see the tree as it is" },
];

const SCRIPT = fileURLToPath(new URL("posix_checks.py", import.meta.url));
const CHECK_TIMEOUT_MS = 60_000;

/** Declares the suite `name` for directories made by `make`. */
export function posixContract(
  name: string,
  make: MakePosixSubject,
  traits: PosixTraits = MOUNT_TRAITS,
): void {
  describe.runIf(needs("python3"))(`POSIX contract: ${name}`, () => {
    let folder = "";
    let treePath = "";
    let source = "";
    let tree: ContractTree | undefined;
    let subject: PosixSubject | undefined;

    beforeAll(async () => {
      folder = mkdtempSync(join(tmpdir(), "refmount-posix-"));
      source = join(folder, "source");
      const scratch = join(folder, "scratch");
      treePath = join(folder, "tree.json");
      await mkdir(source);
      await mkdir(scratch);
      tree = writeContractTree(source, { sparse: traits.sparse });
      writeFileSync(treePath, JSON.stringify({ ...tree, traits }));
      subject = await make(source, tree, scratch);
    });

    afterAll(async () => {
      try {
        await subject?.[Symbol.asyncDispose]();
      } finally {
        if (tree !== undefined) unlockContractTree(source, tree);
        rmSync(folder, { recursive: true });
      }
    });

    for (const check of CHECKS) {
      test.runIf(check.only === undefined || traits[check.only])(check.says, async () => {
        expect(await runCheck(check.run, subject?.dir ?? "", treePath)).toBe("");
      });
    }
  });
}

/** What the check complained about; "" when nothing. */
function runCheck(run: string, dir: string, treePath: string): Promise<string> {
  return new Promise((resolve) => {
    const args = ["-I", SCRIPT, run, dir, treePath];
    execFile("python3", args, { timeout: CHECK_TIMEOUT_MS }, (error, stdout, stderr) => {
      resolve(error === null ? "" : `${stdout}${stderr}` || error.message);
    });
  });
}
