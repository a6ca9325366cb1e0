// What an http: or https: uri may be, how it is kept, and what its object is called.

import { describe, expect, test } from "vitest";
import { Fault } from "../../src/model/fault.js";
import { parseHttpUri } from "../../src/stores/http/uri.js";

test.each([
  ["https://example.com/a/b.txt", "b.txt"],
  ["https://example.com/foo.json?bar=abc", "foo.json"],
  ["https://example.com/dir/", ""],
  ["https://example.com/dir/?file=a.txt", ""],
  ["https://example.com/with%20space%20%C3%BC", "with space \u00fc"],
  ["https://example.com/100%25", "100%"],
  ["https://example.com/a%2Fb.txt", "b.txt"],
  ["https://example.com/latin-%E4", "latin-%E4"],
  ["https://example.com:8443/a:b;c=d", "a:b;c=d"],
  ["https://example.com:443/a", "a"],
  ["http://[::1]:8080/a", "a"],
])("%s is kept as it is, and called %j", (uri, fileName) => {
  expect(parseHttpUri(uri)).toMatchObject({ uri, fileName });
});

test.each([
  ["HTTPS://Example.COM/A", "https://example.com/A"],
  ["https://example.com", "https://example.com/"],
  ["https://example.com?q=1", "https://example.com/?q=1"],
  ["https://example.com/a/./b/../c", "https://example.com/a/c"],
  ["https://example.com/a//b", "https://example.com/a//b"],
  ["https://example.com/a b\u00fc", "https://example.com/a%20b%C3%BC"],
  ["https://example.com/%7euser/%61%2fb", "https://example.com/~user/a%2Fb"],
  ['https://example.com/a|b\\c^d`e{f}"<>', "https://example.com/a%7Cb%5Cc%5Ed%60e%7Bf%7D%22%3C%3E"],
  ["https://example.com/a\nb\tc", "https://example.com/a%0Ab%09c"],
  ["https://example.com/50%", "https://example.com/50%25"],
  ["https://b\u00fccher.example/a", "https://xn--bcher-kva.example/a"],
  ["https://example.com/a?b c=d|e", "https://example.com/a?b%20c=d%7Ce"],
  ["http://0x7f.1/a", "http://127.0.0.1/a"],
])("%j is written %s, and stays so", (uri, normal) => {
  expect(parseHttpUri(uri).uri).toBe(normal);
  expect(parseHttpUri(normal).uri).toBe(normal);
});

/** The message of the refusal. */
function refusalOf(uri: string): string {
  try {
    parseHttpUri(uri);
  } catch (error) {
    expect(error).toBeInstanceOf(Fault);
    expect(error).toMatchObject({ kind: "usage" });
    return (error as Fault).message;
  }
  throw new Error(`${uri} was taken`);
}

describe("what is no reference", () => {
  test.each([
    ["https://user:s3cret@example.com/a", /"https:\/\/example\.com\/a".*\.netrc/],
    ["https://s3cret@example.com/a", /\.netrc/],
    ["https://user:s3cr@t@example.com/a", /\.netrc/],
    ["https://user:s3cret\\@example.com/a", /no host/],
    ["https://example.com/a#s3cret", /%23/],
    ["https://example.com\\a", /no host/],
    ["https://", /no host/],
    ["https:///a", /no host/],
    ["https://exa mple.com/a", /no host/],
    ["https://example.com:99999/a", /no host/],
  ])("%s is refused", (uri, why) => {
    const message = refusalOf(uri);
    expect(message).toMatch(why);
    expect(message).not.toContain("s3cr");
  });

  test.each([
    "X-Amz-Algorithm=AWS4&X-Amz-Credential=AK&X-Amz-Signature=s3cret",
    "x-amz-security-token=s3cret",
    "AWSAccessKeyId=AK&Expires=1&Signature=s3cret",
    "X-Goog-Signature=s3cret&X-Goog-Credential=a",
    "GoogleAccessId=a&Expires=1&Signature=s3cret",
    "sv=2024-01-01&sr=b&sp=r&sig=s3cret",
    "Policy=s3cret&Key-Pair-Id=K",
    "x-oss-signature=s3cret",
    "q-sign-algorithm=sha1&q-signature=s3cret",
    "md5=s3cret&expires=1",
    "token=s3cret",
    "access_token=s3cret",
    "accessToken=s3cret",
    "private_token=s3cret",
    "api_key=s3cret",
    "apiKey=s3cret",
    "APIKEY=s3cret",
    "Authorization=s3cret",
    "password=s3cret",
    "hdnts=exp=1~hmac=s3cret",
    "x=eyJhbGciOiJIUzI1NiJ9.eyJzM2NyZXQiOjF9.s3cret",
    "key=AIzaSyA12345678901234567890123456s3cret",
    "a=1&%73ig=s3cret",
  ])("?%s carries a credential", (query) => {
    const message = refusalOf(`https://example.com/a/b.bin?${query}`);
    expect(message).toMatch(/^"https:\/\/example\.com\/a\/b\.bin" .*credential/);
    expect(message).not.toContain("s3cret");
  });

  test.each([
    ...["version=3", "download=1", "alt=media", "raw=true", "key=data/file.bin", "md5=abc"],
    ...["tokenizer=bert", "design=4", "authors=me", "expires=never", "signal=x", "id=123&part=2"],
    ...["versionId=abc", "generation=17", "policy=open", "hash=12"],
  ])("?%s is part of the name of an object", (query) => {
    const uri = `https://example.com/a?${query}`;
    expect(parseHttpUri(uri).uri).toBe(uri);
  });
});
