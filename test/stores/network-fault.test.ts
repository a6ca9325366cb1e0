// What the errors below HTTP are called, as Node makes them.

import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { Fault } from "../../src/model/fault.js";
import { networkFault, requestFault } from "../../src/stores/network-fault.js";

const HOST = "https://store.test";

function failed(syscall: string, code: string): Error {
  return Object.assign(new Error(`${syscall} ${code} 192.0.2.1:443`), { code, syscall });
}

test.each([
  ["connect", "ECONNABORTED", "was reset"],
  ["connect", "ENOBUFS", "no memory"],
  ["connect", "EMFILE", "ulimit"],
  ["connect", "ENFILE", "no file descriptor left"],
  ["connect", "EACCES", "firewall"],
  ["connect", "EPERM", "firewall"],
  ["getaddrinfo", "EAI_FAIL", "cannot be looked up"],
  ["getaddrinfo", "EMFILE", "ulimit"],
])("%s %s is unavailable: %s", (syscall, code, why) => {
  const error = failed(syscall, code);
  for (const thrown of [error, new AggregateError([error]), new Error("x", { cause: error })]) {
    const fault = networkFault(thrown, "k", HOST);
    expect(fault).toBeInstanceOf(Fault);
    expect(fault).toMatchObject({
      kind: "unavailable",
      message: expect.stringContaining(why) as string,
    });
  }
});

test("a file that cannot be read is none of the network's faults", async () => {
  const missing = (await readFile("/no/such/file").catch((error: unknown) => error)) as Error;
  const denied = Object.assign(missing, { code: "EACCES" });
  expect(networkFault(denied, "k", HOST)).toBe(denied);
});

test("whatever else ends a request is unavailable, but for a mistake in a program", () => {
  const cause = new Error("Bearer token was not taken");
  expect(networkFault(cause, "k", HOST)).toBe(cause);
  expect(requestFault(cause, "k", HOST)).toMatchObject({
    kind: "unavailable",
    message: `Cannot reach ${HOST} for k: the connection failed`,
    cause,
  });
  expect(requestFault(failed("connect", "ESOMETHING"), "k", HOST)).toMatchObject({
    kind: "unavailable",
    message: `Cannot reach ${HOST} for k: the connection failed (ESOMETHING)`,
  });
  const mistakes = [
    new TypeError("x is undefined"),
    new RangeError("index"),
    new URIError("URI malformed"),
    Object.assign(new Error("false == true"), { code: "ERR_ASSERTION" }),
  ];
  for (const mistake of mistakes) expect(requestFault(mistake, "k", HOST)).toBe(mistake);
});
