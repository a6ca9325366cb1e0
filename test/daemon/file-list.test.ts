// The format of lists, line by line.

import { expect, test } from "vitest";
import { readList, type ListLine } from "../../src/daemon/file-list.js";

/** What is read of `text`, which comes in pieces of `pieceBytes`. */
async function read(text: string | Uint8Array, pieceBytes = 1 << 16): Promise<ListLine[]> {
  const bytes = Buffer.from(text as string);
  // eslint-disable-next-line @typescript-eslint/require-await -- a stream without waiting.
  async function* pieces(): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes);
  }
  const lines: ListLine[] = [];
  for await (const line of readList(pieces(), "list")) lines.push(line);
  return lines;
}

const NOTHING = { digest: null, path: null };

test("a line is a uri, a digest and a path, each but the first optional", async () => {
  const digest = { algorithm: "crc32c", value: "9a71bb4c" };
  expect(
    await read(
      [
        "s3://bkt/a b",
        "s3://bkt/b\tcrc32c:9a71bb4c",
        "s3://bkt/c\t\tx/c",
        "s3://bkt/d\t-\tx/d",
        "s3://bkt/e\tcrc32c-mnG7TA==\tx/ä e",
        "s3://bkt/f\t\t",
      ].join("\n"),
    ),
  ).toEqual([
    { number: 1, uri: "s3://bkt/a b", ...NOTHING },
    { number: 2, uri: "s3://bkt/b", digest, path: null },
    { number: 3, uri: "s3://bkt/c", digest: null, path: "x/c" },
    { number: 4, uri: "s3://bkt/d", digest: null, path: "x/d" },
    { number: 5, uri: "s3://bkt/e", digest, path: "x/ä e" },
    { number: 6, uri: "s3://bkt/f", ...NOTHING },
  ]);
});

test("blank lines and comments are skipped and counted; CRLF and a byte order mark are accepted", async () => {
  const text = "\ufeffs3://b/1\r\n\r\n# s3://b/no\n  \t \n#\ns3://b/2\r\ns3://b/3";
  expect(await read(text)).toEqual([
    { number: 1, uri: "s3://b/1", ...NOTHING },
    { number: 6, uri: "s3://b/2", ...NOTHING },
    { number: 7, uri: "s3://b/3", ...NOTHING },
  ]);
});

test("it does not matter where the pieces end", async () => {
  const text = "\ufeffs3://b/ä😀\t\tx\r\n\ns3://b/2\n";
  const whole = await read(text);
  expect(whole.map(({ uri }) => uri)).toEqual(["s3://b/ä😀", "s3://b/2"]);
  for (const size of [1, 2, 3, 5, 7, 11]) expect(await read(text, size)).toEqual(whole);
});

test.each<[string, string | Uint8Array, RegExp]>([
  ["four fields", "s3://b/1\n\ns3://b/2\t\ta\tb", /^list:3: .*at most three fields/],
  ["no uri", "/data/x", /^list:1: .*no URI.*file:\/\/\/path/],
  ["another list", "@other", /^list:1: .*no URI/],
  ["a path in the place of the digest", "s3://b/1\ns3://b/2\tx/y", /^list:2: A digest is/],
  ["fields in another order", "s3://b/1\t\ts3://b/2", /^list:1: The third field is a URI/],
  [
    "no UTF-8",
    Buffer.from("s3://b/1\ns3://b/\xff\ns3://b/3\n", "latin1"),
    /^list:2: .*not valid UTF-8/,
  ],
  [
    "no UTF-8 at the end",
    Buffer.from("s3://b/1\ns3://b/\xc3", "latin1"),
    /^list:2: .*not valid UTF-8/,
  ],
  [
    "an endless line",
    `s3://b/1\ns3://b/${"x".repeat(200_000)}`,
    /^list:2: The line is over 65536 bytes/,
  ],
])("%s is refused by the number of the line", async (_what, text, message) => {
  await expect(read(text, 1_000)).rejects.toThrow(message);
  await expect(read(text)).rejects.toMatchObject({ kind: "usage" });
});

test("no message repeats a signed uri", async () => {
  for (const line of ["x\thttps://h/?sig=secret", "https://h/?sig=secret\thttps://h/?sig=secret"]) {
    await expect(read(line)).rejects.toThrow(/^(?!.*secret)/s);
  }
});
