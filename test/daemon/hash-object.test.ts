// Objects that are hashed while their source changes.

import { expect, test } from "vitest";
import { hashObject } from "../../src/daemon/hash-object.js";
import { Fault } from "../../src/model/fault.js";
import type { Fetch } from "../../src/model/fetch.js";
import { hashed, Origin } from "../cache/origin.js";

const MIB = 1_048_576;

test("a source that changes after its first range is drifted, though every range is of one state", async () => {
  const origin = new Origin();
  const entry = hashed("k", origin.put("k", 40 * MIB));
  let confirmed = 0;
  const fetch: Fetch = async (...asked) => {
    const fetched = await origin.fetch(...asked);
    if (asked[1]?.start !== 0) return fetched;
    // It changes as soon as the first range was confirmed: whoever opens it later sees that state.
    const confirm = (): Promise<void> =>
      confirmed++ === 0 ? Promise.resolve() : Promise.reject(new Fault("drifted", "it changed"));
    return { ...fetched, confirm };
  };
  const hashing = hashObject(entry, fetch, {
    timeoutMs: 5_000,
    signal: new AbortController().signal,
    onBytes: () => undefined,
  });
  await expect(hashing).rejects.toMatchObject({ kind: "drifted", message: "it changed" });
  expect(origin.requests.length).toBeGreaterThan(1);
});
