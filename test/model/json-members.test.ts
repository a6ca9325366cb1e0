import { expect, test } from "vitest";
import { jsonMembers, type JsonMember } from "../../src/model/json-members.js";
import { faultOf } from "../contract/store.js";

/** The bytes of `text` in chunks of `size`. */
async function* chunksOf(text: string, size: number): AsyncGenerator<Uint8Array> {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += size) {
    yield await Promise.resolve(bytes.subarray(at, at + size));
  }
}

async function membersOf(text: string, size = 7): Promise<JsonMember[]> {
  const members: JsonMember[] = [];
  for await (const member of jsonMembers(chunksOf(text, size), "contents", "It"))
    members.push(member);
  return members;
}

const DOCUMENT = {
  version: 1,
  "storage\u00e4Policy": 'a "quoted" \\ {text}, with [all] of it: \\\\',
  storagePolicyConfig: { storageLayout: "V2", list: [1, [2, { three: "}" }], null, true, -1.5e3] },
  contents: {
    "a/b.txt": { digest: "x", size: 10, extra: { etag: '\\"', versionID: 1_700_000_000_000_000 } },
    "\u{1f600}\uff5e": { digest: "", ref: "s3://b/k?{}[]," },
    'odd "key"\n': {},
    scalar: 5,
  },
  last: false,
};

test.each([1, 2, 3, 5, 64, 100_000])(
  "in chunks of %d bytes every member comes whole",
  async (size) => {
    for (const text of [JSON.stringify(DOCUMENT), JSON.stringify(DOCUMENT, null, 2)]) {
      const members = await membersOf(text, size);
      const rebuilt: Record<string, unknown> = {};
      const contents: Record<string, unknown> = {};
      for (const { of, key, text: value } of members) {
        (of === null ? rebuilt : contents)[key] = JSON.parse(value);
      }
      const { contents: expected, ...others } = DOCUMENT;
      expect(rebuilt).toEqual(others);
      expect(contents).toEqual(expected);
      expect(members.map(({ key }) => key).slice(3, 7)).toEqual(Object.keys(expected));
    }
  },
);

test("empty objects have no members", async () => {
  expect(await membersOf("{}")).toEqual([]);
  expect(await membersOf(' { "contents" : { } } ')).toEqual([]);
});

test("what is cut short or no object is refused, wherever it is cut", async () => {
  const text = JSON.stringify(DOCUMENT);
  for (let length = 0; length < text.length; length++) {
    const fault = await faultOf(membersOf(text.slice(0, length)));
    expect([fault.kind, fault.message]).toEqual([
      "usage",
      expect.stringMatching(/^It is not JSON/),
    ]);
  }
});

test.each([
  ["[]", /"{" is missing/],
  ["null", /"{" is missing/],
  ['{"a":1} x', /something follows its end/],
  ['{"a":1}{"b":2}', /something follows its end/],
  ['{"a" 1}', /":" is missing/],
  ['{"a":1 "b":2}', /a comma is missing/],
  ['{"a":1,}', /a key is missing/],
  ["{a:1}", /a key is missing/],
  ['{"contents":[]}', /"{" is missing/],
  ['{"\\x":1}', /not JSON as it should be/],
])("%s is refused", async (text, message) => {
  expect((await faultOf(membersOf(text))).message).toMatch(message);
});
