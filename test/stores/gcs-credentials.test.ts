// Whose credentials are sent to Google, where they come from, and what happens when they end or are
// refused. Google's hosts are a double behind a proxy, so that the libraries really ask them.

import { generateKeyPairSync } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { inspect } from "node:util";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import type { Fault } from "../../src/model/fault.js";
import { openGcsStore } from "../../src/stores/gcs/store.js";
import type { Environment, Listed, Store, StoreOptions } from "../../src/stores/store.js";
import { collect, entryOf, faultOf, listOptions, readAll } from "../contract/store.js";
import type { GcsBucket, GcsDouble } from "../support/gcs-double.js";
import { startGcsDouble } from "../support/gcs-double.js";
import { GoogleHosts } from "../support/google-hosts.js";

const ACCOUNT = "reader@project.iam.gserviceaccount.com";
const SCOPE = "https://www.googleapis.com/auth/devstorage.read_only";
const KEYS = generateKeyPairSync("rsa", { modulusLength: 2048 });
const PRIVATE_KEY = KEYS.privateKey.export({ type: "pkcs8", format: "pem" });
const IMPERSONATE = `https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/${ACCOUNT}:generateAccessToken`;

const SERVICE_ACCOUNT = {
  type: "service_account",
  project_id: "project",
  private_key_id: "1",
  private_key: PRIVATE_KEY,
  client_email: ACCOUNT,
  token_uri: "https://oauth2.googleapis.com/token",
};
const USER = {
  type: "authorized_user",
  client_id: "client",
  client_secret: "client-secret",
  refresh_token: "refresh-secret",
};

let double: GcsDouble;
let data: GcsBucket;
let google: GoogleHosts;
let home: string;
const stores: Store[] = [];

beforeAll(async () => {
  google = await GoogleHosts.start((request, response) => double.handle(request, response));
});
beforeEach(async () => {
  double = await startGcsDouble();
  double.asksForTokens = true;
  double.tokens.accounts.set(ACCOUNT, KEYS.publicKey);
  double.tokens.refreshTokens.add("refresh-secret");
  data = double.bucket("data");
  data.put("k", "bytes");
  google.connected.length = 0;
  home = await mkdtemp(join(tmpdir(), "refmount-gcs-"));
});
afterEach(async () => {
  for (const store of stores.splice(0)) await store.close();
  await double[Symbol.asyncDispose]();
  await rm(home, { recursive: true });
  vi.useRealTimers();
});
afterAll(async () => {
  await google[Symbol.asyncDispose]();
});

