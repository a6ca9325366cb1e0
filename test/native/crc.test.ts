import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { addon } from "../../src/native/addon.js";
import { crc32cOf } from "./checksums.js";

test("CRC-32C of the check string is the published one", () => {
  expect(addon().crc32c(Buffer.from("123456789"))).toBe(0xe3069283);
});

test("CRC-32C of nothing is its seed", () => {
  expect(addon().crc32c(Buffer.alloc(0))).toBe(0);
  expect(addon().crc32c(Buffer.alloc(0), 0xdeadbeef)).toBe(0xdeadbeef);
});

test("CRC-32C equals a bitwise computation at every length around the lanes and at every alignment", () => {
  const bytes = randomBytes(20_000);
  const lengths = [1, 7, 8, 9, 1359, 1360, 1361, 4079, 4080, 4081, 4095, 4096, 4097, 8160, 12_345];
  for (const length of lengths) {
    for (const start of [0, 1, 5]) {
      const part = bytes.subarray(start, start + length);
      expect(addon().crc32c(part), `${length} bytes from ${start}`).toBe(crc32cOf(part));
    }
  }
});

test("CRC-32C can be continued from any point", () => {
  const bytes = randomBytes(10_000);
  for (const cut of [1, 4080, 5000, 9_999]) {
    const first = addon().crc32c(bytes.subarray(0, cut));
    expect(addon().crc32c(bytes.subarray(cut), first)).toBe(addon().crc32c(bytes));
  }
});

test("anything but a Uint8Array is a TypeError", () => {
  expect(() => addon().crc32c("text" as unknown as Uint8Array)).toThrow(TypeError);
  expect(() => addon().crc32c(new Uint16Array(4) as unknown as Uint8Array)).toThrow(TypeError);
});
