// Makes the files that are measured: bytes that no file system can compress or share.

import { randomFillSync } from "node:crypto";
import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { say } from "./process.js";

const DIRECTORIES = 20;
const BLOCK_BYTES = 2 ** 20;
const ENTRIES_PER_DIRECTORY = 10_000;

/** `files` small files in 20 directories, and a large one; gives their paths from the folder. */
export function makeCorpus(folder, { files, fileBytes, largeBytes }) {
  say(`making ${files} files of ${fileBytes} bytes and one of ${largeBytes}`);
  const small = [];
  const directories = [];
  const bytes = randomFillSync(Buffer.alloc(fileBytes));
  for (let index = 0; index < files; index++) {
    const directory = `small/d${String(index % DIRECTORIES).padStart(2, "0")}`;
    if (index < DIRECTORIES) {
      mkdirSync(join(folder, directory), { recursive: true });
      directories.push(directory);
    }
    const path = `${directory}/f${String(index).padStart(6, "0")}`;
    bytes.write(path);
    writeFileSync(join(folder, path), bytes);
    small.push(path);
  }
  const large = "large/file";
  mkdirSync(join(folder, "large"));
  const fd = openSync(join(folder, large), "wx");
  const block = Buffer.alloc(BLOCK_BYTES);
  for (let done = 0; done < largeBytes; done += BLOCK_BYTES) {
    writeSync(fd, randomFillSync(block), 0, Math.min(BLOCK_BYTES, largeBytes - done));
  }
  closeSync(fd);
  return { small, directories, large };
}

/** `count` files of one byte, in directories of at most 10,000. */
export function makeEntries(folder, count) {
  say(`making ${count} files of one byte`);
  for (let index = 0; index < count; index++) {
    const directory = join(
      folder,
      `d${String(Math.floor(index / ENTRIES_PER_DIRECTORY)).padStart(4, "0")}`,
    );
    if (index % ENTRIES_PER_DIRECTORY === 0) mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, `f${String(index).padStart(7, "0")}`), "1");
  }
}
