// Both ends of the control socket, over a real one.

import { once } from "node:events";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { call, listen, type Answering, type Listening } from "../../src/daemon/channel.js";
import { deferred } from "../../src/model/deferred.js";
import { Fault } from "../../src/model/fault.js";

const folder = mkdtempSync(join(tmpdir(), "refmount-channel-"));
afterAll(() => rmSync(folder, { recursive: true }));

let made = 0;
const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

async function listening(
  answer: Answering,
): Promise<{ path: string; listener: Listening; bugs: unknown[] }> {
  const path = join(folder, `${++made}.sock`);
  const bugs: unknown[] = [];
  const listener = await listen(path, answer, (error) => bugs.push(error));
  cleanups.push(() => listener.stop());
  return { path, listener, bugs };
}

async function rawSocket(path: string): Promise<Socket> {
  const socket = connect(path).setEncoding("utf8");
  socket.on("error", () => undefined);
  cleanups.push(() => socket.destroy());
  await once(socket, "connect");
  return socket;
}

async function allOf(socket: Socket): Promise<string> {
  let text = "";
  for await (const chunk of socket) text += String(chunk);
  return text;
}

const forever = (): Promise<never> => new Promise(() => undefined);

test("a request is answered, and the socket is for its owner only", async () => {
  const { path } = await listening((envelope) =>
    Promise.resolve({ found: envelope.verb === "gone" }),
  );
  expect(await call(path, "gone", { dir: "/x", lazy: false })).toEqual({ answer: { found: true } });
  expect(statSync(path).mode & 0o777).toBe(0o600);
});

test("nobody listening is null, also behind a socket that a dead daemon left", async () => {
  expect(await call(join(folder, "none.sock"), "status", {})).toBeNull();
  const path = join(folder, "left.sock");
  writeFileSync(path, "");
  expect(await call(path, "status", {})).toBeNull();
  const listener = await listen(
    path,
    () => Promise.resolve(1),
    () => undefined,
  );
  cleanups.push(() => listener.stop());
  expect(await call(path, "status", {})).toEqual({ answer: 1 });
});

test("a fault crosses with its kind, a bug is told and reported", async () => {
  const { path, bugs } = await listening(({ verb }) => {
    if (verb === "gone") throw new Fault("busy", "in use", { subject: "/x" });
    throw new TypeError("undefined is not a function");
  });
  await expect(call(path, "gone", { dir: "/x", lazy: false })).rejects.toMatchObject({
    kind: "busy",
    message: "in use",
    subject: "/x",
  });
  expect(bugs).toEqual([]);
  await expect(call(path, "status", {})).rejects.toThrow("undefined is not a function");
  expect(bugs).toHaveLength(1);
});

test("requests are answered at the same time, each on its own connection", async () => {
  const held = deferred<null>();
  const { path } = await listening(async ({ verb }) => {
    if (verb === "gone") await held.promise;
    return { found: true };
  });
  const slow = call(path, "gone", { dir: "/x", lazy: false });
  expect(await call(path, "status", {})).not.toBeNull();
  held.resolve(null);
  expect(await slow).toEqual({ answer: { found: true } });
});

test("a request that comes in pieces is one request", async () => {
  const { path } = await listening(({ request }) => Promise.resolve(request));
  const socket = await rawSocket(path);
  const line = Buffer.from(`${JSON.stringify({ verb: "status", request: { name: "ü€𝄞" } })}\n`);
  for (const byte of line) {
    await new Promise<void>((done) => void socket.write(Buffer.of(byte), () => done()));
  }
  expect(JSON.parse(await allOf(socket))).toEqual({ ok: { name: "ü€𝄞" } });
});

test.each(["{", "null", "7", '"status"', "{}", '{"verb":"status"}'])(
  "%s is refused as no request, without repeating it",
  async (line) => {
    const { path, bugs } = await listening(forever);
    const socket = await rawSocket(path);
    socket.write(`${line}\n`);
    expect(JSON.parse(await allOf(socket))).toEqual({
      fault: {
        kind: "usage",
        message: "That is no request that a refmount daemon understands",
      },
    });
    expect(bugs).toEqual([]);
  },
);

test("a line without an end is cut off", async () => {
  const { path } = await listening(forever);
  const socket = await rawSocket(path);
  socket.write("x".repeat(2_000_000));
  expect(await allOf(socket).catch(() => "")).toBe("");
});

test("a client that leaves before its answer disturbs nobody", async () => {
  const held = deferred<null>();
  const asked = deferred<null>();
  const { path, listener } = await listening(async ({ verb }) => {
    if (verb === "gone") {
      asked.resolve(null);
      await held.promise;
    }
    return {};
  });
  const socket = await rawSocket(path);
  socket.write('{"verb":"gone","request":{}}\n');
  await asked.promise;
  socket.destroy();
  held.resolve(null);
  expect(await call(path, "status", {})).toEqual({ answer: {} });
  listener.stop();
  await listener.answered();
});

test("a daemon that goes away before it answers is unavailable, and says where to look", async () => {
  const path = join(folder, "goes.sock");
  const server = createServer((socket) => socket.destroy()).listen(path);
  cleanups.push(() => server.close());
  await once(server, "listening");
  await expect(call(path, "status", {})).rejects.toMatchObject({
    kind: "unavailable",
    message: expect.stringMatching(/went away before it answered "status"; its log/) as string,
  });
});

describe("a listener that stops", () => {
  test("takes no more connections, and answers what it was asked", async () => {
    const held = deferred<null>();
    const asked = deferred<null>();
    const { path, listener } = await listening(async () => {
      asked.resolve(null);
      await held.promise;
      return { found: true };
    });
    const asking = call(path, "gone", { dir: "/x", lazy: false });
    await asked.promise;
    listener.stop();
    expect(await call(path, "status", {})).toBeNull();
    const answered = listener.answered();
    held.resolve(null);
    expect(await asking).toEqual({ answer: { found: true } });
    await answered;
  });

  test("answers who had connected before and asks only now", async () => {
    const { path, listener } = await listening(() => Promise.resolve("answer"));
    const socket = await rawSocket(path);
    listener.stop();
    const answered = listener.answered(60_000);
    socket.write('{"verb":"status","request":{}}\n');
    expect(JSON.parse(await allOf(socket))).toEqual({ ok: "answer" });
    await answered;
  });

  test("ends a connection that asks nothing", async () => {
    const { path, listener } = await listening(forever);
    const socket = await rawSocket(path);
    const ended = once(socket, "close");
    listener.stop();
    await listener.answered(1);
    await ended;
  });

  test("does not wait for a client that reads nothing", async () => {
    const { path, listener } = await listening(() => Promise.resolve("answer"));
    const socket = await rawSocket(path);
    socket.pause();
    socket.write('{"verb":"status","request":{}}\n');
    await expect.poll(() => socket.readableLength).toBeGreaterThan(0);
    listener.stop();
    await listener.answered();
  });
});
