// Whom requests to S3 are made as: every source of credentials that a passed environment may name, what
// happens when a server refuses them, and requests that nobody signs.

import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { createServer } from "node:http";
import type { AddressInfo, Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Fault } from "../../src/model/fault.js";
import { openPool } from "../../src/stores/pool.js";
import type { Holder } from "../../src/stores/s3/credential-chain.js";
import { credentialChain } from "../../src/stores/s3/credential-chain.js";
import { openCredentials } from "../../src/stores/s3/credentials.js";
import { readSettings } from "../../src/stores/s3/settings.js";
import { openS3Store } from "../../src/stores/s3/store.js";
import type { Environment, Store } from "../../src/stores/store.js";
import { collect, entryOf, faultOf, listOptions, readAll } from "../contract/store.js";
import type { S3Double } from "../support/s3-double.js";
import { startS3Double } from "../support/s3-double.js";

let home: string;
let double: S3Double;
const servers: Server[] = [];
const stores: Store[] = [];

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "refmount-aws-"));
  double = await startS3Double();
});
afterEach(async () => {
  for (const store of stores.splice(0)) await store.close();
  for (const server of servers.splice(0)) server.close();
  await double[Symbol.asyncDispose]();
  await rm(home, { recursive: true, force: true });
});

interface Answer {
  readonly status?: number;
  readonly body?: string;
}

