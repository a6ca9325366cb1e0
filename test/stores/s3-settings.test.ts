// What the environment says about S3, and that nothing else does: endpoints, regions, addressing,
// credentials.

import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer as createHttpServer } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { readFileSync } from "node:fs";
import type { AddressInfo, Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openPool } from "../../src/stores/pool.js";
import { makeClient } from "../../src/stores/s3/client.js";
import type { Holder } from "../../src/stores/s3/credential-chain.js";
import { credentialChain } from "../../src/stores/s3/credential-chain.js";
import { openCredentials } from "../../src/stores/s3/credentials.js";
import { resolveOrigin } from "../../src/stores/s3/origin.js";
import { readSettings } from "../../src/stores/s3/settings.js";
import { openS3Store } from "../../src/stores/s3/store.js";
import { openStores } from "../../src/stores/schemes.js";
import type { Environment } from "../../src/stores/store.js";
import { collect, entryOf, faultOf, listOptions, readAll } from "../contract/store.js";
import { startS3Double } from "../support/s3-double.js";

let home: string;
const servers: Server[] = [];

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "refmount-aws-"));
});
afterEach(async () => {
  for (const server of servers.splice(0)) server.close();
  await rm(home, { recursive: true, force: true });
});

const read = (environment: Environment) => readSettings({ HOME: home, ...environment });

