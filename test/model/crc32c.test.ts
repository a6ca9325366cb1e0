import { expect, test } from "vitest";
import { crc32c } from "../../src/model/crc32c.js";

// The second to fifth are those of RFC 3720, B.4.
test.each([
  [Buffer.from("123456789"), 0xe3069283],
  [Buffer.alloc(32), 0x8a9136aa],
  [Buffer.alloc(32, 0xff), 0x62a8ab43],
  [Buffer.from(Array.from({ length: 32 }, (_, index) => index)), 0x46dd794e],
  [Buffer.from(Array.from({ length: 32 }, (_, index) => 31 - index)), 0x113fdb5c],
  [Buffer.alloc(0), 0],
])("the CRC-32C of %j is %i", (bytes, crc) => {
  expect(crc32c(bytes)).toBe(crc);
});

test("it goes on from a seed", () => {
  const bytes = Buffer.from("one text in two parts");
  for (let cut = 0; cut <= bytes.length; cut++) {
    expect(crc32c(bytes.subarray(cut), crc32c(bytes.subarray(0, cut)))).toBe(crc32c(bytes));
  }
});
