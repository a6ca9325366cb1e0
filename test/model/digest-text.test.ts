import { expect, test } from "vitest";
import { isCryptographic, parseDigest } from "../../src/model/digest-text.js";
import { DIGEST_ALGORITHMS } from "../../src/model/digest.js";

const HELLO_SHA256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

test.each([
  [`sha256:${HELLO_SHA256}`, "sha256", HELLO_SHA256],
  [`SHA256:${HELLO_SHA256.toUpperCase()}`, "sha256", HELLO_SHA256],
  ["sha256-LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=", "sha256", HELLO_SHA256],
  ["sha256-LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ", "sha256", HELLO_SHA256],
  ["md5-XUFAKrxLKna5cZ2REBfFkg==", "md5", "5d41402abc4b2a76b9719d911017c592"],
  [
    "sha1:aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d",
    "sha1",
    "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d",
  ],
  ["crc32c-mnG7TA==", "crc32c", "9a71bb4c"],
  ["crc32:3610a686", "crc32", "3610a686"],
  ["crc64nvme:0011223344556677", "crc64nvme", "0011223344556677"],
] as const)("%s is a digest", (text, algorithm, value) => {
  expect(parseDigest(text)).toEqual({ algorithm, value });
});

test.each([
  ["", /ALGORITHM:HEX or ALGORITHM-BASE64/],
  [HELLO_SHA256, /ALGORITHM:HEX/],
  ["sha512:00", /one of sha256, md5, sha1/],
  ["sha256:abc", /has 32 bytes/],
  [`sha256:${HELLO_SHA256.slice(0, -1)}g`, /has 32 bytes/],
  [`sha256:${HELLO_SHA256}00`, /has 32 bytes/],
  ["sha256-LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLm", /has 32 bytes/],
  ["sha256-LPJNul-wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=", /has 32 bytes/],
  ["md5-XUFA KrxLKna5cZ2REBfFkg==", /has 16 bytes/],
])("%j is none", (text, message) => {
  expect(() => parseDigest(text)).toThrow(message);
});

test("the message does not repeat what it complains about", () => {
  expect(() => parseDigest("https://host/x?sig=secret")).toThrow(/^(?!.*secret)/);
});

test("three of the algorithms say which bytes these are", () => {
  expect(DIGEST_ALGORITHMS.filter(isCryptographic)).toEqual(["sha256", "md5", "sha1"]);
});
