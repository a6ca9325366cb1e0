// Which credential a request to Azure is sent with, where tokens come from, and what is done when one
// is refused. The double over TLS takes tokens; they come from token servers on loopback.

import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Fault } from "../../src/model/fault.js";
import { openCredentials } from "../../src/stores/azure/credentials.js";
import { openAzureStore } from "../../src/stores/azure/store.js";
import { parseAzureUri } from "../../src/stores/azure/uri.js";
import { openPool } from "../../src/stores/pool.js";
import type { Environment, Listed, Store } from "../../src/stores/store.js";
import { collect, entryOf, faultOf, listOptions, readAll } from "../contract/store.js";
import type { AzureDouble, Seen } from "../support/azure-double.js";
import { startAzureDouble } from "../support/azure-double.js";
import { startAzurite } from "../support/azurite.js";
import type { Certificate } from "../support/certificate.js";
import { makeCertificate } from "../support/certificate.js";
import { TokenServer } from "../support/token-server.js";
import { generateBlobSas } from "../support/azure-sas.js";

const TENANT = "11111111-2222-3333-4444-555555555555";
const STORAGE = "https://storage.azure.com/";

let certificate: Certificate;
let home: string;
beforeAll(() => {
  home = mkdtempSync(join(tmpdir(), "refmount-test-"));
  certificate = makeCertificate(home);
});
afterAll(() => {
  rmSync(home, { recursive: true });
});

let stores: Store[] = [];
afterEach(async () => {
  for (const store of stores) await store.close();
  stores = [];
});

function open(environment: Environment): Store {
  const store = openAzureStore(environment, { retryTimeoutMs: 0, stallTimeoutMs: 5_000 });
  stores.push(store);
  return store;
}

async function read(environment: Environment, uri = "az://data/a"): Promise<string> {
  const store = open(environment);
  const [listed] = await collect(store.list(uri, listOptions()));
  return listed === undefined ? "" : String(await readAll(store, entryOf(listed)));
}

function refusal(environment: Environment, uri = "az://data/a"): Promise<Fault> {
  return faultOf(collect(open(environment).list(uri, listOptions())));
}

/** What a request was authorised with. */
const kindOf = ({ headers, query }: Seen): string =>
  query.has("sig") ? "SAS" : (headers.authorization?.split(" ")[0] ?? "nothing");

