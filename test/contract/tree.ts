// The tree that the POSIX contract reads: small, with every size and name that has broken a file
// system before. Written to a plain folder; subjects serve a copy of it.

import { createHash } from "node:crypto";
import {
  chmodSync,
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";

export interface TreeFile {
  readonly path: string;
  readonly sizeBytes: number;
  readonly mtimeMs: number;
  /** Hex; null for the sparse file, which is too large to be read whole in a test. */
  readonly sha256: string | null;
}

/** Where a sparse file is not zero. */
export interface Piece {
  readonly offset: number;
  readonly text: string;
}

export interface ContractTree {
  readonly files: readonly TreeFile[];
  /** All of them but the root. */
  readonly directories: readonly string[];
  readonly sparse: { readonly path: string; readonly pieces: readonly Piece[] } | null;
}

export interface TreeOptions {
  /** A sparse file of over 4 GiB. */
  readonly sparse: boolean;
}

const SPARSE_BYTES = 2 ** 32 + 12_345;
const SPARSE_PIECES: readonly Piece[] = [
  { offset: 0, text: "first" },
  { offset: 2 ** 31 - 3, text: "across two to the 31" },
  { offset: 2 ** 32 - 5, text: "across two to the 32" },
  { offset: SPARSE_BYTES - 4, text: "last" },
];

const SIZES: Readonly<Record<string, number>> = {
  empty: 0,
  one: 1,
  "block-1": 4095,
  block: 4096,
  "block+1": 4097,
  "read.bin": 300_001,
  "megabyte.bin": 1_048_576 + 123,
};

const ODD_NAMES = [
  ...["a", "a-b", "a.b", "A"].map((name) => `order/${name}/file`),
  `long/${"n".repeat(255)}`,
  `long/${"\u20ac".repeat(85)}`,
  ...[
    " leading",
    "trailing ",
    "two\nlines",
    'it\'s "quoted"',
    "back\\slash",
    "-dash",
    "*",
    "~",
    "$HOME",
  ],
  ...["#hash?query%20", "a:b", "..dots", "trailing.", "tab\there", "\u65e5\u672c\u8a9e.txt"],
  // Two names for the eye, composed and decomposed; and one beyond the basic plane.
  ...["\u00e9", "e\u0301", "\u{1f600}", "\uffee"],
].map((name) => (name.includes("/") ? name : `odd/${name}`));

const DEEP = `${Array.from({ length: 60 }, (_, level) => `d${level}`).join("/")}/bottom`;

/** Writes the tree into the empty folder `dir`, read-only, and tells what is in it. */
export function writeContractTree(dir: string, options: TreeOptions): ContractTree {
  const files: TreeFile[] = [];
  const directories = new Set<string>();
  const add = (path: string, sizeBytes: number): void => {
    for (let parent = dirname(path); parent !== "."; parent = dirname(parent))
      directories.add(parent);
    const bytes = contentOf(path, sizeBytes);
    // An eighth of a second is exact in the seconds that utimes takes.
    const mtimeMs = 1_600_000_000_125 + files.length * 1000;
    mkdirSync(dirname(join(dir, path)), { recursive: true });
    writeFileSync(join(dir, path), bytes);
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    files.push({ path, sizeBytes, mtimeMs, sha256 });
  };
  for (const [path, sizeBytes] of Object.entries(SIZES)) add(path, sizeBytes);
  for (const [index, path] of ODD_NAMES.entries()) add(path, 10 + index);
  for (let index = 0; index < 600; index++)
    add(`many/file-${String(index).padStart(4, "0")}`, index);
  add(DEEP, 7);

  let sparse: ContractTree["sparse"] = null;
  if (options.sparse) {
    sparse = { path: "large/sparse", pieces: SPARSE_PIECES };
    directories.add("large");
    mkdirSync(join(dir, "large"));
    writeSparse(join(dir, sparse.path));
    files.push({
      path: sparse.path,
      sizeBytes: SPARSE_BYTES,
      mtimeMs: 1_700_000_000_000,
      sha256: null,
    });
  }
  for (const file of files) {
    const path = join(dir, file.path);
    utimesSync(path, file.mtimeMs / 1000, file.mtimeMs / 1000);
    chmodSync(path, 0o444);
  }
  for (const directory of directories) chmodSync(join(dir, directory), 0o555);
  chmodSync(dir, 0o555);
  return { files, directories: [...directories], sparse };
}

/** Makes a tree removable again. */
export function unlockContractTree(dir: string, tree: ContractTree): void {
  chmodSync(dir, 0o755);
  const parentsFirst = [...tree.directories].sort((a, b) => a.length - b.length);
  for (const directory of parentsFirst) chmodSync(join(dir, directory), 0o755);
}

/** Bytes that differ at every offset and in every file, so that no mix-up goes unnoticed. */
function contentOf(path: string, sizeBytes: number): Buffer {
  const blocks: Buffer[] = [];
  for (let block = 0; block * 32 < sizeBytes; block++) {
    blocks.push(createHash("sha256").update(`${path}:${block}`).digest());
  }
  return Buffer.concat(blocks).subarray(0, sizeBytes);
}

function writeSparse(path: string): void {
  const fd = openSync(path, "wx");
  try {
    ftruncateSync(fd, SPARSE_BYTES);
    for (const { offset, text } of SPARSE_PIECES) writeSync(fd, text, offset);
  } finally {
    closeSync(fd);
  }
}
