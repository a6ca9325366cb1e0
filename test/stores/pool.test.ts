// Which way a request goes: direct, or through the proxy that the environment names.

import { createServer } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { openPool } from "../../src/stores/pool.js";
import { send } from "../../src/stores/transfer.js";
import type { Environment } from "../../src/stores/store.js";
import { GoogleHosts } from "../support/google-hosts.js";

function proxied(environment: Environment, url: string): boolean {
  const pool = openPool(environment);
  const { protocol, hostname, port } = new URL(url);
  const agent = pool.agentFor({
    protocol,
    hostname,
    port: port === "" ? undefined : Number(port),
  });
  pool.close();
  return agent.constructor.name.includes("Proxy");
}

test.each([
  [{}, "http://a.test/", false],
  [{ http_proxy: "http://p:1" }, "http://a.test/", true],
  [{ http_proxy: "http://p:1" }, "https://a.test/", false],
  [{ HTTPS_PROXY: "p:1" }, "https://a.test/", true],
  [{ ALL_PROXY: "http://p:1" }, "https://a.test/", true],
  [{ https_proxy: "http://p:1", no_proxy: "a.test" }, "https://a.test/", false],
  [{ https_proxy: "http://p:1", no_proxy: "a.test" }, "https://b.a.test/", false],
  [{ https_proxy: "http://p:1", no_proxy: "a.test" }, "https://ba.test/", true],
  [{ https_proxy: "http://p:1", no_proxy: "x, .a.test" }, "https://b.A.test/", false],
  [{ https_proxy: "http://p:1", no_proxy: "*.a.test" }, "https://b.a.test/", false],
  [{ https_proxy: "http://p:1", no_proxy: "a.test:443" }, "https://a.test/", false],
  [{ https_proxy: "http://p:1", no_proxy: "a.test:8443" }, "https://a.test/", true],
  [{ https_proxy: "http://p:1", NO_PROXY: "*" }, "https://a.test/", false],
  [{ http_proxy: "http://p:1", no_proxy: "10.1.2.3,fd00::1" }, "http://10.1.2.3/", false],
  [{ http_proxy: "http://p:1", no_proxy: "10.1.2.3,fd00::1" }, "http://[fd00::1]/", false],
  [{ http_proxy: "http://p:1" }, "http://127.0.0.1:9/", false],
  [{ http_proxy: "http://p:1" }, "http://localhost/", false],
])("%j sends %s through the proxy: %s", (environment, url, expected) => {
  expect(proxied(environment, url)).toBe(expected);
});

test("a request for a host that only the proxy knows is answered by it", async () => {
  const seen: string[] = [];
  const proxy = createServer((request, response) => {
    seen.push(request.url ?? "");
    response.end("from afar");
  }).listen(0, "127.0.0.1");
  await once(proxy, "listening");
  const pool = openPool({
    http_proxy: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
  });
  try {
    const transfer = await send(
      {
        method: "GET",
        protocol: "http:",
        hostname: "store.test",
        port: undefined,
        path: "/object?version=1",
        headers: {},
        subject: "http://store.test/object",
      },
      pool,
      { connectTimeoutMs: 5_000, stallTimeoutMs: 5_000 },
      new AbortController().signal,
    );
    expect((await transfer.read())?.toString()).toBe("from afar");
    expect(seen).toEqual(["http://store.test/object?version=1"]);
  } finally {
    pool.close();
    proxy.close();
  }
});

test("an authority that the environment names is trusted behind a proxy, too", async () => {
  await using google = await GoogleHosts.start((_request, response) => {
    response.end("from afar");
  });
  const ask = async (environment: Environment): Promise<string | undefined> => {
    const pool = openPool(environment);
    const transfer = await send(
      {
        method: "GET",
        protocol: "https:",
        hostname: "storage.googleapis.com",
        port: undefined,
        path: "/",
        headers: {},
        subject: "an object",
      },
      pool,
      { connectTimeoutMs: 5_000, stallTimeoutMs: 5_000 },
      new AbortController().signal,
    ).finally(() => pool.close());
    return (await transfer.read())?.toString();
  };
  await expect(ask({ ...google.environment, SSL_CERT_FILE: "" })).rejects.toThrow(/No trusted TLS/);
  expect(await ask(google.environment)).toBe("from afar");
});

test("a proxy that is no address is refused without repeating it", () => {
  expect(() => openPool({ https_proxy: "socks5://user:secret@p:1" })).toThrow(
    "https_proxy must name an http:// or https:// proxy",
  );
});

test("a proxy's password with a bare % is refused without repeating it", () => {
  expect(() => openPool({ https_proxy: "http://user:100%25@p:1" })).not.toThrow();
  expect(() => openPool({ all_proxy: "http://user:100%@p:1" })).toThrow(
    "all_proxy must have its user and password percent-encoded (% as %25)",
  );
});

test("closing ends idle connections at once, and one in use when its transfer is over", async () => {
  let finish = (): void => undefined;
  const closed: Promise<unknown>[] = [];
  const server = createServer((request, response) => {
    if (request.url !== "/held") {
      response.end("done");
      return;
    }
    response.write("first ");
    finish = () => response.end("last");
  }).listen(0, "127.0.0.1");
  server.on("connection", (socket) => void closed.push(once(socket, "close")));
  await once(server, "listening");
  const pool = openPool({});
  const get = (path: string): ReturnType<typeof send> =>
    send(
      {
        method: "GET",
        protocol: "http:",
        hostname: "127.0.0.1",
        port: (server.address() as AddressInfo).port,
        path,
        headers: {},
        subject: path,
      },
      pool,
      { connectTimeoutMs: 5_000, stallTimeoutMs: 5_000 },
      new AbortController().signal,
    );
  try {
    const held = await get("/held");
    expect((await held.read())?.toString()).toBe("first ");
    const idle = await get("/idle");
    while ((await idle.read()) !== null);
    pool.close();
    await closed[1];
    finish();
    expect((await held.read())?.toString()).toBe("last");
    expect(await held.read()).toBeNull();
    await closed[0];
    expect(closed).toHaveLength(2);
  } finally {
    pool.close();
    server.close();
  }
});