describe("keys and signatures of the environment", () => {
  let double: AzureDouble;
  let named: Record<string, string>;
  beforeEach(async () => {
    double = await startAzureDouble();
    double.container("data").put("a", "bytes");
    double.authority.sas =
      "sv=2024-11-04&ss=b&srt=co&sp=rl&se=2999-01-01T00%3A00%3A00Z&sig=a%2Bb%2Fc%3D";
    named = {
      AZURE_STORAGE_ACCOUNT: double.authority.account,
      AZURE_STORAGE_BLOB_ENDPOINT: double.endpoint,
    };
  });
  afterEach(async () => {
    await double[Symbol.asyncDispose]();
  });

  test.each([
    ["AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCOUNT"],
    ["AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCOUNT_NAME"],
  ])("%s signs for %s", async (key, account) => {
    const environment = {
      [key]: double.authority.key,
      [account]: double.authority.account,
      AZURE_STORAGE_BLOB_ENDPOINT: double.endpoint,
    };
    expect(await read(environment)).toBe("bytes");
    expect(double.requests.map(kindOf)).toEqual(["SharedKey", "SharedKey"]);
  });

  test.each(["", "?"])("a SAS token (with %j before it) is joined to each query", async (mark) => {
    const sas = mark + double.authority.sas;
    const environment = { ...named, AZURE_STORAGE_SAS_TOKEN: sas };
    expect(await read(environment)).toBe("bytes");
    expect(await read(environment, "az://data")).toBe("bytes");
    expect(new Set(double.requests.map(kindOf))).toEqual(new Set(["SAS"]));
    const listed = await collect(open(environment).list("az://data", listOptions()));
    expect(JSON.stringify(listed)).not.toMatch(/sig|sv=/);
  });

  test("a SAS token in a connection string is used as well", async () => {
    const environment = {
      AZURE_STORAGE_CONNECTION_STRING: `BlobEndpoint=${double.endpoint};SharedAccessSignature=${double.authority.sas}`,
    };
    expect(await read(environment)).toBe("bytes");
    expect(kindOf(double.requests[0] as Seen)).toBe("SAS");
  });

  test("a connection string wins over a key, and a key over a SAS token", async () => {
    const wrong = Buffer.from("wrong").toString("base64");
    const all = { ...named, AZURE_STORAGE_KEY: wrong, AZURE_STORAGE_SAS_TOKEN: "sv=1&sig=wrong" };
    expect(await read({ ...all, ...double.environment })).toBe("bytes");
    const fault = await refusal(all);
    expect(fault.message).toMatch(/the account key in AZURE_STORAGE_KEY was not accepted/);
    expect(fault.message).not.toContain(wrong);
  });

  test.each(["az://data/a", "az://data/"])(
    "an expired SAS token is told of, and not repeated (%s)",
    async (uri) => {
      double.authority.sas = "sv=2024-11-04&se=2024-01-02T00%3A00%3A00Z&sp=rl&sig=hush";
      const environment = { ...named, AZURE_STORAGE_SAS_TOKEN: double.authority.sas };
      const fault = await refusal(environment, uri);
      expect([fault.kind, fault.message]).toEqual([
        "denied",
        expect.stringMatching(/the SAS token in AZURE_STORAGE_SAS_TOKEN.*has expired/),
      ]);
      expect(JSON.stringify([fault, fault.message, String(fault.cause)])).not.toMatch(/hush|sig=/);
    },
  );

  test("a wrong SAS token is told of, and not repeated", async () => {
    const fault = await refusal({ ...named, AZURE_STORAGE_SAS_TOKEN: "sv=2024-11-04&sig=hush" });
    expect([fault.kind, fault.message]).toEqual(["denied", expect.stringMatching(/not accepted/)]);
    expect(JSON.stringify([fault, fault.message])).not.toMatch(/hush|sig=/);
  });

  test("the key of one account is never sent to another", async () => {
    await using other = await startAzureDouble();
    other.container("data").put("a", "theirs");
    other.container("data").publicAccess = "container";
    const environment = {
      ...double.environment,
      AZURE_STORAGE_ACCOUNT: "another",
      AZURE_STORAGE_BLOB_ENDPOINT: other.endpoint,
      AZURE_STORAGE_SAS_TOKEN: "",
    };
    expect(await read(environment, `${other.endpoint}/data/a`)).toBe("theirs");
    expect(new Set(other.requests.map(kindOf))).toEqual(new Set(["nothing"]));
    expect(await read(environment, `${double.endpoint}/data/a`)).toBe("bytes");
    expect(new Set(double.requests.map(kindOf))).toEqual(new Set(["SharedKey"]));
  });

  test("a public container is read without any credentials", async () => {
    double.container("data").publicAccess = "container";
    expect(await read(named)).toBe("bytes");
    expect(await read(named, "az://data")).toBe("bytes");
    double.container("data").publicAccess = "blob";
    expect(await read(named)).toBe("bytes");
    expect(new Set(double.requests.map(kindOf))).toEqual(new Set(["nothing"]));
  });

  test.each([true, false])(
    "without credentials a private container is denied, with what to set (public allowed: %s)",
    async (allows) => {
      double.allowsPublicAccess = allows;
      for (const uri of ["az://data/a", "az://data", "az://no-such-container/a"]) {
        const fault = await refusal(named, uri);
        expect([fault.kind, fault.message]).toEqual([
          "denied",
          expect.stringMatching(/no credentials|no anonymous access/),
        ]);
      }
    },
  );

  test("azurite takes a SAS token with r and l, and refuses one for a single blob to list", async () => {
    await using azurite = await startAzurite();
    const client = azurite.client.getContainerClient("data");
    await client.create();
    await client.getBlockBlobClient("set/a").uploadData(Buffer.from("bytes"));
    const environment = (sas: string): Environment => ({
      AZURE_STORAGE_ACCOUNT: azurite.account,
      AZURE_STORAGE_BLOB_ENDPOINT: azurite.endpoint,
      AZURE_STORAGE_SAS_TOKEN: sas,
    });
    const whole = generateBlobSas(azurite, { container: "data", permissions: "rl" });
    expect(await read(environment(whole), "az://data/set")).toBe("bytes");
    const single = generateBlobSas(azurite, { container: "data", blob: "set/a", permissions: "r" });
    expect(await read(environment(single), "az://data/set/a")).toBe("bytes");
    const fault = await refusal(environment(single), "az://data/set/");
    expect([fault.kind, fault.message]).toEqual([
      "denied",
      expect.stringMatching(/the SAS token in AZURE_STORAGE_SAS_TOKEN/),
    ]);
  });
});

