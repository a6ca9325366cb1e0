import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { distFile } from "../support/dist.js";

test("statements may be collected at any time", async () => {
  // Garbage enough for collections, in the middle of which some bindings end the process.
  const program = `
    import { openSqlite } from ${JSON.stringify(distFile("native/sqlite.js"))};
    const db = openSqlite(":memory:");
    for (let n = 0; n < 200; n++) {
      db.prepare("SELECT ?").get(n);
      Array.from({ length: 10_000 }, () => ({}));
      await null;
    }
    console.log("alive");
  `;
  const args = ["--input-type=module", "-e", program];
  expect((await promisify(execFile)(process.execPath, args)).stdout).toBe("alive\n");
});
