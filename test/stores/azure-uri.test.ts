// Which uris are Azure's, what they name, and how names are spelled.

import { describe, expect, test } from "vitest";
import { Fault } from "../../src/model/fault.js";
import { formatAzureUri, isAzureUri, parseAzureUri } from "../../src/stores/azure/uri.js";
import type { Environment } from "../../src/stores/store.js";

const EMULATOR = { AZURE_STORAGE_CONNECTION_STRING: "UseDevelopmentStorage=true" };
const CUSTOM = {
  AZURE_STORAGE_ACCOUNT: "myaccount",
  AZURE_STORAGE_BLOB_ENDPOINT: "https://data.example.org/",
};
const STACK = {
  AZURE_STORAGE_CONNECTION_STRING:
    "DefaultEndpointsProtocol=https;AccountName=own;AccountKey=a+b/c==;EndpointSuffix=local.azurestack.external",
};
const ACCOUNT = { AZURE_STORAGE_ACCOUNT: "own" };

const refusal = (uri: string, environment: Environment = {}): string => {
  try {
    parseAzureUri(uri, environment);
  } catch (error) {
    if (error instanceof Fault) return `${error.kind}: ${error.message}`;
    throw error;
  }
  return "taken";
};

/** "ACCOUNT ENDPOINT CONTAINER BLOB" of a uri. */
const parts = (uri: string, environment: Environment = {}): string => {
  const { account, endpoint, container, blob } = parseAzureUri(uri, environment);
  return [account, endpoint, container, blob].join(" ");
};

describe("uris of Azure", () => {
  test.each([
    ["https://acc.blob.core.windows.net/c/a/b", {}, true],
    ["HTTPS://Acc.Blob.Core.Windows.Net:443/c", {}, true],
    ["http://acc.blob.core.windows.net/c/a", {}, true],
    ["https://acc.dfs.core.windows.net/c/a", {}, true],
    ["https://acc.blob.core.chinacloudapi.cn/c/a", {}, true],
    ["https://acc.blob.core.usgovcloudapi.net/c/a", {}, true],
    ["https://acc.z07.blob.storage.azure.net/c/a", {}, true],
    ["https://acc-secondary.blob.core.windows.net/c/a", {}, true],
    ["https://user:pw@acc.blob.core.windows.net/c/a", {}, true],
    ["az://c/a", {}, true],
    ["abfss://c@acc.dfs.core.windows.net/a", {}, true],
    ["WASBS://c@acc.blob.core.windows.net/a", {}, true],
    ["https://acc.blob.core.windows.net.evil.org/c/a", {}, false],
    ["https://evil.org/acc.blob.core.windows.net/c", {}, false],
    ["https://evil.org?acc.blob.core.windows.net/c", {}, false],
    ["https://acc.web.core.windows.net/index.html", {}, false],
    ["https://acc.blob.core.windows.net:8443/c/a", {}, false],
    ["https://example.org/c/a", {}, false],
    ["http://127.0.0.1:10000/devstoreaccount1/c/a", {}, false],
    ["http://127.0.0.1:10000/devstoreaccount1/c/a", EMULATOR, true],
    ["http://127.0.0.1:10000/devstoreaccount12/c/a", EMULATOR, false],
    ["http://127.0.0.1:10001/devstoreaccount1/c/a", EMULATOR, false],
    ["https://data.example.org/c/a", CUSTOM, true],
    ["https://data.example.org.evil.org/c/a", CUSTOM, false],
    ["https://own.blob.local.azurestack.external/c/a", STACK, true],
    ["s3://bucket/key", {}, false],
  ] as const)("%s with %j: %s", (uri, environment, expected) => {
    expect(isAzureUri(uri, environment)).toBe(expected);
  });

  test("variables that say nothing leave plain addresses alone, and are told of where they count", () => {
    const broken = { AZURE_STORAGE_CONNECTION_STRING: "a-secret-without-a-name" };
    expect(isAzureUri("https://example.org/a", broken)).toBe(false);
    expect(refusal("az://data/a", broken)).toMatch(/^usage: AZURE_STORAGE_CONNECTION_STRING/);
    expect(refusal("az://data/a", broken)).not.toContain("secret");
  });
});

