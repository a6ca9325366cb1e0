// Walks the tree of a manifest in the order of its node ids, and checks that it is a tree.

import type { IndexNode } from "./inode-index.js";
import {
  DIRECTORY_COLUMNS,
  directoryCheck,
  nameOf,
  parentOf,
  ROOT_ID,
  type DirectoryRow,
  type EntryRow,
} from "./manifest-file.js";
import type { Database } from "./sqlite.js";

/** What of an entry stands in the tree. */
type Leaf = Pick<EntryRow, "id" | "path" | "size_bytes" | "mtime_ms">;

/** Says what is wrong with a manifest. */
export type Complain = (why: string) => Error;

/**
 * Every node, from the root, with its parent. The rows of directories are checked here; those of
 * files by `Manifest.verify`.
 */
export function* walkTree(
  db: Database,
  nodeCount: number,
  complain: Complain,
): IterableIterator<IndexNode> {
  const leaves = db.iterate(
    db.prepare<[], Leaf>("SELECT id, path, size_bytes, mtime_ms FROM entry ORDER BY id"),
  );
  const directories = db.iterate(
    db.prepare<[], DirectoryRow>(`SELECT ${DIRECTORY_COLUMNS} FROM directory ORDER BY id`),
  );
  // Groups of children come in the order of their ids, which is not that of their parents: the
  // children of "a-b" come before those of "a", since "-" sorts before "/".
  const parents = db.iterate(
    db.prepare<[], DirectoryRow>(
      `SELECT ${DIRECTORY_COLUMNS} FROM directory WHERE child_count > 0 ORDER BY first_child`,
    ),
  );
  const groups = childGroups(parents, complain);
  try {
    let id = 0;
    for (const row of mergeById(leaves, directories)) {
      id++;
      if (row.id !== id) throw complain(`it has ${row.id} where id ${id} belongs`);
      if (id === ROOT_ID) {
        if (row.path !== "") throw complain("its root has a path");
        yield toNode(row, ROOT_ID, complain);
        continue;
      }
      const parent = groups.next();
      if (parent.done || parentOf(row.path) !== parent.value.path) {
        throw complain(`id ${id} is not where its path says`);
      }
      yield toNode(row, parent.value.id, complain);
    }
    if (id !== nodeCount) throw complain(`${id} of ${nodeCount} nodes are there`);
    if (!groups.next().done) throw complain("a directory has more children than there are nodes");
  } finally {
    // Else its statement would keep the database from closing.
    groups.return(undefined);
  }
}

/** The parent of each node after the root. */
function* childGroups(
  parents: Iterable<DirectoryRow>,
  complain: Complain,
): Generator<DirectoryRow, undefined> {
  let next = ROOT_ID + 1;
  for (const parent of parents) {
    if (parent.first_child !== next) throw complain(`the children of ${parent.id} are misplaced`);
    next += parent.child_count;
    for (let left = parent.child_count; left > 0; left--) yield parent;
  }
}

/** Two sequences in the order of ids as one. Both are iterated only as far as needed. */
export function* mergeById<A extends { readonly id: number }, B extends { readonly id: number }>(
  left: IterableIterator<A>,
  right: IterableIterator<B>,
): IterableIterator<A | B> {
  try {
    let a = left.next();
    let b = right.next();
    while (!a.done || !b.done) {
      if (!a.done && (b.done || a.value.id <= b.value.id)) {
        yield a.value;
        a = left.next();
      } else if (!b.done) {
        yield b.value;
        b = right.next();
      }
    }
  } finally {
    left.return?.();
    right.return?.();
  }
}

/** @throws what `complain` makes, unless the row passes its check. */
export function checkDirectory(row: DirectoryRow, complain: Complain): void {
  if (directoryCheck(row) !== row.check_crc) throw complain(`directory ${row.id} is damaged`);
}

function toNode(row: Leaf | DirectoryRow, parent: number, complain: Complain): IndexNode {
  if ("size_bytes" in row) {
    return {
      id: row.id,
      parent,
      name: nameOf(row.path),
      kind: "file",
      sizeBytes: row.size_bytes,
      mtimeMs: row.mtime_ms,
      firstChild: 0,
      childCount: 0,
      subdirCount: 0,
    };
  }
  checkDirectory(row, complain);
  return {
    id: row.id,
    parent,
    name: nameOf(row.path),
    kind: "directory",
    sizeBytes: 0,
    mtimeMs: null,
    firstChild: row.first_child,
    childCount: row.child_count,
    subdirCount: row.subdir_count,
  };
}