function write(name: string, content: object | string): string {
  const path = join(home, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
  return path;
}

/** A store for whoever has these credentials in GOOGLE_APPLICATION_CREDENTIALS, and these variables. */
function openWith(
  credentials: object | null,
  more: Environment = {},
  options: StoreOptions = {},
): Store {
  const named =
    credentials === null
      ? {}
      : { GOOGLE_APPLICATION_CREDENTIALS: write("credentials.json", credentials) };
  const environment = { ...google.environment, HOME: home, ...named, ...more };
  const store = openGcsStore(environment, { retryTimeoutMs: 0, ...options });
  stores.push(store);
  return store;
}

async function read(from: Store, uri = "gs://data/k"): Promise<string> {
  const [listed] = await collect(from.list(uri, listOptions()));
  return (await readAll(from, entryOf(listed ?? expect.fail("nothing listed")))).toString();
}

const list = (from: Store, uri = "gs://data/k"): Promise<Listed[]> =>
  collect(from.list(uri, listOptions()));
const kinds = (): string[] => double.tokens.grants.map(({ kind }) => kind);
const MAY_NOT_READ = { status: 403, reason: "forbidden" };

describe("Application Default Credentials", () => {
  test("a service account's key signs for a token that may only read, for all requests", async () => {
    expect(await read(openWith(SERVICE_ACCOUNT))).toBe("bytes");
    expect(double.tokens.grants).toMatchObject([{ kind: "jwt", principal: ACCOUNT, scope: SCOPE }]);
    const asked = double.requests.filter(({ operation }) => operation !== "token");
    expect(asked.map(({ token }) => token)).toEqual(
      Array(2).fill(double.tokens.grants[0]?.token) as string[],
    );
    expect(new Set(google.connected)).toEqual(
      new Set(["www.googleapis.com", "storage.googleapis.com"]),
    );
  });

  test("a user's refresh token, from gcloud's own file in HOME or CLOUDSDK_CONFIG", async () => {
    write(".config/gcloud/application_default_credentials.json", USER);
    expect(await read(openWith(null))).toBe("bytes");
    const config = dirname(
      write("elsewhere/application_default_credentials.json", SERVICE_ACCOUNT),
    );
    expect(await read(openWith(null, { CLOUDSDK_CONFIG: config }))).toBe("bytes");
    expect(kinds()).toEqual(["refresh", "jwt"]);
  });

  test("GOOGLE_APPLICATION_CREDENTIALS wins over gcloud's file", async () => {
    write(".config/gcloud/application_default_credentials.json", USER);
    expect(await read(openWith(SERVICE_ACCOUNT))).toBe("bytes");
    expect(kinds()).toEqual(["jwt"]);
  });

  test("a workload's identity, its token from a file", async () => {
    double.tokens.subjectTokens.add("subject-secret");
    const file = write("subject", "subject-secret");
    const external = {
      type: "external_account",
      audience:
        "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
      subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
      token_url: "https://sts.googleapis.com/v1/token",
      credential_source: { file },
    };
    expect(await read(openWith(external))).toBe("bytes");
    expect(double.tokens.grants).toMatchObject([{ kind: "exchange", scope: SCOPE }]);
    expect(google.connected).toContain("sts.googleapis.com");
    double.tokens.grants.length = 0;
    const impersonating = { ...external, service_account_impersonation_url: IMPERSONATE };
    expect(await read(openWith(impersonating))).toBe("bytes");
    expect(double.tokens.grants).toMatchObject([
      { kind: "exchange" },
      { kind: "impersonation", principal: ACCOUNT, scope: SCOPE },
    ]);
  });

  test("a workload's identity on AWS, with the AWS credentials of the environment", async () => {
    const external = {
      type: "external_account",
      audience:
        "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/a",
      subject_token_type: "urn:ietf:params:aws:token-type:aws4_request",
      token_url: "https://sts.googleapis.com/v1/token",
      credential_source: {
        environment_id: "aws1",
        regional_cred_verification_url:
          "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15",
      },
    };
    const aws = {
      AWS_ACCESS_KEY_ID: "AKTEST",
      AWS_SECRET_ACCESS_KEY: "aws-secret",
      AWS_REGION: "eu-west-1",
    };
    expect(await read(openWith(external, aws))).toBe("bytes");
    expect(kinds()).toEqual(["exchange"]);
  });

  test("another account that a user or an account may speak for", async () => {
    for (const source of [USER, SERVICE_ACCOUNT]) {
      double.tokens.grants.length = 0;
      const impersonated = {
        type: "impersonated_service_account",
        service_account_impersonation_url: IMPERSONATE,
        source_credentials: source,
        delegates: [],
      };
      expect(await read(openWith(impersonated))).toBe("bytes");
      expect(double.tokens.grants.at(-1)).toMatchObject({
        kind: "impersonation",
        principal: ACCOUNT,
        scope: SCOPE,
      });
      expect(double.tokens.grants).toHaveLength(2);
    }
  });

  test("the machine's service account, where GCE_METADATA_HOST says to ask", async () => {
    expect(await read(openWith(null, { GCE_METADATA_HOST: double.host }))).toBe("bytes");
    expect(kinds()).toEqual(["machine"]);
    const asked = double.requests.find(({ operation }) => operation === "machine");
    expect(asked?.headers["metadata-flavor"]).toBe("Google");
    expect(google.connected).not.toContain("127.0.0.1");
  });

  test("a machine without a service account is nobody", async () => {
    double.tokens.machineHasAccount = false;
    data.isPublic = true;
    expect(await read(openWith(null, { GCE_METADATA_HOST: double.host }))).toBe("bytes");
  });

  test("nothing at all reads public buckets, and is told what to give for others", async () => {
    data.isPublic = true;
    double.bucket("secret").put("k", "x");
    const anonymous = openWith(null);
    expect(await read(anonymous)).toBe("bytes");
    const fault = await faultOf(list(anonymous, "gs://secret/k"));
    expect([fault.kind, fault.message]).toEqual([
      "denied",
      expect.stringMatching(
        /no credentials were found: set GOOGLE_APPLICATION_CREDENTIALS.*gcloud auth.*storage\.objects\.list/,
      ),
    ]);
    expect(double.tokens.grants).toEqual([]);
    // Whoever logs in later needs no other store.
    write(".config/gcloud/application_default_credentials.json", USER);
    expect(await list(anonymous, "gs://secret/k")).toHaveLength(1);
  });

  test("an emulator is sent no credentials, and nobody is asked for any", async () => {
    double.asksForTokens = false;
    expect(await read(openWith(SERVICE_ACCOUNT, double.environment))).toBe("bytes");
    expect(await read(openWith(null, { STORAGE_EMULATOR_HOST: double.host }))).toBe("bytes");
    const withPath = { STORAGE_EMULATOR_HOST: `http://${double.host}/storage/v1/` };
    expect(await read(openWith(null, withPath))).toBe("bytes");
    expect(double.tokens.grants).toEqual([]);
    expect(double.requests.every(({ token }) => token === undefined)).toBe(true);
    for (const address of ["ftp://x", "http://user:secret@host", "http://x?y=secret", "http://"]) {
      const fault = await faultOf(list(openWith(null, { STORAGE_EMULATOR_HOST: address })));
      expect([fault.kind, fault.message]).toEqual([
        "usage",
        expect.stringContaining("STORAGE_EMULATOR_HOST"),
      ]);
      expect(fault.message).not.toContain("secret");
    }
  });

  test("what this process has in its own environment does not count", async () => {
    const own = { ...process.env };
    try {
      Object.assign(process.env, {
        GOOGLE_APPLICATION_CREDENTIALS: "/nowhere",
        STORAGE_EMULATOR_HOST: "http://127.0.0.1:9",
        GCE_METADATA_HOST: "127.0.0.1:9",
        GOOGLE_CLOUD_QUOTA_PROJECT: "own",
        HTTPS_PROXY: "http://127.0.0.1:9",
        https_proxy: "http://127.0.0.1:9",
        AWS_REGION: "own",
      });
      expect(await read(openWith(USER))).toBe("bytes");
      expect(double.requests.some(({ query }) => query.has("userProject"))).toBe(false);
    } finally {
      process.env = own;
    }
  });
});

describe("tokens", () => {
  test("are asked for once by however many requests at once, and kept", async () => {
    const reader = openWith(SERVICE_ACCOUNT);
    const all = await Promise.all(Array.from({ length: 20 }, () => read(reader)));
    expect(new Set(all)).toEqual(new Set(["bytes"]));
    expect(kinds()).toEqual(["jwt"]);
  });

  test("are renewed before they end", async () => {
    const reader = openWith(SERVICE_ACCOUNT);
    await read(reader);
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 3_300_000 });
    await read(reader);
    expect(kinds()).toEqual(["jwt"]);
    vi.setSystemTime(Date.now() + 100_000);
    double.tokens.clockOffsetSeconds = 0;
    await read(reader);
    expect(kinds()).toEqual(["jwt", "jwt"]);
  });

  test("that were revoked are renewed once, by however many requests", async () => {
    const reader = openWith(SERVICE_ACCOUNT);
    const [listed] = await list(reader);
    const entry = entryOf(listed ?? expect.fail("nothing listed"));
    double.tokens.revoke();
    const bodies = await Promise.all(Array.from({ length: 20 }, () => readAll(reader, entry)));
    expect(new Set(bodies.map(String))).toEqual(new Set(["bytes"]));
    expect(kinds()).toEqual(["jwt", "jwt"]);
    // Later again, too.
    double.tokens.revoke();
    expect((await readAll(reader, entry)).toString()).toBe("bytes");
    expect(kinds()).toHaveLength(3);
  });

  test("are renewed from the file as it is by then", async () => {
    const reader = openWith(USER);
    await read(reader);
    double.tokens.revoke();
    write("credentials.json", SERVICE_ACCOUNT);
    await read(reader);
    expect(kinds()).toEqual(["refresh", "jwt"]);
  });
});

