// Fills a manifest's table of directories while the tree goes by in the order of node ids.

import { DIRECTORY_COLUMNS, directoryCheck, type DirectoryRow } from "./manifest-file.js";
import type { Database, Statement } from "./sqlite.js";

/** A directory is added when it goes by, and completed when its children have. */
export class DirectoryTable {
  readonly #insert: Statement<[number, string, number]>;
  readonly #find: Statement<[string], DirectoryRow>;
  readonly #update: Statement<[DirectoryRow]>;
  #path: string | null = null;
  #firstChild = 0;
  #childCount = 0;
  #subdirCount = 0;

  constructor(db: Database) {
    this.#insert = db.prepare("INSERT INTO directory (id, path, check_crc) VALUES (?, ?, ?)");
    this.#find = db.prepare(`SELECT ${DIRECTORY_COLUMNS} FROM directory WHERE path = ?`);
    this.#update = db.prepare(`
      UPDATE directory SET first_child = @first_child, child_count = @child_count,
        subdir_count = @subdir_count, check_crc = @check_crc WHERE id = @id`);
  }

  /** Adds a directory, which is empty unless children of it go by. */
  add(id: number, path: string): void {
    const row = { id, path, first_child: 0, child_count: 0, subdir_count: 0 };
    this.#insert.run(id, path, directoryCheck(row));
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

  /** Writes down the group at hand, if there is one. */
  finish(): void {
    if (this.#path === null) return;
    const found = this.#find.get(this.#path);
    if (found === undefined) throw new Error(`lost the directory ${this.#path}`);
    const row = {
      ...found,
      first_child: this.#firstChild,
      child_count: this.#childCount,
      subdir_count: this.#subdirCount,
    };
    this.#update.run({ ...row, check_crc: directoryCheck(row) });
  }
}