describe("whose a key is", () => {
  const SECRET = { AZURE_STORAGE_KEY: Buffer.from("key").toString("base64") };
  const SIGNATURE = { AZURE_STORAGE_SAS_TOKEN: "sv=1&sig=1" };
  const NAME = { AZURE_STORAGE_ACCOUNT: "own" };
  const CHINA = { ...NAME, AZURE_STORAGE_BLOB_ENDPOINT: "https://own.blob.core.chinacloudapi.cn" };
  const STRING = {
    AZURE_STORAGE_CONNECTION_STRING:
      "AccountName=own;AccountKey=a2V5;EndpointSuffix=core.windows.net",
  };

  test.each([
    ["own.blob.core.windows.net", { ...NAME, ...SECRET }, "key"],
    ["own.blob.core.chinacloudapi.cn", { ...NAME, ...SECRET }, "key"],
    ["own.z07.blob.storage.azure.net", { ...NAME, ...SECRET }, "key"],
    ["own-secondary.blob.core.windows.net", { ...NAME, ...SECRET }, "key"],
    ["other.blob.core.windows.net", { ...NAME, ...SECRET }, "nothing"],
    ["own.blob.core.chinacloudapi.cn", { ...CHINA, ...SECRET }, "key"],
    ["own.blob.core.windows.net", { ...CHINA, ...SECRET }, "nothing"],
    ["own.blob.core.windows.net", STRING, "key"],
    ["own-secondary.blob.core.windows.net", STRING, "key"],
    ["other.blob.core.windows.net", STRING, "nothing"],
    ["own.blob.core.windows.net", SECRET, "nothing"],
    ["own.blob.core.windows.net", { ...NAME, ...SIGNATURE }, "SAS"],
    ["other.blob.core.windows.net", { ...NAME, ...SIGNATURE }, "nothing"],
    ["other.blob.core.windows.net", SIGNATURE, "SAS"],
    ["other.blob.core.windows.net", { ...STRING, ...SIGNATURE }, "SAS"],
  ] as const)("a request to %s with %j takes %s", async (host, variables, expected) => {
    // Nobody gives tokens here.
    const environment = { ...variables, PATH: home, AZURE_TOKEN_CREDENTIALS: "dev" };
    const pool = openPool(environment);
    const limits = { connectTimeoutMs: 100, stallTimeoutMs: 100 };
    const place = parseAzureUri(`https://${host}/data/a`, environment);
    const { header, sas } = await openCredentials(
      environment,
      pool,
      limits,
    )(place).authorise(
      { method: "GET", path: "/data/a", query: {}, headers: {} },
      new AbortController().signal,
    );
    pool.close();
    expect(header === undefined ? (sas === "" ? "nothing" : "SAS") : "key").toBe(expected);
    if (header !== undefined) expect(header).toMatch(/^SharedKey own:/);
  });
});

