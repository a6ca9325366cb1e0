// Fills a manifest's table of directories while the tree goes by in the order of node ids.

import { DIRECTORY_COLUMNS, directoryCheck, type DirectoryRow } from "./manifest-file.js";
import type { Database, Statement } from "./sqlite.js";

/** A directory is added when it goes by, and completed when its children have. */
export class DirectoryTable {
  readonly #insert: Statement<[number, string]>;
  readonly #find: Statement<[string], DirectoryRow>;
  readonly #update: Statement<[DirectoryRow]>;
  #path: string | null = null;
  #firstChild = 0;
  #childCount = 0;
  #subdirCount = 0;

  constructor(db: Database) {
    this.#insert = db.prepare("INSERT INTO directory (id, path) VALUES (?, ?)");
    this.#find = db.prepare(`SELECT ${DIRECTORY_COLUMNS} FROM directory WHERE path = ?`);
    this.#update = db.prepare(`
      UPDATE directory SET first_child = @first_child, child_count = @child_count,
        subdir_count = @subdir_count, check_crc = @check_crc WHERE id = @id`);
  }

  add(id: number, path: string): void {
    this.#insert.run(id, path);
  }

  /** All children of one directory come one after the other. */
  addChild(parent: string, id: number, isDirectory: boolean): void {
    if (parent !== this.#path) {
      this.finish();
      this.#path = parent;
      this.#firstChild = id;
      this.#childCount = 0;
      this.#subdirCount = 0;
    }
    this.#childCount++;
    if (isDirectory) this.#subdirCount++;
  }

  /** Writes down the group at hand; without any, the root is empty. */
  finish(): void {
    const path = this.#path ?? "";
    const found = this.#find.get(path);
    if (found === undefined) throw new Error(`lost the directory ${path}`);
    const row = {
      ...found,
      first_child: this.#firstChild,
      child_count: this.#childCount,
      subdir_count: this.#subdirCount,
    };
    this.#update.run({ ...row, check_crc: directoryCheck(row) });
  }
}
