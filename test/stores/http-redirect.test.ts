// Where redirects lead, where they may not, and what a request loses on its way; addresses that are
// never connected to; trust in certificates.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { once } from "node:events";
import { createServer } from "node:http";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { openHttpStore } from "../../src/stores/http/store.js";
import type { Environment, Listed } from "../../src/stores/store.js";
import type { Fault } from "../../src/model/fault.js";
import { entryOf, faultOf, listOptions, readAll } from "../contract/store.js";
import type { Certificate } from "../support/certificate.js";
import { makeCertificate } from "../support/certificate.js";
import type { HttpDouble } from "../support/http-double.js";
import { startHttpDouble } from "../support/http-double.js";

let home: string;
let certificate: Certificate;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "refmount-http-"));
  certificate = makeCertificate(home);
});
afterAll(() => rm(home, { recursive: true, force: true }));

let double: HttpDouble;
let other: HttpDouble;
beforeEach(async () => {
  double = await startHttpDouble();
  other = await startHttpDouble();
});
afterEach(async () => {
  await double[Symbol.asyncDispose]();
  await other[Symbol.asyncDispose]();
});

/** Looks at an object and reads it. */
async function read(
  uri: string,
  environment: Environment = {},
): Promise<{ readonly listed: Listed; readonly bytes: string }> {
  const store = openHttpStore(environment, { retryTimeoutMs: 0, connectTimeoutMs: 2_000 });
  try {
    const listed = await store.stat(uri, listOptions());
    return { listed, bytes: (await readAll(store, entryOf(listed))).toString() };
  } finally {
    await store.close();
  }
}

const refusal = (uri: string, environment: Environment = {}): Promise<Fault> =>
  faultOf(read(uri, environment));

describe("a redirect", () => {
  test.each([301, 302, 303, 307, 308])("%s is followed, the uri stays", async (status) => {
    double.redirect("/a", "/b/c", status);
    double.put("/b/c", "bytes", { etag: '"target"' });
    const { listed, bytes } = await read(`${double.origin}/a`);
    expect(bytes).toBe("bytes");
    expect(listed).toMatchObject({ uri: `${double.origin}/a`, key: "a", pin: { etag: "target" } });
    expect(double.requests.map(({ method, path }) => `${method} ${path}`)).toEqual([
      "HEAD /a",
      "HEAD /b/c",
      "GET /a",
      "GET /b/c",
    ]);
    expect(double.requests.at(-1)?.headers["if-match"]).toBe('"target"');
    // A connection is given back a moment after its answer was read, so there may be two of them.
    const store = openHttpStore({}, { retryTimeoutMs: 0 });
    double.requests.length = 0;
    for (let round = 0; round < 10; round++) await readAll(store, entryOf(listed));
    await store.close();
    expect(double.requests).toHaveLength(20);
    expect(new Set(double.requests.map(({ remotePort }) => remotePort)).size).toBeLessThan(3);
  });

  test("is followed ten times and no more", async () => {
    for (let hop = 0; hop < 11; hop++) double.redirect(`/${hop}`, `${hop + 1}`);
    double.put("/11", "bytes");
    expect((await read(`${double.origin}/1`)).bytes).toBe("bytes");
    const fault = await refusal(`${double.origin}/0`);
    expect([fault.kind, fault.message]).toEqual(["denied", expect.stringContaining("10 times")]);
  });

  test("in a circle is not followed round", async () => {
    double.redirect("/a", "/b");
    double.redirect("/b", "/a");
    const fault = await refusal(`${double.origin}/a`);
    expect([fault.kind, fault.message]).toEqual(["denied", expect.stringContaining("circle")]);
    expect(double.requests).toHaveLength(2);
  });

  test.each([
    ["file:///etc/passwd", /to a file: address/],
    ["ftp://127.0.0.1/a", /to a ftp: address/],
    ["data:text/plain,secret", /to a data: address/],
    ["http://", /to no address/],
    ["//:0", /to no address/],
  ])("to %s is refused", async (location, why) => {
    double.redirect("/a", location);
    const fault = await refusal(`${double.origin}/a`);
    expect(fault).toMatchObject({ kind: "denied", subject: `${double.origin}/a` });
    expect(fault.message).toMatch(why);
  });

  test("without an address is no object", async () => {
    double.upset({}, { status: 302 }, Infinity);
    expect((await refusal(`${double.origin}/a`)).kind).toBe("denied");
  });

  test("that leads to a signed link shows nothing of it, whatever becomes of it", async () => {
    const signed = `${other.origin}/path-s3cret?X-Amz-Signature=s3cret#s3cret`;
    double.redirect("/a", signed);
    other.put("/path-s3cret?X-Amz-Signature=s3cret", "bytes", {
      headers: { "content-encoding": "x" },
    });
    const options = listOptions();
    const store = openHttpStore({}, { retryTimeoutMs: 0, stallTimeoutMs: 200 });
    const listed = await store.stat(`${double.origin}/a`, options);
    expect(JSON.stringify([listed, options.notices])).not.toContain("s3cret");
    const accidents = [
      ...[401, 404, 412, 416, 500].map((status) => ({ status })),
      ...[{ silent: true }, { resetAfterBytes: 1 }, { shortByBytes: 1 }, { longByBytes: 1 }],
      { headers: { etag: '"another"' } },
    ];
    for (const accident of accidents) {
      other.upset({}, accident);
      const fault = await faultOf(readAll(store, entryOf(listed)));
      expect(JSON.stringify([fault, String(fault.cause)])).not.toContain("s3cret");
      expect(fault.subject).toBe(`${double.origin}/a`);
    }
    other.redirect("/path-s3cret?X-Amz-Signature=s3cret", "file:///s3cret");
    const fault = await faultOf(readAll(store, entryOf(listed)));
    expect(JSON.stringify(fault)).not.toContain("s3cret");
    await store.close();
  });
});