describe("what a uri names", () => {
  test.each([
    [
      "https://acc.blob.core.windows.net/con/a/b.bin",
      {},
      "acc https://acc.blob.core.windows.net con a/b.bin",
    ],
    ["https://ACC.blob.core.windows.net:443/con", {}, "acc https://acc.blob.core.windows.net con "],
    ["https://acc.blob.core.windows.net/con/", {}, "acc https://acc.blob.core.windows.net con "],
    [
      "https://acc.blob.core.windows.net/con//a",
      {},
      "acc https://acc.blob.core.windows.net con /a",
    ],
    [
      "https://acc.blob.core.windows.net/con/a/",
      {},
      "acc https://acc.blob.core.windows.net con a/",
    ],
    ["http://acc.blob.core.windows.net/con/a", {}, "acc https://acc.blob.core.windows.net con a"],
    ["https://acc.dfs.core.windows.net/con/a", {}, "acc https://acc.blob.core.windows.net con a"],
    [
      "https://acc.blob.core.windows.net/$web/a",
      {},
      "acc https://acc.blob.core.windows.net $web a",
    ],
    [
      "https://acc.z07.blob.storage.azure.net/con/a",
      {},
      "acc https://acc.z07.blob.storage.azure.net con a",
    ],
    [
      "https://acc-secondary.blob.core.windows.net/con/a",
      {},
      "acc https://acc-secondary.blob.core.windows.net con a",
    ],
    [
      "https://acc.blob.core.chinacloudapi.cn/con/a",
      {},
      "acc https://acc.blob.core.chinacloudapi.cn con a",
    ],
    [
      "abfss://con@acc.dfs.core.windows.net/a/b",
      {},
      "acc https://acc.blob.core.windows.net con a/b",
    ],
    [
      "abfs://con@acc.dfs.core.usgovcloudapi.net/a",
      {},
      "acc https://acc.blob.core.usgovcloudapi.net con a",
    ],
    ["wasbs://con@acc.blob.core.windows.net/a", {}, "acc https://acc.blob.core.windows.net con a"],
    ["wasb://con@acc.blob.core.windows.net", {}, "acc https://acc.blob.core.windows.net con "],
    ["az://con@acc.blob.core.windows.net/a", {}, "acc https://acc.blob.core.windows.net con a"],
    ["az://acc.blob.core.windows.net/con/a", {}, "acc https://acc.blob.core.windows.net con a"],
    ["az://con/a", ACCOUNT, "own https://own.blob.core.windows.net con a"],
    ["abfs://con/a", ACCOUNT, "own https://own.blob.core.windows.net con a"],
    [
      "az://con",
      { AZURE_STORAGE_ACCOUNT_NAME: "own" },
      "own https://own.blob.core.windows.net con ",
    ],
    ["az://con/a", STACK, "own https://own.blob.local.azurestack.external con a"],
    [
      "abfs://con@own.blob.local.azurestack.external/a",
      STACK,
      "own https://own.blob.local.azurestack.external con a",
    ],
    ["az://con/a", EMULATOR, "devstoreaccount1 http://127.0.0.1:10000/devstoreaccount1 con a"],
    ["az://con/a", CUSTOM, "myaccount https://data.example.org con a"],
    ["https://data.example.org/con/a", CUSTOM, "myaccount https://data.example.org con a"],
    [
      "http://127.0.0.1:10000/devstoreaccount1/con/a",
      EMULATOR,
      "devstoreaccount1 http://127.0.0.1:10000/devstoreaccount1 con a",
    ],
  ] as const)("%s with %j: %s", (uri, environment, expected) => {
    expect(parts(uri, environment)).toBe(expected);
  });

  test.each([
    ["?versionId=2026-03-19T06:23:15.1569236Z", "2026-03-19T06:23:15.1569236Z", undefined],
    ["?versionid=2026-03-19T06%3A23%3A15.1569236Z", "2026-03-19T06:23:15.1569236Z", undefined],
    ["?snapshot=2026-03-19T06:23:15.1569236Z", undefined, "2026-03-19T06:23:15.1569236Z"],
    ["?", undefined, undefined],
  ] as const)("%s names version %s, snapshot %s", (query, versionId, snapshot) => {
    const name = parseAzureUri(`https://acc.blob.core.windows.net/con/a${query}`, {});
    expect(name).toMatchObject({ blob: "a", versionId, snapshot });
  });

  test.each([
    ["https://acc.blob.core.windows.net", /names no container/],
    ["https://acc.blob.core.windows.net/", /names no container/],
    ["https://acc.blob.core.windows.net/Not_A_Container/a", /cannot be the name/],
    ["https://acc.blob.core.windows.net/ab/a", /cannot be the name/],
    ["https://acc.blob.core.windows.net/con/a?timeout=3", /only \?versionId=/],
    ["https://acc.blob.core.windows.net/con/a?versionId=1&snapshot=2", /only \?versionId=/],
    ["https://acc.blob.core.windows.net/con/%FFa", /not UTF-8.*%25/],
    ["az://con/a", /names no account: set AZURE_STORAGE_ACCOUNT/],
    ["az://con@acc/a", /names no Azure account/],
    ["abfss://con@data.example.org/a", /names no Azure account/],
  ])("%s is refused", (uri, message) => {
    expect(refusal(uri)).toMatch(/^usage: /);
    expect(refusal(uri)).toMatch(message);
  });

  test.each([
    "https://acc.blob.core.windows.net/con/a?sv=2024-11-04&st=x&se=y&sr=b&sp=r&sig=hush",
    "https://acc.blob.core.windows.net/con/a?versionId=1&sig=hush&sv=1",
    "az://con/a?sp=rl&sig=hush",
    "https://user:hush@acc.blob.core.windows.net/con/a",
  ])("a secret in a uri is refused and not repeated", (uri) => {
    const message = refusal(uri, ACCOUNT);
    expect(message).toMatch(/^usage: .*(AZURE_STORAGE_SAS_TOKEN|no password)/);
    expect(message).not.toContain("hush");
  });
});