describe("refusals", () => {
  test("401 for a new token, too, is denied and names the credentials", async () => {
    const reader = openWith(SERVICE_ACCOUNT);
    double.upset({ operation: "list" }, { status: 401, reason: "authError" }, Infinity);
    const fault = await faultOf(list(reader));
    expect([fault.kind, fault.message]).toEqual([
      "denied",
      `Cannot list gs://data/k: access was refused; service account ${ACCOUNT} ` +
        "(GOOGLE_APPLICATION_CREDENTIALS) needs storage.objects.list and storage.objects.get (401 authError)",
    ]);
    expect(double.counts()).toMatchObject({ list: 2, token: 2 });
  });

  test("403 is tried with one new token, and no more for every file that may not be read", async () => {
    const reader = openWith(USER);
    const [listed] = await list(reader);
    const entry = entryOf(listed ?? expect.fail("nothing listed"));
    double.upset({ operation: "media" }, MAY_NOT_READ, Infinity);
    for (let round = 0; round < 3; round++) {
      const fault = await faultOf(readAll(reader, entry));
      expect([fault.kind, fault.message]).toEqual([
        "denied",
        expect.stringMatching(/the user who logged in with gcloud.* needs storage\.objects\.get/),
      ]);
    }
    expect(kinds()).toEqual(["refresh", "refresh"]);
    double.calm();
    double.tokens.revoke();
    expect((await readAll(reader, entry)).toString()).toBe("bytes");
  });

  const external = { type: "external_account", audience: "a", subject_token_type: "t" };
  const executable = { executable: { command: "/bin/true" } };
  test.each([
    ["nothing", "", /no JSON/],
    ["half a key", '{"private_key": "hush', /no JSON/],
    ["a type that is not known", { type: "other" }, /type are not known/],
    ["no type", {}, /type are not known/],
    ["an account without a key", { type: "service_account", client_email: "x" }, /private_key/],
    ["a key that is none", { ...SERVICE_ACCOUNT, private_key: "hush" }, /give no access/],
    ["a user without a token", { type: "authorized_user", client_id: "x" }, /client_secret/],
    ["an executable", { ...external, credential_source: executable }, /executable/],
    ["a source that is none", { ...external, credential_source: {} }, /credential_source/],
  ])("a file that holds %s is denied, and is not passed over", async (_what, content, message) => {
    data.isPublic = true;
    const path = write("file.json", content);
    const reader = openWith(null, { GOOGLE_APPLICATION_CREDENTIALS: path });
    const fault = await faultOf(list(reader));
    expect([fault.kind, fault.message]).toEqual(["denied", expect.stringMatching(message)]);
    expect(fault.message).toContain("GOOGLE_APPLICATION_CREDENTIALS");
    expect(JSON.stringify([fault, fault.message, fault.cause])).not.toContain("hush");
  });

  test("a file that is not there is denied and named", async () => {
    const reader = openWith(null, { GOOGLE_APPLICATION_CREDENTIALS: "/nowhere/key.json" });
    const fault = await faultOf(list(reader));
    expect([fault.kind, fault.message]).toEqual([
      "denied",
      expect.stringMatching(/\/nowhere\/key\.json .*ENOENT/),
    ]);
  });

  test("an account that was deleted, or a login that was revoked, is denied with the reason", async () => {
    double.tokens.accounts.clear();
    expect((await faultOf(list(openWith(SERVICE_ACCOUNT)))).message).toMatch(
      /service account reader.*give no access: invalid_grant.*account not found/,
    );
    double.tokens.refreshTokens.clear();
    expect((await faultOf(list(openWith(USER)))).message).toMatch(/expired or revoked/);
  });

  test("a wrong clock is named", async () => {
    double.tokens.clockOffsetSeconds = 7_200;
    const fault = await faultOf(list(openWith(SERVICE_ACCOUNT)));
    expect([fault.kind, fault.message]).toEqual([
      "denied",
      expect.stringContaining("this machine's clock is wrong; set it"),
    ]);
  });

  test("a token endpoint that fails or breaks off is unavailable, and asked again", async () => {
    // The library only notices by its deadline that an answer broke off.
    const reader = openWith(SERVICE_ACCOUNT, {}, { stallTimeoutMs: 1_000 });
    double.upset({ operation: "token" }, { status: 503, headers: { "retry-after": "2" } });
    const failing = await faultOf(list(reader));
    expect([failing.kind, failing.retryAfterMs]).toEqual(["unavailable", 2_000]);
    double.upset({ operation: "token" }, { resetAfterBytes: 0 });
    expect((await faultOf(list(reader))).kind).toBe("unavailable");
    expect(double.counts().token).toBe(2);
    expect(await list(reader)).toHaveLength(1);
  });

  test("a token endpoint that does not answer is given up", async () => {
    double.upset({ operation: "token" }, { silent: true });
    const fault = await faultOf(list(openWith(SERVICE_ACCOUNT, {}, { stallTimeoutMs: 200 })));
    expect([fault.kind, fault.message]).toEqual(["unavailable", expect.stringMatching(/in time/)]);
  });

  test("a metadata server that fails is unavailable, one that is none is denied", async () => {
    const reader = openWith(null, { GCE_METADATA_HOST: double.host });
    double.upset({ operation: "machine" }, { status: 503 });
    expect((await faultOf(list(reader))).kind).toBe("unavailable");
    double.upset({ operation: "machine" }, { text: "<html>" });
    expect((await faultOf(list(reader))).kind).toBe("denied");
    double.upset({ operation: "machine" }, { headers: { "metadata-flavor": "Other" } });
    expect((await faultOf(list(reader))).kind).toBe("denied");
    expect(await list(reader)).toHaveLength(1);
    const gone = openWith(null, { GCE_METADATA_HOST: "127.0.0.1:9" });
    expect((await faultOf(list(gone))).kind).toBe("unavailable");
    const broken = openWith(null, { GCE_METADATA_HOST: "a b" });
    expect((await faultOf(list(broken))).kind).toBe("usage");
  });

  test("an authority that is not trusted is denied, and no token is sent", async () => {
    const reader = openWith(SERVICE_ACCOUNT, { SSL_CERT_FILE: "" });
    expect((await faultOf(list(reader))).kind).toBe("denied");
    expect(double.requests).toEqual([]);
  });

  test("no secret is in a fault, its cause included", async () => {
    double.tokens.accounts.clear();
    double.tokens.refreshTokens.clear();
    for (const credentials of [SERVICE_ACCOUNT, USER]) {
      const fault = await faultOf(list(openWith(credentials)));
      expect(everythingIn(fault)).not.toMatch(/secret|PRIVATE KEY|assertion|eyJ/);
    }
    const nobody = { https_proxy: "http://127.0.0.1:9" };
    for (const credentials of [SERVICE_ACCOUNT, USER]) {
      const fault = await faultOf(list(openWith(credentials, nobody)));
      expect(fault.kind).toBe("unavailable");
      expect(everythingIn(fault)).not.toMatch(/secret|PRIVATE KEY|assertion|eyJ/);
    }
    double.tokens.accounts.set(ACCOUNT, KEYS.publicKey);
    double.upset({ operation: "list" }, MAY_NOT_READ, Infinity);
    const fault = await faultOf(list(openWith(SERVICE_ACCOUNT)));
    expect(everythingIn(fault)).not.toMatch(/ya29|PRIVATE KEY|Bearer/);
  });
});