async function listen(server: Server): Promise<number> {
  servers.push(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

describe("endpoint", () => {
  test("W&B's variable wins over the SDK's, and the service's over the general one", async () => {
    const all = {
      AWS_S3_ENDPOINT_URL: "http://one:1",
      AWS_ENDPOINT_URL_S3: "http://two:2",
      AWS_ENDPOINT_URL: "http://three:3",
    };
    expect((await read(all)).endpoint).toBe("http://one:1");
    expect((await read({ ...all, AWS_S3_ENDPOINT_URL: "" })).endpoint).toBe("http://two:2");
    expect((await read({ AWS_ENDPOINT_URL: "http://three:3/base/" })).endpoint).toBe(
      "http://three:3/base",
    );
    expect((await read({})).endpoint).toBeUndefined();
  });

  test("without a variable the profile's services name it, or the profile itself", async () => {
    await writeFile(
      join(home, "config"),
      "[default]\nendpoint_url = http://profile:1\n" +
        "[profile p]\nservices = mine\nendpoint_url = http://profile:2\n" +
        "[services mine]\ns3 =\n  endpoint_url = http://service:3\nsts =\n  endpoint_url = http://sts:4\n" +
        "[profile i]\nignore_configured_endpoint_urls = true\nendpoint_url = http://profile:5\n",
    );
    const files = { AWS_CONFIG_FILE: join(home, "config") };
    const p = { ...files, AWS_PROFILE: "p" };
    expect(await read(files)).toMatchObject({ endpoint: "http://profile:1" });
    expect(await read(p)).toMatchObject({
      endpoint: "http://service:3",
      serviceEndpoints: { STS: "http://sts:4", SSO: "http://profile:2" },
    });
    expect((await read({ ...p, AWS_ENDPOINT_URL: "http://two" })).endpoint).toBe("http://two");
    for (const ignoring of [
      { ...p, AWS_IGNORE_CONFIGURED_ENDPOINT_URLS: "true", AWS_ENDPOINT_URL: "http://two" },
      { ...files, AWS_PROFILE: "i" },
    ]) {
      expect(await read(ignoring)).toMatchObject({ endpoint: undefined, serviceEndpoints: {} });
      const own = { ...ignoring, AWS_S3_ENDPOINT_URL: "http://one" };
      expect((await read(own)).endpoint).toBe("http://one");
    }
  });

  test("a profile chooses how buckets are addressed, where that is possible", async () => {
    const styleOf = async (style: string, endpoint?: string): Promise<boolean> => {
      const path = join(home, `config-${style}`);
      await writeFile(path, `[default]\ns3 =\n  addressing_style = ${style}\n`);
      const more = endpoint === undefined ? {} : { AWS_S3_ENDPOINT_URL: endpoint };
      return (await read({ AWS_CONFIG_FILE: path, ...more })).pathStyle;
    };
    expect(await styleOf("path")).toBe(true);
    expect(await styleOf("path", "https://cwobject.com")).toBe(true);
    expect(await styleOf("auto", "https://minio.example.org")).toBe(true);
    expect(await styleOf("virtual", "https://minio.example.org")).toBe(false);
    expect(await styleOf("virtual", "http://127.0.0.1:9000")).toBe(true);
    const fault = await faultOf(styleOf("sideways"));
    expect([fault.kind, fault.message]).toEqual(["usage", expect.stringContaining("sideways")]);
  });

  test("files that were changed are read again", async () => {
    const config = join(home, "config");
    const files = { AWS_CONFIG_FILE: config };
    for (const region of ["eu-north-1", "sa-east-1"]) {
      await writeFile(config, `[default]\nregion = ${region}\n`);
      expect((await read(files)).region).toBe(region);
    }
  });

  test("an address that is none is refused without repeating it", async () => {
    for (const url of ["ftp://x", "http://user:secret@host", "http://", "http://x?sig=secret"]) {
      const fault = await faultOf(read({ AWS_S3_ENDPOINT_URL: url }));
      expect([fault.kind, fault.message]).toEqual([
        "usage",
        expect.stringContaining("AWS_S3_ENDPOINT_URL"),
      ]);
      expect(fault.message).not.toContain("secret");
    }
  });

  test.each([
    [{}, "bucket", "https://bucket.s3.eu-west-3.amazonaws.com"],
    [{}, "dotted.bucket", "https://s3.eu-west-3.amazonaws.com/dotted.bucket"],
    [{ AWS_USE_FIPS_ENDPOINT: "true" }, "bucket", "https://bucket.s3-fips.eu-west-3.amazonaws.com"],
    [
      { AWS_S3_ENDPOINT_URL: "http://localhost:9/base" },
      "bucket",
      "http://localhost:9/base/bucket",
    ],
    [{ AWS_S3_ENDPOINT_URL: "cwobject.com" }, "bucket", "https://bucket.cwobject.com"],
    [{ AWS_S3_ENDPOINT_URL: "http://cwlota.com" }, "bucket", "http://bucket.cwlota.com"],
  ])("%j puts %s at %s", async (environment, bucket, expected) => {
    const settings = await read({ AWS_REGION: "eu-west-3", ...environment });
    const pool = openPool({});
    const limits = { connectTimeoutMs: 1, stallTimeoutMs: 1 };
    const credentials = openCredentials(credentialChain({}, settings, pool));
    const signed = { credentials, unsigned: false };
    const client = makeClient(settings, settings.region, signed, pool, limits);
    const { protocol, hostname, port, basePath } = resolveOrigin(
      client,
      settings,
      bucket,
      "eu-west-3",
    );
    expect(`${protocol}//${hostname}${port === undefined ? "" : `:${port}`}${basePath}`).toBe(
      expected,
    );
  });
});

describe("region", () => {
  test("AWS_REGION, then AWS_DEFAULT_REGION, then the profile, then us-east-1", async () => {
    await writeFile(
      join(home, "config"),
      "[default]\nregion = eu-north-1\n[profile other]\nregion = sa-east-1\n",
    );
    const files = { AWS_CONFIG_FILE: join(home, "config") };
    const both = { ...files, AWS_REGION: "r1", AWS_DEFAULT_REGION: "r2" };
    expect((await read(both)).region).toBe("r1");
    expect((await read({ ...both, AWS_REGION: undefined })).region).toBe("r2");
    expect((await read(files)).region).toBe("eu-north-1");
    expect((await read({ ...files, AWS_PROFILE: "other" })).region).toBe("sa-east-1");
    expect((await read({})).region).toBe("us-east-1");
  });
});

describe("credentials", () => {
  const find = async (environment: Environment): Promise<Holder> => {
    const own = { HOME: home, ...environment };
    return openCredentials(credentialChain(own, await read(environment), openPool(own))).get();
  };
  const get = async (environment: Environment) => (await find(environment)).identity;

  test("keys in the environment come first, and nothing else is asked", async () => {
    const begin = performance.now();
    expect(
      await get({
        AWS_ACCESS_KEY_ID: "AK",
        AWS_SECRET_ACCESS_KEY: "SK",
        AWS_SESSION_TOKEN: "ST",
        AWS_CONTAINER_CREDENTIALS_FULL_URI: "http://127.0.0.1:9/",
      }),
    ).toEqual({ accessKeyId: "AK", secretAccessKey: "SK", sessionToken: "ST" });
    expect(performance.now() - begin).toBeLessThan(500);
  });

  test("a profile's keys are read from the files that the environment names", async () => {
    const file = join(home, "credentials");
    await writeFile(
      file,
      "[default]\naws_access_key_id=D\naws_secret_access_key=D\n[p]\naws_access_key_id=P\naws_secret_access_key=P\n",
    );
    const files = { AWS_SHARED_CREDENTIALS_FILE: file };
    expect((await get(files))?.accessKeyId).toBe("D");
    expect((await get({ ...files, AWS_PROFILE: "p" }))?.accessKeyId).toBe("P");
  });

  test("a profile that does not exist is denied, and no other source is tried", async () => {
    const fault = await faultOf(
      get({ AWS_PROFILE: "none", AWS_CONTAINER_CREDENTIALS_FULL_URI: "http://127.0.0.1:9/" }),
    );
    expect([fault.kind, fault.message]).toEqual(["denied", expect.stringContaining("none")]);
  });

  test("nothing at all is nobody, and says where was looked", async () => {
    expect(await find({ AWS_EC2_METADATA_DISABLED: "true" })).toEqual({
      identity: null,
      source:
        'no AWS credentials were found (tried AWS_ACCESS_KEY_ID in the environment, profile "default")',
    });
  });

  test("what this process has in its own environment does not count", async () => {
    const own = { ...process.env };
    try {
      Object.assign(process.env, {
        AWS_ACCESS_KEY_ID: "OWN",
        AWS_SECRET_ACCESS_KEY: "OWN",
        AWS_ENDPOINT_URL_S3: "http://127.0.0.1:9",
        AWS_REGION: "own-1",
      });
      expect(await get({ AWS_EC2_METADATA_DISABLED: "true" })).toBeNull();
      await using double = await startS3Double({ region: "eu-west-3" });
      double.bucket("bucket", "enabled", "eu-west-3").put("k", "1");
      const store = openS3Store({ HOME: home, ...double.environment }, {});
      expect(await collect(store.list("s3://bucket/k", listOptions()))).toHaveLength(1);
      expect(double.requests.map(({ accessKeyId }) => accessKeyId)).toEqual(["AKDOUBLE"]);
      await store.close();
    } finally {
      process.env = own;
    }
  });

  test("expired ones are fetched anew, once, by however many requests", async () => {
    let handedOut = 0;
    const container = createHttpServer((_request, response) => {
      handedOut += 1;
      response.end(
        JSON.stringify({
          AccessKeyId: "AKDOUBLE",
          SecretAccessKey: "double-secret",
          Token: `token-${handedOut}`,
          Expiration: new Date(Date.now() + 3_600_000).toISOString(),
        }),
      );
    });
    const port = await listen(container);
    await using double = await startS3Double();
    double.keys = { ...double.keys, sessionToken: "token-1" };
    double.bucket("bucket").put("k", "bytes");
    const store = openS3Store(
      {
        HOME: home,
        AWS_S3_ENDPOINT_URL: double.endpoint,
        AWS_CONTAINER_CREDENTIALS_FULL_URI: `http://127.0.0.1:${port}/`,
      },
      {},
    );
    const [listed] = await collect(store.list("s3://bucket/k", listOptions()));
    const entry = entryOf(listed ?? expect.fail("nothing listed"));
    double.expiredTokens.add("token-1");
    double.keys = { ...double.keys, sessionToken: "token-2" };
    const bodies = await Promise.all(Array.from({ length: 20 }, () => readAll(store, entry)));
    expect(new Set(bodies.map(String))).toEqual(new Set(["bytes"]));
    expect(handedOut).toBe(2);
    expect(await collect(store.list("s3://bucket/k", listOptions()))).toHaveLength(1);
    await store.close();
  });
});

test("many requests to a bucket of another region at once all learn it", async () => {
  await using double = await startS3Double();
  double.bucket("bucket", "enabled", "eu-west-3").put("k", "bytes");
  const store = openS3Store({ HOME: home, ...double.environment }, {});
  const entry = {
    path: "k",
    sizeBytes: 5,
    entryDigest: "",
    uri: "s3://bucket/k",
    pin: {},
    digests: {},
    claims: [],
    chunks: null,
    mtimeMs: null,
  };
  const bodies = await Promise.all(Array.from({ length: 20 }, () => readAll(store, entry)));
  expect(new Set(bodies.map(String))).toEqual(new Set(["bytes"]));
  await store.close();
});

test("a certificate that is not trusted is denied; named in AWS_CA_BUNDLE it is trusted", async () => {
  const [key, cert] = [join(home, "key.pem"), join(home, "cert.pem")];
  execFileSync(
    "openssl",
    [
      ...["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"],
      ...["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
    ],
    { stdio: "ignore" },
  );
  let answered = 0;
  const server = createHttpsServer(
    { key: readFileSync(key), cert: readFileSync(cert) },
    (_request, response) => {
      answered += 1;
      response.statusCode = 404;
      response.end();
    },
  );
  const environment = {
    HOME: home,
    AWS_S3_ENDPOINT_URL: `https://127.0.0.1:${await listen(server)}`,
    AWS_ACCESS_KEY_ID: "AK",
    AWS_SECRET_ACCESS_KEY: "SK",
  };
  const kindOf = async (more: Environment): Promise<string> => {
    const store = openS3Store({ ...environment, ...more }, { retryTimeoutMs: 0 });
    const fault = await faultOf(collect(store.list("s3://bucket/k", listOptions())));
    await store.close();
    return `${fault.kind}: ${fault.message}`;
  };
  expect(await kindOf({})).toMatch(/^denied: .*AWS_CA_BUNDLE/);
  expect(answered).toBe(0);
  expect(await kindOf({ AWS_CA_BUNDLE: cert })).toMatch(/^not-found: /);
  expect(await kindOf({ AWS_CA_BUNDLE: join(home, "none.pem") })).toMatch(/^usage: /);
});

describe("schemes", () => {
  test.each([
    ["data/file", "References must be URIs"],
    ["/data/file", "file:///path"],
  ])("%s is refused", async (uri, message) => {
    const stores = openStores({});
    const fault = await faultOf(collect(stores.list(uri, listOptions())));
    expect([fault.kind, fault.message]).toEqual(["usage", expect.stringContaining(message)]);
    await stores.close();
  });

  test("one store serves every scheme", async () => {
    await using double = await startS3Double();
    double.bucket("bucket").put("k", "remote");
    await writeFile(join(home, "local"), "local");
    const stores = openStores({ HOME: home, ...double.environment });
    const texts: string[] = [];
    for (const uri of ["s3://bucket/k", `file://${home}/local`, "S3://bucket/k"]) {
      const [listed] = await collect(stores.list(uri, listOptions()));
      texts.push((await readAll(stores, entryOf(listed ?? expect.fail("nothing")))).toString());
    }
    expect(texts).toEqual(["remote", "local", "remote"]);
    await stores.close();
  });
});
