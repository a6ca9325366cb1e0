// One request: when it is given up, and what its failures are called.

import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { openPool, type Pool } from "../../src/stores/pool.js";
import { send, type Transfer } from "../../src/stores/transfer.js";
import { faultOf } from "../contract/store.js";
import { RawProxy } from "../support/raw-proxy.js";

const LONG_MS = 60_000;

interface Asked {
  readonly url: string;
  readonly connectTimeoutMs?: number;
  readonly signal?: AbortSignal;
}

function get(pool: Pool, asked: Asked): Promise<Transfer> {
  const { protocol, hostname, port, pathname } = new URL(asked.url);
  return send(
    {
      method: "GET",
      protocol,
      hostname,
      port: port === "" ? undefined : Number(port),
      path: pathname,
      headers: {},
      subject: asked.url,
    },
    pool,
    { connectTimeoutMs: asked.connectTimeoutMs ?? LONG_MS, stallTimeoutMs: LONG_MS },
    asked.signal ?? new AbortController().signal,
  );
}

test("a silent proxy is waited for no longer than for a connection", async () => {
  await using proxy = await RawProxy.start(() => undefined);
  const pool = openPool({ https_proxy: proxy.url });
  const fault = await faultOf(get(pool, { url: "https://store.test/k", connectTimeoutMs: 50 }));
  expect([fault.kind, fault.message]).toEqual([
    "unavailable",
    "Cannot get https://store.test/k: no way through the proxy within 50 ms (https://store.test)",
  ]);
  pool.close();
});

test("a signal ends a request that waits for its proxy", async () => {
  let tell = (): void => undefined;
  const asked = new Promise<void>((resolve) => (tell = resolve));
  await using proxy = await RawProxy.start(() => {
    tell();
  });
  const pool = openPool({ https_proxy: proxy.url });
  const abort = new AbortController();
  const transfer = get(pool, { url: "https://store.test/k", signal: abort.signal });
  await asked;
  abort.abort(new Error("enough"));
  await expect(transfer).rejects.toThrow("enough");
  pool.close();
});

test("a request waits for its turn without a deadline, and a signal ends that", async () => {
  const held: ServerResponse[] = [];
  const server = createServer((_request, response) => void held.push(response));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/k`;
  const pool = openPool({});
  const { hostname, port } = new URL(url);
  const agent = pool.agentFor({ protocol: "http:", hostname, port: Number(port) });
  agent.maxSockets = 1;
  try {
    const first = get(pool, { url });
    await once(server, "request");
    const abort = new AbortController();
    const aborted = get(pool, { url, connectTimeoutMs: 20, signal: abort.signal });
    const patient = get(pool, { url, connectTimeoutMs: 20 });
    // One that waits longer, for a proxy, is given up before them.
    await using proxy = await RawProxy.start(() => undefined);
    const proxied = openPool({ https_proxy: proxy.url });
    const longer = faultOf(get(proxied, { url: "https://store.test/k", connectTimeoutMs: 60 }));
    const sooner = await Promise.race([longer, patient, aborted]);
    expect(sooner).toBe(await longer);
    abort.abort(new Error("enough"));
    await expect(aborted).rejects.toThrow("enough");
    held[0]?.end();
    const answered = await first;
    while ((await answered.read()) !== null);
    await once(server, "request");
    held[1]?.end();
    expect((await patient).status).toBe(200);
    expect(held).toHaveLength(2);
  } finally {
    pool.close();
    server.closeAllConnections();
    server.close();
  }
});