interface Asked {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

/** A server of credentials on loopback; null: it never answers. */
async function serve(answer: (asked: Asked) => Answer | null): Promise<string> {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const { method = "", url = "", headers } = request;
      const body = Buffer.concat(chunks).toString();
      const answered = answer({ method, url, headers, body });
      if (answered === null) return;
      response.statusCode = answered.status ?? 200;
      response.end(answered.body ?? "");
    });
  });
  servers.push(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Writes the two files of the AWS tools, and names them as the environment does. */
async function files(config: string, credentials = ""): Promise<Environment> {
  await writeFile(join(home, "config"), config);
  await writeFile(join(home, "credentials"), credentials);
  return {
    AWS_CONFIG_FILE: join(home, "config"),
    AWS_SHARED_CREDENTIALS_FILE: join(home, "credentials"),
  };
}

async function find(environment: Environment): Promise<Holder> {
  const own = { HOME: home, AWS_EC2_METADATA_DISABLED: "true", ...environment };
  const chain = credentialChain(own, await readSettings(own), openPool(own));
  return openCredentials(chain).get();
}

/** A store at the double for somebody with nothing but `environment`. */
function open(environment: Environment = {}): Store {
  const store = openS3Store(
    {
      HOME: home,
      AWS_EC2_METADATA_DISABLED: "true",
      AWS_S3_ENDPOINT_URL: double.endpoint,
      ...environment,
    },
    { retryTimeoutMs: 0 },
  );
  stores.push(store);
  return store;
}

const KEYS = { AWS_ACCESS_KEY_ID: "AKDOUBLE", AWS_SECRET_ACCESS_KEY: "double-secret" };

async function readOne(store: Store, uri = "s3://bucket/k"): Promise<string> {
  const [listed] = await collect(store.list(uri, listOptions()));
  return (await readAll(store, entryOf(listed ?? expect.fail("nothing listed")))).toString();
}

const signed = (): boolean[] =>
  double.requests.map(({ headers }) => headers.authorization !== undefined);

const refusedText = async (promise: Promise<unknown>): Promise<string> => {
  const fault: Fault = await faultOf(promise);
  expect(fault.kind).toBe("denied");
  expect(fault.message).not.toMatch(/double-secret|AKDOUBLE/);
  return fault.message;
};

describe("without any credentials", () => {
  test("a public bucket is listed and read, unsigned", async () => {
    const bucket = double.bucket("bucket");
    bucket.isPublic = true;
    bucket.put("k", "for everybody", { checksum: "CRC32C", partBytes: 5 });
    expect(await readOne(open())).toBe("for everybody");
    const { claims } = await open().stat("s3://bucket/k", listOptions());
    expect(claims).toHaveLength(2);
    expect(new Set(signed())).toEqual(new Set([false]));
  });

  test("a public bucket of another region is found by the redirect", async () => {
    const bucket = double.bucket("far", "enabled", "eu-west-3");
    bucket.isPublic = true;
    bucket.put("k", "far");
    expect(await readOne(open(), "s3://far/k")).toBe("far");
  });

  test("a bucket that is not public is denied, and what was tried is told", async () => {
    double.bucket("bucket").put("k", "secret");
    const entry = { ...entryOf(await openListed()), pin: {} };
    const denied = [
      () => collect(open().list("s3://bucket/k", listOptions())),
      () => readAll(open(), entry),
    ];
    for (const attempt of denied) {
      const text = await refusedText(attempt());
      expect(text).toMatch(/unsigned request: no AWS credentials were found/);
      expect(text).toMatch(/tried AWS_ACCESS_KEY_ID in the environment, profile "default"/);
    }
  });

  test.each(["true", "yes", "1", "TRUE"])("AWS_NO_SIGN_REQUEST=%s signs nothing", async (value) => {
    const bucket = double.bucket("bucket");
    bucket.put("k", "bytes");
    const store = open({ ...KEYS, AWS_NO_SIGN_REQUEST: value });
    const denied = collect(store.list("s3://bucket/k", listOptions()));
    expect(await refusedText(denied)).toMatch(/AWS_NO_SIGN_REQUEST/);
    bucket.isPublic = true;
    expect(await readOne(store)).toBe("bytes");
    expect(new Set(signed())).toEqual(new Set([false]));
  });

  test("any other value of it signs", async () => {
    double.bucket("bucket").put("k", "bytes");
    expect(await readOne(open({ ...KEYS, AWS_NO_SIGN_REQUEST: "false" }))).toBe("bytes");
  });
});

async function openListed() {
  const [listed] = await collect(open(KEYS).list("s3://bucket/k", listOptions()));
  double.requests.length = 0;
  return listed ?? expect.fail("nothing listed");
}

describe("requester pays", () => {
  beforeEach(() => {
    const bucket = double.bucket("bucket");
    bucket.requesterPays = true;
    bucket.put("k", "0123456789", { partSizes: [4, 3, 3] });
  });

  test("is said with every request when AWS_REQUEST_PAYER says so", async () => {
    const store = open({ ...KEYS, AWS_REQUEST_PAYER: "requester" });
    expect(await readOne(store)).toBe("0123456789");
    expect(await store.stat("s3://bucket/k", listOptions())).toMatchObject({ sizeBytes: 10 });
    const operations = new Set(double.requests.map(({ operation }) => operation));
    expect(operations).toEqual(new Set(["ListObjectVersions", "GetObject", "HeadObject"]));
    expect(new Set(double.requests.map((seen) => seen.headers["x-amz-request-payer"]))).toEqual(
      new Set(["requester"]),
    );
  });

  test("is hinted at where a refusal speaks of it", async () => {
    const denied = collect(open(KEYS).list("s3://bucket/k", listOptions()));
    expect(await refusedText(denied)).toMatch(/set AWS_REQUEST_PAYER=requester/);
  });

  test("takes no other payer", async () => {
    const store = open({ ...KEYS, AWS_REQUEST_PAYER: "owner" });
    const fault = await faultOf(collect(store.list("s3://bucket/k", listOptions())));
    expect([fault.kind, fault.message]).toEqual(["usage", expect.stringContaining("owner")]);
  });
});

describe("the instance's role", () => {
  const ROLES = "/latest/meta-data/iam/security-credentials/";
  const document = (id: string) =>
    JSON.stringify({
      Code: "Success",
      AccessKeyId: id,
      SecretAccessKey: "double-secret",
      Token: "session",
      Expiration: new Date(Date.now() + 3_600_000).toISOString(),
    });
  const metadata = (asked: Asked): Answer => {
    if (asked.method === "PUT" && asked.url === "/latest/api/token") {
      const ttl = Number(asked.headers["x-aws-ec2-metadata-token-ttl-seconds"]);
      return ttl > 0 ? { body: "v2-token" } : { status: 400 };
    }
    if (asked.headers["x-aws-ec2-metadata-token"] !== "v2-token") return { status: 401 };
    if (asked.url === ROLES) return { body: "the-role\n" };
    return asked.url === `${ROLES}the-role` ? { body: document("AKDOUBLE") } : { status: 404 };
  };
  const enabled = { AWS_EC2_METADATA_DISABLED: "false" };

  test("is asked for with a token of version 2, at the address of the environment", async () => {
    const at = { ...enabled, AWS_EC2_METADATA_SERVICE_ENDPOINT: await serve(metadata) };
    expect(await find(at)).toMatchObject({
      identity: { accessKeyId: "AKDOUBLE", sessionToken: "session" },
      source: "the instance's role",
    });
    double.keys = { ...double.keys, sessionToken: "session" };
    double.bucket("bucket").put("k", "bytes");
    expect(await readOne(open(at))).toBe("bytes");
  });

  test("is not asked for when that is turned off", async () => {
    let count = 0;
    const endpoint = await serve((asked) => {
      count += 1;
      return metadata(asked);
    });
    expect((await find({ AWS_EC2_METADATA_SERVICE_ENDPOINT: endpoint })).identity).toBeNull();
    expect(count).toBe(0);
  });

  test.each([
    ["nobody answers", () => null],
    ["somebody else answers", () => ({ status: 404 })],
    [
      "there is no role",
      (asked: Asked) => (asked.url === ROLES ? { status: 404 } : metadata(asked)),
    ],
  ] as const)("is none, soon, where %s", async (_where, answer) => {
    const beginMs = performance.now();
    const endpoint = await serve(answer);
    const holder = await find({ ...enabled, AWS_EC2_METADATA_SERVICE_ENDPOINT: endpoint });
    expect(holder.identity).toBeNull();
    expect(holder.source).toContain("the instance's role");
    expect(performance.now() - beginMs).toBeLessThan(5_000);
  });

  test("that has trouble is unavailable, not absent", async () => {
    const endpoint = await serve((asked) =>
      asked.method === "PUT" ? metadata(asked) : { status: 503 },
    );
    const fault = await faultOf(find({ ...enabled, AWS_EC2_METADATA_SERVICE_ENDPOINT: endpoint }));
    expect(fault.kind).toBe("unavailable");
  });
});

describe("a profile", () => {
  const STS_ANSWER = `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>
    <AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/r/s</Arn><AssumedRoleId>X:s</AssumedRoleId></AssumedRoleUser>
    <Credentials><AccessKeyId>AKROLE</AccessKeyId><SecretAccessKey>role-secret</SecretAccessKey>
    <SessionToken>role-token</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>
    </AssumeRoleResult></AssumeRoleResponse>`;

  async function sts(): Promise<{ endpoint: string; asked: { role: string; by: string }[] }> {
    const asked: { role: string; by: string }[] = [];
    const endpoint = await serve(({ body, headers }) => {
      const form = new URLSearchParams(body);
      asked.push({
        role: `${form.get("Action") ?? ""} ${form.get("RoleArn") ?? ""} ${form.get("ExternalId") ?? ""}`,
        by: /Credential=([^/]+)/.exec(headers.authorization ?? "")?.[1] ?? "",
      });
      return { body: STS_ANSWER };
    });
    return { endpoint, asked };
  }

  test("takes on a role as another profile does", async () => {
    const { endpoint, asked } = await sts();
    const environment = await files(
      "[profile r]\nrole_arn = arn:r\nsource_profile = s\nexternal_id = x\n",
      "[s]\naws_access_key_id = AKSOURCE\naws_secret_access_key = source\n",
    );
    const more = { AWS_PROFILE: "r", AWS_ENDPOINT_URL_STS: endpoint };
    expect(await find({ ...environment, ...more })).toMatchObject({
      identity: { accessKeyId: "AKROLE", sessionToken: "role-token" },
      source: 'profile "r"',
    });
    expect(asked).toEqual([{ role: "AssumeRole arn:r x", by: "AKSOURCE" }]);
  });

  test("takes on a role from a role, and from itself", async () => {
    const { endpoint, asked } = await sts();
    const environment = await files(
      "[profile top]\nrole_arn = arn:top\nsource_profile = self\n" +
        "[profile self]\nrole_arn = arn:self\nsource_profile = self\n",
      "[self]\naws_access_key_id = AKSELF\naws_secret_access_key = self\n",
    );
    const at = { ...environment, AWS_ENDPOINT_URL_STS: endpoint };
    await find({ ...at, AWS_PROFILE: "self" });
    expect(asked).toEqual([{ role: "AssumeRole arn:self ", by: "AKSELF" }]);
    asked.length = 0;
    await find({ ...at, AWS_PROFILE: "top" });
    expect(asked).toEqual([{ role: "AssumeRole arn:top ", by: "AKSELF" }]);
  });

  test("takes on a role with the keys in the environment that was passed", async () => {
    const { endpoint, asked } = await sts();
    const environment = await files(
      "[profile r]\nrole_arn = arn:r\ncredential_source = Environment\n",
    );
    const own = { ...process.env };
    Object.assign(process.env, { AWS_ACCESS_KEY_ID: "AKOWN", AWS_SECRET_ACCESS_KEY: "own" });
    try {
      const at = { ...environment, AWS_PROFILE: "r", AWS_ENDPOINT_URL_STS: endpoint };
      expect((await find({ ...at, ...KEYS })).source).toBe('profile "r"');
      expect(asked.map(({ by }) => by)).toEqual(["AKDOUBLE"]);
      expect(await refusedText(find(at))).toMatch(
        /credential_source Environment has no credentials/,
      );
    } finally {
      process.env = own;
    }
  });

  test.each([
    [
      "of itself in a circle",
      "[profile r]\nrole_arn=a\nsource_profile=t\n[profile t]\nrole_arn=b\nsource_profile=r\n",
      /each other/,
    ],
    ["without a source", "[profile r]\nrole_arn=a\n", /no source_profile/],
    [
      "of a profile that is not there",
      "[profile r]\nrole_arn=a\nsource_profile=gone\n",
      /no profile "gone"/,
    ],
    [
      "that asks for a second factor",
      "[profile r]\nrole_arn=a\nsource_profile=r\nmfa_serial=m\n",
      /second factor/,
    ],
    ["that names nothing", "[profile r]\nregion=eu-west-1\n", /names no credentials/],
    ["that is not there", "", /no profile "r"/],
  ])("%s is denied and says why", async (_what, config, why) => {
    const text = await refusedText(find({ ...(await files(config)), AWS_PROFILE: "r" }));
    expect(text).toMatch(why);
    expect(text).toContain('profile "r"');
  });

  test("runs its process in the environment that was passed", async () => {
    const environment = await files(
      '[default]\ncredential_process = printf \'{"Version":1,"AccessKeyId":"%s","SecretAccessKey":"s"}\' "$AWS_TEST_ID"\n',
    );
    const holder = await find({ ...environment, AWS_TEST_ID: "AKPROCESS" });
    expect(holder.identity).toEqual({ accessKeyId: "AKPROCESS", secretAccessKey: "s" });
  });

  test.each([
    ["fails", "echo double-secret; exit 3", /ended with 3/],
    ["gives no keys", "echo double-secret", /no AWS keys/i],
    [
      "gives keys that have expired",
      `printf '{"AccessKeyId":"a","SecretAccessKey":"s","Expiration":"2020-01-01T00:00:00Z"}'`,
      /expired already/,
    ],
  ])("whose process %s is denied without its output", async (_how, command, why) => {
    const environment = await files(`[default]\ncredential_process = ${command}\n`);
    expect(await refusedText(find(environment))).toMatch(why);
  });

  test("signs on with SSO for the role that it names", async () => {
    const asked: Asked[] = [];
    const endpoint = await serve((request) => {
      asked.push(request);
      const roleCredentials = {
        accessKeyId: "AKSSO",
        secretAccessKey: "s",
        sessionToken: "t",
        expiration: Date.now() + 3_600_000,
      };
      return { body: JSON.stringify({ roleCredentials }) };
    });
    const environment = await files(
      "[profile r]\nsso_session = corp\nsso_account_id = 123\nsso_role_name = reader\nregion = eu-west-1\n" +
        "[sso-session corp]\nsso_start_url = https://corp.example/start\nsso_region = eu-north-1\n",
    );
    const cache = join(home, ".aws", "sso", "cache");
    await mkdir(cache, { recursive: true });
    const name = createHash("sha1").update("corp").digest("hex");
    const token = { accessToken: "bearer", expiresAt: new Date(Date.now() + 3_600_000) };
    await writeFile(join(cache, `${name}.json`), JSON.stringify(token));
    const own = process.env["HOME"];
    process.env["HOME"] = home;
    try {
      const at = { ...environment, AWS_PROFILE: "r", AWS_ENDPOINT_URL_SSO: endpoint };
      expect((await find(at)).identity).toMatchObject({ accessKeyId: "AKSSO" });
      expect(asked.map(({ url }) => url)).toEqual([
        "/federation/credentials?account_id=123&role_name=reader",
      ]);
      expect(asked[0]?.headers["x-amz-sso_bearer_token"]).toBe("bearer");
      await rm(cache, { recursive: true });
      expect(await refusedText(find(at))).toMatch(/aws sso login/);
    } finally {
      process.env["HOME"] = own;
    }
  });

  test("whose server cannot be reached is unavailable", async () => {
    const environment = await files(
      "[profile r]\nrole_arn = arn:r\nsource_profile = s\n",
      "[s]\naws_access_key_id = A\naws_secret_access_key = S\n",
    );
    const at = { ...environment, AWS_PROFILE: "r", AWS_ENDPOINT_URL_STS: "http://127.0.0.1:9" };
    expect((await faultOf(find(at))).kind).toBe("unavailable");
  });
});

describe("a refusal", () => {
  test("names the source of the credentials and the right that is missing", async () => {
    const bucket = double.bucket("bucket");
    bucket.put("k", "bytes");
    const profile = await files(
      "",
      "[p]\naws_access_key_id = AKDOUBLE\naws_secret_access_key = double-secret\n",
    );
    const listed = await openListed();
    const refuse = { status: 403, code: "AccessDenied" };
    for (const [environment, source] of [
      [KEYS, "the environment"],
      [{ ...profile, AWS_PROFILE: "p" }, 'profile "p"'],
    ] as const) {
      double.upset({}, refuse, Infinity);
      const store = open(environment);
      const list = await refusedText(collect(store.list("s3://bucket/k", listOptions())));
      expect(list).toContain(source);
      expect(list).toContain("s3:ListBucket,");
      const get = await refusedText(readAll(store, entryOf(listed)));
      expect(get).toContain(source);
      expect(get).toContain("s3:GetObjectVersion,");
      const current = { ...entryOf(listed), pin: { etag: listed.pin.etag ?? "" } };
      expect(await refusedText(readAll(store, current))).toContain("s3:GetObject,");
      double.calm();
    }
  });

  test("has keys that were changed in their file read again, once", async () => {
    const write = (id: string) =>
      files("", `[default]\naws_access_key_id = ${id}\naws_secret_access_key = double-secret\n`);
    double.bucket("bucket").put("k", "bytes");
    const store = open(await write("AKDOUBLE"));
    const entry = entryOf(
      (await collect(store.list("s3://bucket/k", listOptions())))[0] ?? expect.fail(),
    );
    double.keys = { ...double.keys, accessKeyId: "AKROTATED" };
    await write("AKROTATED");
    double.requests.length = 0;
    const bodies = await Promise.all(Array.from({ length: 8 }, () => readAll(store, entry)));
    expect(new Set(bodies.map(String))).toEqual(new Set(["bytes"]));
    expect(new Set(double.requests.map(({ status }) => status))).toEqual(new Set([403, 200]));
    expect(double.requests.filter(({ status }) => status === 200)).toHaveLength(8);
  });

  test("that stays one is believed: no request of the next minute renews for it", async () => {
    double.bucket("bucket").put("k", "bytes");
    const environment = await files(
      "",
      "[default]\naws_access_key_id = AKDOUBLE\naws_secret_access_key = double-secret\n",
    );
    const store = open(environment);
    const entry = entryOf(
      (await collect(store.list("s3://bucket/k", listOptions())))[0] ?? expect.fail(),
    );
    double.upset({ operation: "GetObject" }, { status: 403, code: "AccessDenied" }, Infinity);
    const count = async (): Promise<number> => {
      double.requests.length = 0;
      await refusedText(readAll(store, entry));
      return double.requests.length;
    };
    expect(await count()).toBe(2);
    expect(await count()).toBe(1);
    double.calm();
    expect((await readAll(store, entry)).toString()).toBe("bytes");
  });
});
