import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Ledger } from "../../src/cache/ledger.js";
import { Folder, sha256 } from "./origin.js";

const KIB = 1024;
const name = (label: string): string => sha256(Buffer.from(label));
const [a, b, c, d] = [name("a"), name("b"), name("c"), name("d")];

let folder: Folder;
let ledger: Ledger;
let log: string[];

beforeEach(() => {
  folder = new Folder();
  log = [];
  ledger = open();
});

afterEach(() => {
  ledger[Symbol.dispose]();
  folder[Symbol.dispose]();
});

function open(bootId = "this boot"): Ledger {
  const path = join(folder.path, "ledger.sqlite");
  return Ledger.open({ path, bootId, log: (line) => log.push(line) });
}

function put(...names: readonly string[]): void {
  for (const sha of names) ledger.put(sha, KIB, new Uint8Array([1, 2, 3, 4]), true);
}

function reopen(stops: readonly ("closed" | "synced")[], bootId?: string): void {
  ledger.markScanned();
  for (const stop of stops) ledger.markStopped(stop);
  ledger[Symbol.dispose]();
  ledger = open(bootId);
}

const order = (): string[] => [...ledger.candidates()].map((row) => row.sha256);

describe("trust after a stop", () => {
  const cases = [
    { stops: ["closed"], bootId: "this boot", trusted: true },
    { stops: ["closed"], bootId: "another boot", trusted: false },
    { stops: ["closed", "synced"], bootId: "this boot", trusted: true },
    { stops: ["closed", "synced"], bootId: "another boot", trusted: true },
    { stops: [], bootId: "this boot", trusted: false },
    { stops: [], bootId: "another boot", trusted: false },
  ] as const;
  for (const { stops, bootId, trusted } of cases) {
    it(`is ${String(trusted)} after [${stops.join()}] in ${bootId}`, () => {
      put(a);
      reopen(stops, bootId);
      expect(ledger.get(a)?.trusted).toBe(trusted);
      expect(ledger.scanned).toBe(trusted);
      expect(ledger.usedBytes).toBe(KIB);
      put(a);
      expect(ledger.get(a)?.trusted).toBe(true);
      expect(ledger.usedBytes).toBe(KIB);
    });
  }

  it("ends when the next session stops uncleanly, and stays so for what is not hashed again", () => {
    put(a);
    reopen(["closed", "synced"]);
    reopen([]);
    expect(ledger.get(a)?.trusted).toBe(false);
    reopen(["closed", "synced"]);
    expect(ledger.get(a)?.trusted).toBe(false);
  });
});

describe("order", () => {
  it("is by last use", () => {
    put(a, b, c);
    ledger.touch(a, 0);
    expect(order()).toEqual([b, c, a]);
    ledger.remove(b);
    expect(order()).toEqual([c, a]);
    reopen([]);
    expect(order()).toEqual([c, a]);
  });

  it("leaves out what live uses touched, and ranks a use by its release", () => {
    put(a, b, c, d);
    const [one, two] = [ledger.openUse(), ledger.openUse()];
    ledger.touch(a, one);
    ledger.touch(b, two);
    ledger.touch(c, two);
    expect(order()).toEqual([d]);
    ledger.releaseUse(two);
    ledger.touch(d, 0);
    ledger.releaseUse(one);
    expect(order()).toEqual([b, c, d, a]);
  });

  it("knows the uses that a dead process left open as released", () => {
    put(a, b);
    ledger.touch(a, ledger.openUse());
    reopen([]);
    expect(order()).toEqual([b, a]);
  });

  it("goes through thousands of blobs while they are removed", () => {
    const names = Array.from({ length: 2000 }, (_, index) => name(`n${index}`));
    put(...names);
    const seen: string[] = [];
    for (const row of ledger.candidates()) {
      seen.push(row.sha256);
      ledger.remove(row.sha256);
    }
    expect(seen).toEqual(names);
    expect(ledger.usedBytes).toBe(0);
    expect(order()).toEqual([]);
  });
});

it("lists blobs by prefix", () => {
  put(a, b, c, d);
  const prefix = a.slice(0, 2);
  expect(ledger.withPrefix(prefix)).toEqual(
    [a, b, c, d].filter((sha) => sha.startsWith(prefix)).sort(),
  );
});