describe("credentials", () => {
  const secrets = (): Environment => ({
    REFMOUNT_HTTP_HEADERS: JSON.stringify({
      [double.origin]: { Authorization: "Bearer s3cret", Cookie: "a=s3cret", "X-Key": "s3cret" },
      [other.origin]: { Authorization: "Bearer of-other" },
      "*": { "X-Everywhere": "s3cret" },
    }),
  });

  test("go along with a redirect within their origin", async () => {
    double.guard("/", { authorization: "Bearer s3cret", cookie: "a=s3cret", "x-key": "s3cret" });
    double.redirect("/a", "/b");
    double.put("/b", "bytes");
    expect((await read(`${double.origin}/a`, secrets())).bytes).toBe("bytes");
  });

  test("do not leave their origin, nor come back from another", async () => {
    double.redirect("/a", `${other.origin}/b`);
    other.redirect("/b", "/b2");
    other.redirect("/b2", `${double.origin}/c`);
    double.put("/c", "bytes");
    expect((await read(`${double.origin}/a`, secrets())).bytes).toBe("bytes");
    const [first, last] = [double.requests[0], double.requests[1]];
    expect(first?.headers.authorization).toBe("Bearer s3cret");
    expect(JSON.stringify([last?.headers, other.requests])).not.toMatch(/s3cret|of-other/);
    expect(last?.path).toBe("/c");
    expect(other.requests[0]?.headers["user-agent"]).toBe("refmount");
  });

  test("of .netrc do not either, though the host is the same", async () => {
    double.redirect("/a", `${other.origin}/b`);
    other.put("/b", "bytes");
    const environment = { NETRC: join(home, "netrc") };
    await writeFile(environment.NETRC, "machine 127.0.0.1 login me password s3cret");
    expect((await read(`${double.origin}/a`, environment)).bytes).toBe("bytes");
    expect(double.requests[0]?.headers.authorization).toMatch(/^Basic /);
    expect(other.requests.map(({ headers }) => headers.authorization)).toEqual([
      undefined,
      undefined,
    ]);
  });

  test("that are missed at the other origin are explained", async () => {
    double.redirect("/a", `${other.origin}/b`);
    other.guard("/", { authorization: "Bearer of-other" });
    other.put("/b", "bytes");
    const fault = await refusal(`${double.origin}/a`, secrets());
    expect(fault).toMatchObject({ kind: "denied", subject: `${double.origin}/a` });
    expect(fault.message).toContain(
      `it redirects to ${other.origin}, where no credentials are sent`,
    );
  });
});

