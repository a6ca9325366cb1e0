// The holder's protocol, spoken with a real holder.

import { closeSync, fstatSync, openSync, readlinkSync, readdirSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { cloneCount, Holder } from "../../src/mount/holder.js";
import { addon } from "../../src/native/addon.js";
import { lacks } from "../support/needs.js";
import { HolderRig } from "../native/holder-rig.js";

function openDescriptors(): string[] {
  return readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)];
    } catch {
      return [];
    }
  });
}

test("nobody there is unavailable, and names the socket", () => {
  expect(() => Holder.connect("/nowhere/holder.sock")).toThrow(
    expect.objectContaining({
      kind: "unavailable",
      message: expect.stringContaining("/nowhere/holder.sock") as string,
    }),
  );
});

test("a mount has at least one clone and at most seven", () => {
  expect(cloneCount()).toBeGreaterThanOrEqual(1);
  expect(cloneCount()).toBeLessThanOrEqual(7);
});

describe.skipIf(lacks("addon", "fuse"))("a holder", () => {
  test("keeps what it is given until it is dropped", async () => {
    await using rig = await HolderRig.start();
    await rig.life();
    using holder = Holder.connect(rig.socketPath);
    expect(holder.list()).toEqual([]);
    // Any descriptor will do: clones fail, which a mount survives.
    const device = openSync("/dev/null", "r");
    const record = JSON.stringify({ directory: "/nowhere", text: "line\nline ü" });
    holder.adopt("one", record, device);
    holder.adopt("two", record, device);
    closeSync(device);
    expect(holder.list()).toEqual(["one", "two"]);
    const taken = holder.take("one");
    expect(taken.record).toBe(record);
    expect(taken.devices).toHaveLength(1);
    expect(fstatSync(taken.stateFd).size).toBe(4096);
    for (const fd of [taken.stateFd, ...taken.devices]) addon().closeFd(fd);
    holder.drop("one");
    expect(holder.list()).toEqual(["two"]);
  });

  test("says what it refuses, without the record and its secrets", async () => {
    await using rig = await HolderRig.start();
    await rig.life();
    using holder = Holder.connect(rig.socketPath);
    const device = openSync("/dev/null", "r");
    holder.adopt("one", "{}", device);
    expect(() => holder.adopt("one", '{"environment":"SECRET"}', device)).toThrow(
      expect.not.objectContaining({ message: expect.stringContaining("SECRET") as string }),
    );
    closeSync(device);
    expect(() => holder.take("none")).toThrow(/refused "take none".*no such mount/);
    expect(() => holder.drop("none")).toThrow(/no such mount/);
    expect(holder.list()).toEqual(["one"]);
  });

  test("that is gone is an error, and a link that is closed leaves no descriptor", async () => {
    await using rig = await HolderRig.start();
    await rig.life();
    const before = openDescriptors().length;
    {
      using holder = Holder.connect(rig.socketPath);
      expect(holder.list()).toEqual([]);
      rig.process.kill("SIGKILL");
      await rig.ended();
      expect(() => holder.list()).toThrow(/ECONNRESET/);
    }
    expect(openDescriptors().length).toBeLessThanOrEqual(before);
  });
});