describe("buckets whose requester pays", () => {
  beforeEach(() => {
    data.requesterPays = true;
  });

  test("are billed to GOOGLE_CLOUD_QUOTA_PROJECT, which other buckets never see", async () => {
    double.bucket("free").put("k", "free");
    const reader = openWith(SERVICE_ACCOUNT, { GOOGLE_CLOUD_QUOTA_PROJECT: "payer" });
    expect(await read(reader)).toBe("bytes");
    expect(await read(reader, "gs://free/k")).toBe("free");
    const projects = double.requests
      .filter(({ operation }) => operation === "list" || operation === "media")
      .map(({ bucket, query }) => `${bucket} ${query.get("userProject") ?? "-"}`);
    expect(projects).toEqual(["data -", "data payer", "data payer", "free -", "free -"]);
  });

  test("are billed to the project that the credentials name", async () => {
    expect(await read(openWith({ ...USER, quota_project_id: "payer" }))).toBe("bytes");
  });

  test("are denied where no project is named, GOOGLE_CLOUD_PROJECT or not", async () => {
    const reader = openWith(SERVICE_ACCOUNT, { GOOGLE_CLOUD_PROJECT: "other" });
    const fault = await faultOf(list(reader));
    expect([fault.kind, fault.message]).toEqual([
      "denied",
      expect.stringContaining("set GOOGLE_CLOUD_QUOTA_PROJECT"),
    ]);
  });

  test("a project that may not be billed is denied with the right that is missing", async () => {
    const reader = openWith(SERVICE_ACCOUNT, { GOOGLE_CLOUD_QUOTA_PROJECT: "payer" });
    await list(reader);
    double.upset(
      { operation: "list" },
      { status: 403, reason: "userProjectAccessDenied" },
      Infinity,
    );
    const fault = await faultOf(list(reader));
    expect([fault.kind, fault.message]).toEqual([
      "denied",
      expect.stringContaining("serviceusage.services.use"),
    ]);
  });
});

/** A fault with every cause, as a log might print it. */
function everythingIn(fault: Fault): string {
  return inspect(fault, { depth: 10, showHidden: true });
}
