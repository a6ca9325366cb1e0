import { expect, test } from "vitest";
import { FaultLog, NodeFaults } from "../../src/daemon/fault-log.js";
import type { ErrorStatus } from "../../src/daemon/protocol.js";
import { Fault } from "../../src/model/fault.js";

function failure(path: string): ErrorStatus {
  return {
    at: "2026-01-01T00:00:00.000Z",
    mount: "demo:v0",
    path,
    kind: "drifted",
    message: "gone",
  };
}

test("the newest faults are listed first, and no more than fifty", () => {
  const log = new FaultLog(() => undefined);
  for (let at = 0; at < 60; at++) log.add(failure(String(at)));
  expect(log.list().map(({ path }) => path)).toEqual(
    Array.from({ length: 50 }, (_, at) => String(59 - at)),
  );
});

test("a fault is told to the log with its mount, file, kind and reason", () => {
  const lines: string[] = [];
  new FaultLog((line) => lines.push(line)).add(failure("a/b.txt"));
  expect(lines).toEqual(["demo:v0 a/b.txt: drifted: gone"]);
});

test("a flood of faults is told in twenty lines a minute and a count", () => {
  const lines: string[] = [];
  let now = 0;
  const log = new FaultLog(
    (line) => lines.push(line),
    () => now,
  );
  for (let at = 0; at < 1000; at++) log.add(failure(String(at)));
  expect(lines).toHaveLength(20);
  now = 60_000;
  log.add(failure("later"));
  expect(lines.slice(20)).toEqual(["980 more reads failed", "demo:v0 later: drifted: gone"]);
  now = 120_000;
  log.add(failure("much later"));
  expect(lines.slice(22)).toEqual(["demo:v0 much later: drifted: gone"]);
});

test("a node's failure is thrown again while it is fresh, and not after a success", () => {
  const faults = new NodeFaults();
  const fault = new Fault("drifted", "gone");
  faults.throwFresh(7);
  faults.remember(7, fault);
  expect(() => faults.throwFresh(7)).toThrow(fault);
  faults.throwFresh(8);
  expect(faults.messageOf(7)).toBe("drifted: gone");
  faults.forget(7);
  faults.throwFresh(7);
  expect(faults.messageOf(7)).toBeUndefined();
});

test("what is no fault is named a bug without its words", () => {
  const faults = new NodeFaults();
  faults.remember(1, new Error("undefined is not a function"));
  expect(faults.messageOf(1)).toBe("internal error: see the log");
});

test("a million failing files are not all remembered", () => {
  const faults = new NodeFaults();
  for (let node = 1; node <= 10_001; node++) faults.remember(node, new Fault("denied", "no"));
  expect(faults.messageOf(1)).toBeUndefined();
  expect(faults.messageOf(2)).toBe("denied: no");
  faults.remember(2, new Fault("denied", "again"));
  faults.remember(10_002, new Fault("denied", "no"));
  expect(faults.messageOf(2)).toBe("denied: again");
  expect(faults.messageOf(3)).toBeUndefined();
});