describe("the spelling of names", () => {
  const place = { account: "acc", endpoint: "https://acc.blob.core.windows.net", container: "con" };
  const at = "https://acc.blob.core.windows.net/con";

  test.each([
    "a/b c.txt",
    "\u00fc\u{1f600}",
    "a//b",
    "/leading",
    "100%",
    "50% of",
    "trailing.",
    "x&y=z+w",
  ])("%s is written as it is", (name) => {
    expect(formatAzureUri(place, name)).toBe(`${at}/${name}`);
    expect(parseAzureUri(`${at}/${name}`, {}).blob).toBe(name);
  });

  test.each([
    ["a?b", "a%3Fb"],
    ["a#b", "a%23b"],
    ["a%20b", "a%2520b"],
    ["a%2520b", "a%252520b"],
    ["%%41", "%%2541"],
    ["a\nb", "a%0Ab"],
    ["x?versionId=1", "x%3FversionId=1"],
  ])("%j is written %s", (name, written) => {
    expect(formatAzureUri(place, name)).toBe(`${at}/${written}`);
    expect(parseAzureUri(`${at}/${written}`, {}).blob).toBe(name);
  });

  test.each([
    ["my%20file%20(1).txt", "my file (1).txt"],
    ["%C3%BCmlaut/%F0%9F%98%80", "\u00fcmlaut/\u{1f600}"],
    ["a%2Fb", "a/b"],
    ["a%2bb", "a+b"],
    ["a#b", "a#b"],
  ])("%s, as a browser writes it, names %s", (written, name) => {
    expect(parseAzureUri(`${at}/${written}`, {}).blob).toBe(name);
  });

  test("any name comes back from its uri", () => {
    const alphabet = [
      "%",
      "2",
      "5",
      "3",
      "F",
      "f",
      "0",
      "A",
      "?",
      "#",
      "/",
      " ",
      "\u00e4",
      "\n",
      ".",
    ];
    let state = 1;
    const next = (): number => (state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0);
    for (let round = 0; round < 3_000; round++) {
      const length = 1 + (next() % 12);
      const name = Array.from({ length }, () => alphabet[(next() >>> 8) % alphabet.length]).join(
        "",
      );
      expect(parseAzureUri(formatAzureUri(place, name), {}).blob).toBe(name);
    }
  });
});
