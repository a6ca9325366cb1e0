// What becomes of a request to an https host whose proxy does not open the way to it.

import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { request as httpsRequest } from "node:https";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openPool } from "../../src/stores/pool.js";
import { openStores } from "../../src/stores/schemes.js";
import type { Environment } from "../../src/stores/store.js";
import { send, type Transfer } from "../../src/stores/transfer.js";
import { ProxyTunnel } from "../../src/stores/tunnel.js";
import { collect, faultOf, listOptions } from "../contract/store.js";
import { RawProxy } from "../support/raw-proxy.js";

async function ask(environment: Environment): Promise<Transfer> {
  const pool = openPool(environment);
  return send(
    {
      method: "GET",
      protocol: "https:",
      hostname: "store.test",
      port: undefined,
      path: "/object",
      headers: { authorization: "Bearer token" },
      subject: "https://store.test/object",
    },
    pool,
    { connectTimeoutMs: 5_000, stallTimeoutMs: 5_000 },
    new AbortController().signal,
  ).finally(() => {
    pool.close();
  });
}

test.each([
  ["206 Partial Content\r\nContent-Range: bytes 0-4/5\r\nContent-Length: 5", "unavailable"],
  ["302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0", "unavailable"],
  ["404 Not Found\r\nContent-Length: 0", "unavailable"],
  ["502 Bad Gateway\r\nContent-Length: 0", "unavailable"],
  ["403 Forbidden\r\nContent-Length: 0", "denied"],
  ["407 Proxy Authentication Required\r\nContent-Length: 0", "denied"],
])("a proxy that answers %j itself is at fault, not the host", async (answer, kind) => {
  await using proxy = await RawProxy.start((socket) => {
    socket.end(`HTTP/1.1 ${answer}\r\n\r\nbytes`);
  });
  const fault = await faultOf(ask({ https_proxy: proxy.url }));
  expect(fault.kind).toBe(kind);
  expect(fault.message).toContain(`The proxy at ${new URL(proxy.url).host}`);
  expect(fault.message).toContain(`store.test:443 (HTTP ${answer.slice(0, 3)})`);
  expect(fault.message).not.toContain("secret");
  expect(proxy.requests).toEqual([expect.stringMatching(/^CONNECT store\.test:443 /)]);
  expect(proxy.requests.join()).not.toContain("Bearer");
});

test.each([
  ["nothing", ""],
  ["half a head", "HTTP/1.1 200 OK\r\n"],
  ["no header", "HTTP/1.1 200 OK\r\nsecret\r\n\r\n"],
  ["no HTTP", "SSH-2.0-OpenSSH_9.2\r\n\r\n"],
])("a proxy that answers %s and closes is unavailable", async (_what, answer) => {
  await using proxy = await RawProxy.start((socket) => socket.end(answer));
  const fault = await faultOf(ask({ https_proxy: proxy.url }));
  expect(fault.kind).toBe("unavailable");
  expect(fault.message).toMatch(/proxy at 127\.0\.0\.1:/);
  expect(fault.message).not.toContain("secret");
});

test("a proxy that is not there is named", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  const fault = await faultOf(ask({ https_proxy: `user:secret@127.0.0.1:${port}` }));
  expect([fault.kind, fault.message]).toEqual([
    "unavailable",
    `Cannot reach the proxy at 127.0.0.1:${port} for store.test:443: the connection was refused`,
  ]);
});

test.each(["http:", "https:"])("a silent %s proxy is left in time", async (protocol) => {
  await using proxy = await RawProxy.start(() => undefined);
  const url = new URL(proxy.url.replace("http:", protocol));
  const agent = new ProxyTunnel(url, { keepAlive: true, maxSockets: 1 }, {}, 50);
  for (let requests = 1; requests <= 2; requests++) {
    const request = httpsRequest({ hostname: "store.test", agent });
    request.end();
    const [error] = (await once(request, "error")) as [Error];
    expect(error).toMatchObject({
      kind: "unavailable",
      message: `Cannot reach store.test:443 through the proxy at ${url.host}: no answer within 50 ms`,
    });
    expect(proxy.requests).toHaveLength(requests);
  }
  await Promise.all([...proxy.sockets].map((socket) => once(socket, "close")));
});

test.each([
  ["407 Proxy Authentication Required", "denied"],
  ["404 Not Found", "unavailable"],
])("SDKs, too, take no answer of the proxy for the host's: %s", async (answer, kind) => {
  await using proxy = await RawProxy.start((socket) => {
    socket.end(`HTTP/1.1 ${answer}\r\nContent-Length: 0\r\n\r\n`);
  });
  const home = await mkdtemp(join(tmpdir(), "refmount-tunnel-"));
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const key = join(home, "key.json");
  await writeFile(
    key,
    JSON.stringify({
      type: "service_account",
      private_key: privateKey.export({ type: "pkcs8", format: "pem" }),
      client_email: "reader@project.iam.gserviceaccount.com",
      token_uri: "https://oauth2.googleapis.com/token",
    }),
  );
  const environment = {
    HOME: home,
    https_proxy: proxy.url,
    AWS_ACCESS_KEY_ID: "key",
    AWS_SECRET_ACCESS_KEY: "hidden",
    AWS_REGION: "us-east-1",
    AZURE_TENANT_ID: "00000000-0000-0000-0000-000000000000",
    AZURE_CLIENT_ID: "00000000-0000-0000-0000-000000000001",
    AZURE_CLIENT_SECRET: "hidden",
    GOOGLE_APPLICATION_CREDENTIALS: key,
  };
  const stores = openStores(environment, { retryTimeoutMs: 0 });
  try {
    for (const uri of [
      "s3://bucket/k",
      "gs://bucket/k",
      "https://account.blob.core.windows.net/container/k",
    ]) {
      const fault = await faultOf(collect(stores.list(uri, listOptions())));
      expect([uri, fault.kind, fault.message]).toEqual([uri, kind, expect.stringMatching(/proxy/)]);
      expect(fault.message).not.toMatch(/secret|hidden/);
    }
  } finally {
    await stores.close();
    await rm(home, { recursive: true });
  }
});