describe("access tokens", () => {
  let double: AzureDouble;
  let tokens: TokenServer;
  let base: Record<string, string>;
  beforeEach(async () => {
    double = await startAzureDouble({ certificate });
    double.container("data").put("a", "bytes");
    double.container("data").put("b", "more");
    base = {
      HOME: home,
      PATH: join(home, "bin"),
      SSL_CERT_FILE: certificate.certPath,
      AZURE_STORAGE_ACCOUNT: double.authority.account,
      AZURE_STORAGE_BLOB_ENDPOINT: double.endpoint,
      // Nobody listens here: the metadata service of this machine is no part of a test.
      AZURE_POD_IDENTITY_AUTHORITY_HOST: "http://127.0.0.1:9",
    };
  });
  afterEach(async () => {
    await tokens[Symbol.asyncDispose]();
    await double[Symbol.asyncDispose]();
  });

  async function startTokens(tls: boolean): Promise<void> {
    tokens = await TokenServer.start(tls ? certificate : undefined);
    tokens.onToken = (token) => double.authority.tokens.add(token);
  }

  const application = (): Record<string, string> => ({
    ...base,
    AZURE_TENANT_ID: TENANT,
    AZURE_CLIENT_ID: "the-client",
    AZURE_AUTHORITY_HOST: tokens.address,
  });
  const sentTokens = (): (string | undefined)[] => [
    ...new Set(double.requests.map(({ headers }) => headers.authorization)),
  ];

  test("a client secret is exchanged for a token, once", async () => {
    await startTokens(true);
    const environment = { ...application(), AZURE_CLIENT_SECRET: "the-secret" };
    expect(await read(environment)).toBe("bytes");
    expect(tokens.requests).toHaveLength(1);
    const [request] = tokens.requests;
    expect(request?.path).toBe(`/${TENANT}/oauth2/v2.0/token`);
    expect(Object.fromEntries(request?.form ?? [])).toMatchObject({
      grant_type: "client_credentials",
      client_id: "the-client",
      client_secret: "the-secret",
    });
    expect(request?.form.get("scope")).toContain(`${STORAGE}.default`);
    expect(sentTokens()).toEqual([expect.stringMatching(/^Bearer token-1/)]);
  });

  test("a client certificate signs an assertion", async () => {
    await startTokens(true);
    const path = join(home, "client.pem");
    writeFileSync(path, Buffer.concat([certificate.key, certificate.cert]));
    expect(await read({ ...application(), AZURE_CLIENT_CERTIFICATE_PATH: path })).toBe("bytes");
    expect(tokens.requests[0]?.form.get("client_assertion")).toMatch(/^eyJ/);
  });

  test("a workload identity sends the token of its file", async () => {
    await startTokens(true);
    const path = join(home, "federated");
    writeFileSync(path, "federated-token");
    expect(await read({ ...application(), AZURE_FEDERATED_TOKEN_FILE: path })).toBe("bytes");
    expect(tokens.requests[0]?.form.get("client_assertion")).toBe("federated-token");
  });

  test.each([
    [
      "App Service",
      (address: string) => ({ IDENTITY_ENDPOINT: `${address}/msi`, IDENTITY_HEADER: "the-header" }),
      { "x-identity-header": "the-header" },
      "client_id",
    ],
    [
      "Azure Machine Learning",
      (address: string) => ({ MSI_ENDPOINT: `${address}/msi`, MSI_SECRET: "the-header" }),
      { secret: "the-header" },
      "clientid",
    ],
    [
      "a virtual machine",
      (address: string) => ({ AZURE_POD_IDENTITY_AUTHORITY_HOST: address }),
      { metadata: "true" },
      "client_id",
    ],
  ] as const)(
    "the identity of %s is asked for a token",
    async (_what, variables, headers, parameter) => {
      await startTokens(false);
      const environment = { ...base, ...variables(tokens.address), AZURE_CLIENT_ID: "the-client" };
      // Its address is the machine's own, whatever proxies there are.
      const proxied = { ...environment, http_proxy: "http://127.0.0.1:9" };
      expect(await read(proxied)).toBe("bytes");
      const [request] = tokens.requests;
      expect(request?.headers).toMatchObject(headers);
      expect(request?.query.get("resource")).toBe(STORAGE);
      expect(request?.query.get(parameter)).toBe("the-client");
    },
  );

  test("the Azure CLI is run in the mount's own environment", async () => {
    await startTokens(false);
    double.authority.tokens.add("cli-token");
    const bin = mkdtempSync(join(home, "bin-"));
    const expires = Math.floor(Date.now() / 1_000) + 3_600;
    writeFileSync(
      join(bin, "az"),
      `#!/bin/sh\n[ "$AZURE_CONFIG_DIR" = /the/config ] || exit 1\necho '{"accessToken": "cli-token", "expires_on": ${expires}}'\necho "$@" > ${bin}/args\n`,
    );
    chmodSync(join(bin, "az"), 0o755);
    const environment = {
      ...base,
      PATH: bin,
      AZURE_TENANT_ID: TENANT,
      AZURE_TOKEN_CREDENTIALS: "dev",
    };
    expect((await refusal(environment)).kind).toBe("denied");
    expect(await read({ ...environment, AZURE_CONFIG_DIR: "/the/config" })).toBe("bytes");
    expect(sentTokens()).toContain("Bearer cli-token");
    expect(readFileSync(join(bin, "args"), "utf8")).toContain(
      `--resource ${STORAGE} --tenant ${TENANT}`,
    );
  });

  test("where nobody gives tokens, requests go without", async () => {
    await startTokens(false);
    double.container("data").publicAccess = "container";
    const environment = { ...base, AZURE_TOKEN_CREDENTIALS: "dev" };
    expect(await read(environment)).toBe("bytes");
    expect(sentTokens()).toEqual([undefined]);
  });

  test("a token is never sent where others can read it", async () => {
    await startTokens(false);
    await using plain = await startAzureDouble();
    plain.container("data").put("a", "bytes");
    const environment = {
      ...base,
      AZURE_STORAGE_BLOB_ENDPOINT: plain.endpoint,
      AZURE_POD_IDENTITY_AUTHORITY_HOST: tokens.address,
    };
    expect((await refusal(environment)).kind).toBe("denied");
    expect(tokens.requests).toEqual([]);
  });

  test("a refused token is renewed once, and the request sent again", async () => {
    await startTokens(false);
    const store = open({ ...base, AZURE_POD_IDENTITY_AUTHORITY_HOST: tokens.address });
    const listed = await collect(store.list("az://data", listOptions()));
    double.authority.tokens.clear();
    const [first, second] = listed.map(entryOf);
    if (first === undefined || second === undefined) throw new Error("nothing listed");
    // At once, so that both are refused: one renewal does for both.
    const both = await Promise.all([readAll(store, first), readAll(store, second)]);
    expect(both.map(String)).toEqual(["bytes", "more"]);
    expect(tokens.requests).toHaveLength(2);
  });

  test("a renewed token that is refused again is denied, naming whose it is", async () => {
    await startTokens(false);
    tokens.onToken = () => undefined;
    const fault = await refusal({ ...base, AZURE_POD_IDENTITY_AUTHORITY_HOST: tokens.address });
    expect([fault.kind, fault.message]).toEqual([
      "denied",
      expect.stringMatching(/the managed identity was not accepted.*401 InvalidAuthenticationInfo/),
    ]);
    expect(tokens.requests).toHaveLength(2);
    expect(fault.message).not.toContain("token-");
  });

  test("without the right a new token is tried once, and not once per file", async () => {
    await startTokens(false);
    const store = open({ ...base, AZURE_POD_IDENTITY_AUTHORITY_HOST: tokens.address });
    const listed = await collect(store.list("az://data", listOptions()));
    const denied = { status: 403, code: "AuthorizationPermissionMismatch" };
    double.upset({ operation: "GetBlob" }, denied, Infinity);
    const denial = (entry: Listed): Promise<Fault> =>
      faultOf(store.fetch(entryOf(entry), null, new AbortController().signal));
    for (const entry of [...listed, ...listed]) {
      expect((await denial(entry)).message).toMatch(
        /access was refused to the managed identity; it needs the role "Storage Blob Data Reader"/,
      );
    }
    expect(tokens.requests).toHaveLength(2);
  });

  test("the account's own tenant is asked when it takes no others", async () => {
    await startTokens(true);
    const own = "99999999-2222-3333-4444-555555555555";
    double.authority.tenant = own;
    tokens.onToken = (token) => {
      if (tokens.requests.at(-1)?.path.includes(own) === true) double.authority.tokens.add(token);
    };
    const environment = { ...application(), AZURE_CLIENT_SECRET: "the-secret" };
    expect((await refusal(environment)).kind).toBe("denied");
    expect(await read({ ...environment, AZURE_ADDITIONALLY_ALLOWED_TENANTS: "*" })).toBe("bytes");
  });

  test("a token that is about to end is renewed before", async () => {
    await startTokens(false);
    tokens.lifetimeSeconds = 60;
    const store = open({ ...base, AZURE_POD_IDENTITY_AUTHORITY_HOST: tokens.address });
    await collect(store.list("az://data/", listOptions()));
    await collect(store.list("az://data/", listOptions()));
    expect(tokens.requests).toHaveLength(2);
    expect(double.requests.map(({ status }) => status)).toEqual([200, 200]);
  });

  test("a refused secret is denied with Entra's code and nothing else of its answer", async () => {
    await startTokens(true);
    tokens.refusal = { status: 401, code: "AADSTS7000215" };
    const fault = await refusal({ ...application(), AZURE_CLIENT_SECRET: "hush" });
    expect([fault.kind, fault.message]).toEqual([
      "denied",
      expect.stringMatching(/the service principal of AZURE_CLIENT_SECRET \(AADSTS7000215\)/),
    ]);
    expect(JSON.stringify([fault, fault.message])).not.toMatch(/hush|Trace/);
    expect(double.requests).toEqual([]);
  });

  test.each([429, 503])("an authority that answers %i is unavailable", async (status) => {
    await startTokens(true);
    tokens.refusal = { status, code: "AADSTS90033" };
    const fault = await refusal({ ...application(), AZURE_CLIENT_SECRET: "secret" });
    expect([fault.kind, fault.message]).toEqual(["unavailable", expect.stringContaining("HTTP")]);
  });

  test("an authority that nobody listens at is unavailable", async () => {
    await startTokens(true);
    const fault = await refusal({
      ...application(),
      AZURE_CLIENT_SECRET: "secret",
      AZURE_AUTHORITY_HOST: "https://127.0.0.1:9",
    });
    expect([fault.kind, fault.message]).toEqual([
      "unavailable",
      expect.stringContaining("refused"),
    ]);
  });

  test("an authority whose certificate is not trusted gets no secret", async () => {
    await startTokens(true);
    const fault = await refusal({
      ...application(),
      AZURE_CLIENT_SECRET: "secret",
      SSL_CERT_FILE: "",
    });
    expect([fault.kind, fault.message]).toEqual(["denied", expect.stringContaining("TLS")]);
    expect(tokens.requests).toEqual([]);
  });

  test.each([
    [500, "unavailable"],
    [400, "denied"],
  ] as const)("a machine's identity that answers %i is %s", async (status, kind) => {
    await startTokens(false);
    tokens.refusal = { status, code: "invalid_request" };
    const environment = { ...base, AZURE_POD_IDENTITY_AUTHORITY_HOST: tokens.address };
    const fault = await refusal(environment);
    expect([fault.kind, fault.message]).toEqual([
      kind,
      expect.stringMatching(new RegExp(`managed identity gives no token.*HTTP ${status}`)),
    ]);
  });
});