describe("addresses", () => {
  test.each([
    "http://169.254.169.254/latest/meta-data/iam",
    "http://2852039166/latest",
    "http://[::ffff:169.254.169.254]/latest",
    "http://[fd00:ec2::254]/latest",
    "http://[fe80::1]/a",
    "http://metadata.google.internal/computeMetadata/v1",
    "https://METADATA.google.internal./a",
  ])("%s is never asked, by a uri or by a redirect", async (uri) => {
    double.redirect("/a", uri);
    for (const asked of [uri, `${double.origin}/a`]) {
      const fault = await refusal(asked);
      expect(fault.kind).toBe("denied");
      expect(fault.message).toMatch(/not connected to: it is link-local/);
    }
  });

  describe("from a host that a proxy knows", () => {
    let proxy: Server;
    let environment: Environment;
    let location: string;
    const asked: string[] = [];
    beforeEach(async () => {
      asked.length = 0;
      proxy = createServer((request, response) => {
        asked.push(request.url ?? "");
        response.statusCode = 302;
        response.setHeader("location", location);
        response.end();
      }).listen(0, "127.0.0.1");
      await once(proxy, "listening");
      environment = { http_proxy: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}` };
    });
    afterEach(() => {
      proxy.closeAllConnections();
      proxy.close();
    });

    test("this machine is not reached, by address or by name", async () => {
      double.put("/b", "bytes");
      for (const host of ["127.0.0.1", "localhost", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]"]) {
        location = `http://${host}:${double.port}/b`;
        const fault = await refusal("http://public.test/a", environment);
        expect(fault).toMatchObject({ kind: "denied", subject: "http://public.test/a" });
        expect(fault.message).toMatch(/may not lead to this machine/);
      }
      expect(double.requests).toEqual([]);
      expect(asked).toContain("http://public.test/a");
    });

    test("nor over a connection that was kept from an earlier request", async () => {
      double.put("/b", "bytes");
      location = `http://localhost:${double.port}/b`;
      const store = openHttpStore(environment, { retryTimeoutMs: 0 });
      await store.stat(location, listOptions());
      const fault = await faultOf(store.stat("http://public.test/a", listOptions()));
      expect(fault.message).toMatch(/may not lead to this machine/);
      expect(double.requests).toHaveLength(1);
      await store.close();
    });

    test("nor a metadata service, whose name the proxy would look up", async () => {
      location = "http://metadata.google.internal/computeMetadata/v1";
      const fault = await refusal("http://public.test/a", environment);
      expect(fault.message).toMatch(/metadata service/);
      expect(asked).toEqual(["http://public.test/a"]);
    });
  });
});

describe("https", () => {
  let secure: HttpDouble;
  beforeEach(async () => {
    secure = await startHttpDouble(certificate);
    secure.put("/a", "over TLS");
  });
  afterEach(() => secure[Symbol.asyncDispose]());

  test("is read where its certificate is trusted, and denied where it is not", async () => {
    const trusted = { SSL_CERT_FILE: certificate.certPath };
    expect((await read(`${secure.origin}/a`, trusted)).bytes).toBe("over TLS");
    const named = secure.origin.replace("127.0.0.1", "localhost");
    expect((await read(`${named}/a`, trusted)).bytes).toBe("over TLS");
    secure.requests.length = 0;
    const fault = await refusal(`${secure.origin}/a`);
    expect([fault.kind, fault.message]).toEqual([
      "denied",
      expect.stringContaining("SSL_CERT_FILE"),
    ]);
    expect(secure.requests).toEqual([]);
  });

  test("is where http may lead, and does not lead back to http", async () => {
    const trusted = { SSL_CERT_FILE: certificate.certPath };
    double.redirect("/a", `${secure.origin}/a`);
    expect((await read(`${double.origin}/a`, trusted)).bytes).toBe("over TLS");
    secure.redirect("/down", `${double.origin}/b`);
    double.put("/b", "bytes");
    const fault = await refusal(`${secure.origin}/down`, trusted);
    expect([fault.kind, fault.message]).toEqual(["denied", expect.stringContaining("from https:")]);
  });

  test("asked of a port that speaks http is denied, http of one that speaks TLS is no answer", async () => {
    const fault = await refusal(`${double.origin.replace("http", "https")}/a`);
    expect(fault.kind).toBe("denied");
    const plain = await refusal(`${secure.origin.replace("https", "http")}/a`);
    expect(["denied", "unavailable"]).toContain(plain.kind);
  });
});
