// Rows taken out of a listing's XML: the same that the SDK would have read, or left to it.

import { expect, test } from "vitest";
import { splitRows, type RawRow } from "../../src/stores/s3/list-rows.js";

function split(xml: string): { rows: RawRow[]; left: string } {
  const rows: RawRow[] = [];
  return { left: splitRows(xml, rows), rows };
}

const HEAD = '<?xml version="1.0"?><ListVersionsResult xmlns="http://s3/"><Name>b</Name>';
const VERSION =
  "<Version><Key>a/b</Key><VersionId>v1</VersionId><IsLatest>true</IsLatest>" +
  "<LastModified>2026-01-02T03:04:05.678Z</LastModified><ETag>&quot;abc&quot;</ETag><Size>17</Size>" +
  "<StorageClass>STANDARD</StorageClass><Owner><ID>x</ID><DisplayName>y</DisplayName></Owner>" +
  "<ChecksumAlgorithm>CRC32C</ChecksumAlgorithm><ChecksumAlgorithm>SHA256</ChecksumAlgorithm>" +
  "<ChecksumType>FULL_OBJECT</ChecksumType></Version>";
const MARKER =
  "<DeleteMarker><Key>c</Key><VersionId>v2</VersionId><IsLatest>false</IsLatest></DeleteMarker>";
const TAIL = "<IsTruncated>false</IsTruncated></ListVersionsResult>";

test("rows come out whole and in order, and everything else stays", () => {
  const { rows, left } = split(HEAD + VERSION + MARKER + VERSION + TAIL);
  expect(left).toBe(HEAD + TAIL);
  expect(rows.map(({ element, key }) => [element, key])).toEqual([
    ["Version", "a/b"],
    ["DeleteMarker", "c"],
    ["Version", "a/b"],
  ]);
  expect(rows[0]).toEqual({
    element: "Version",
    key: "a/b",
    versionId: "v1",
    isLatest: true,
    sizeBytes: 17,
    etag: '"abc"',
    mtimeMs: Date.UTC(2026, 0, 2, 3, 4, 5, 678),
    checksumAlgorithms: ["CRC32C", "SHA256"],
    checksumType: "FULL_OBJECT",
  });
  expect(rows[1]).toMatchObject({ isLatest: false, sizeBytes: 0, etag: "", mtimeMs: null });
});

test("what stands between rows stays where it was, line breaks and other elements too", () => {
  const { rows, left } = split(`${HEAD}\n  ${VERSION}\n  <CommonPrefixes/>\n  ${MARKER}\n${TAIL}`);
  expect(rows).toHaveLength(2);
  expect(left).toBe(`${HEAD}\n  \n  <CommonPrefixes/>\n  \n${TAIL}`);
});

test.each([
  ["&amp;lt;", "&lt;"],
  ["&lt;&gt;&quot;&apos;&amp;", "<>\"'&"],
  ["&#233;&#xE9;&#x1F600;", "\u00e9\u00e9\u{1f600}"],
  ["&#x110000;&unknown;&", "&#x110000;&unknown;&"],
  ["", ""],
])("the text %s is %s", (text, expected) => {
  const { rows } = split(`<R><Contents><Key>${text}</Key></Contents></R>`);
  expect(rows[0]).toMatchObject({ key: expected, isLatest: true });
});

test.each([
  ["an attribute", VERSION.replace("<Version>", '<Version a="b">')],
  ["CDATA", VERSION.replace("a/b", "<![CDATA[a]]>")],
  ["a comment", `${VERSION}<!-- ${MARKER} -->`],
  ["a missing end", VERSION.replace("</Version>", "")],
  ["an end without a beginning", `</Version>${MARKER}`],
])("rows with %s are left to the SDK, all of them", (_, middle) => {
  const xml = HEAD + MARKER + middle + TAIL;
  expect(split(xml)).toEqual({ rows: [], left: xml });
});

test("an answer without rows is left as it is", () => {
  expect(split(HEAD + TAIL)).toEqual({ rows: [], left: HEAD + TAIL });
  expect(split("")).toEqual({ rows: [], left: "" });
});
