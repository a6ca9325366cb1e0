// Which credentials a request carries, and that they go where they belong and nowhere else.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { findEntry, parseNetrc } from "../../src/stores/http/netrc.js";
import { headersFor, parseHeaders } from "../../src/stores/http/headers.js";
import { openHttpStore } from "../../src/stores/http/store.js";
import type { Environment } from "../../src/stores/store.js";
import type { Fault } from "../../src/model/fault.js";
import { entryOf, faultOf, listOptions, readAll } from "../contract/store.js";
import type { HttpDouble } from "../support/http-double.js";
import { startHttpDouble } from "../support/http-double.js";

describe(".netrc", () => {
  const find = (text: string, host: string): string | undefined => {
    const entry = findEntry(parseNetrc(text, "/home/me/.netrc"), host);
    return entry && `${entry.login}:${entry.password}`;
  };

  test.each([
    ["machine h login u password p", "u:p"],
    ["machine h\n\tlogin u\n\tpassword p\n", "u:p"],
    ["machine h\r\nlogin u\r\npassword p\r\n", "u:p"],
    ["machine H password p login u account x", "u:p"],
    ["machine h account password login u password p", "u:p"],
    ["machine other login a password b machine h login u password p", "u:p"],
    ["machine h login u password p machine h login v password q", "u:p"],
    ["default login u password p", "u:p"],
    ["default login a password b\nmachine h login u password p", "u:p"],
    ["machine hh login a password b", undefined],
    ["# machine h login x password y\nmachine h login u password p # q", "u:p"],
    ["machine h login u password p#1", "u:p#1"],
    ['machine h login "u v" password "p \\"q\\" #\\\\ \\n"', 'u v:p "q" #\\ \n'],
    ["macdef init\nmachine h login a password b\n\nmachine h login u password p", "u:p"],
    ["machine h login u\nmacdef x\npassword wrong\n\n", "u:"],
    ["machine h login u password", "u:"],
    ["login u password p", undefined],
    ["", undefined],
  ])("%j has for h: %s", (text, expected) => {
    expect(find(text, "h")).toBe(expected);
  });

  test("a host is its name, or its address without brackets", () => {
    expect(find("machine EXAMPLE.com login u password p", "Example.Com")).toBe("u:p");
    expect(find("machine ::1 login u password p", "[::1]")).toBe("u:p");
  });

  test("a quote that does not end is refused without repeating it", () => {
    expect(() => parseNetrc('machine h\npassword "s3cret', "/home/me/.netrc")).toThrow(
      "Line 2 of /home/me/.netrc begins a quote that does not end",
    );
  });
});

describe("REFMOUNT_HTTP_HEADERS", () => {
  const sent = (text: string, url: string): Record<string, string> =>
    headersFor(parseHeaders(text), new URL(url));
  const JSON_FORM = JSON.stringify({
    "https://a.test": { Authorization: "Bearer a", "X-Team": "vision" },
    "http://a.test:8080": { Authorization: "Bearer b" },
    "*": { "x-team": "all", "User-Agent": "lab" },
  });
  const LINES = `
    https://a.test   Authorization: Bearer a
    https://a.test:443 X-Team:vision
    http://A.test:8080/ Authorization: Bearer b
    * x-team: all
    *\tUser-Agent:  lab
  `;

  test.each([
    ["JSON", JSON_FORM],
    ["lines", LINES],
  ])("in %s belong to their origin, which wins over everywhere", (_form, text) => {
    const everywhere = { "x-team": "all", "user-agent": "lab" };
    expect(sent(text, "https://a.test/x")).toEqual({
      ...everywhere,
      authorization: "Bearer a",
      "x-team": "vision",
    });
    expect(sent(text, "http://a.test:8080/x")).toEqual({
      ...everywhere,
      authorization: "Bearer b",
    });
    for (const other of ["http://a.test/", "https://a.test:8443/", "https://b.a.test/"]) {
      expect(sent(text, other)).toEqual(everywhere);
    }
  });

  test("set to nothing are none", () => {
    expect(sent("", "https://a.test/")).toEqual({});
    expect(sent(" \n ", "https://a.test/")).toEqual({});
  });

  test.each([
    ['{"Authorization": "Bearer s3cret"}', /"\*"/],
    ['{"https://a.test": "Bearer s3cret"}', /"\*"/],
    ['{"https://a.test": {"Authorization": ["s3cret"]}}', /no text/],
    ['{"https://a.test": {"Authorization": "s3cret"', /is none/],
    ["[]", /line 1/],
    ["Authorization: Bearer s3cret", /line 1|origin/],
    ["* Ok: fine\nAuthorization:s3cret", /line 2/],
    ["a.test Authorization: s3cret", /origin/],
    ["https://a.test/path Authorization: s3cret", /origin/],
    ["https://u:s3cret@a.test Authorization: x", /origin/],
    ["ftp://a.test Authorization: s3cret", /origin/],
    ["* Range: s3cret", /range/],
    ["* If-Match: s3cret", /if-match/],
    ["* Accept-Encoding: s3cret", /accept-encoding/],
    ["* Host: s3cret", /host/],
    ['{"*": {"Bad name": "s3cret"}}', /name/],
    ['{"*": {"X": "s3cret\\nY: z"}}', /value of x/],
  ])("%j is refused without repeating a value", (text, why) => {
    let message = "taken";
    try {
      parseHeaders(text);
    } catch (error) {
      expect(error).toMatchObject({ name: "Fault", kind: "usage" });
      ({ message } = error as Fault);
      expect((error as Fault).cause).toBeUndefined();
    }
    expect(message).toMatch(/^REFMOUNT_HTTP_HEADERS: /);
    expect(message).toMatch(why);
    expect(message).not.toContain("s3cret");
  });
});

describe("a request", () => {
  let home: string;
  let double: HttpDouble;
  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), "refmount-http-"));
    double = await startHttpDouble();
    double.put("/a", "bytes");
  });
  afterEach(async () => {
    await double[Symbol.asyncDispose]();
    await rm(home, { recursive: true, force: true });
  });

  const netrc = (text: string): Promise<void> => writeFile(join(home, ".netrc"), text);
  const basic = (user: string): string => `Basic ${Buffer.from(user).toString("base64")}`;

  /** Reads the object and gives the authorization that each request had. */
  async function authorizations(environment: Environment): Promise<(string | undefined)[]> {
    const store = openHttpStore({ HOME: home, ...environment }, { retryTimeoutMs: 0 });
    try {
      const listed = await store.stat(`${double.origin}/a`, listOptions());
      await readAll(store, entryOf(listed));
    } finally {
      await store.close();
    }
    return double.requests.map(({ headers }) => headers.authorization);
  }

  async function refusal(environment: Environment, path = "/a"): Promise<Fault> {
    const store = openHttpStore({ HOME: home, ...environment }, { retryTimeoutMs: 0 });
    const fault = await faultOf(store.stat(double.origin + path, listOptions()));
    await store.close();
    expect(fault.message).not.toContain("s3cret");
    return fault;
  }

  test("without any carries none, and says who it is", async () => {
    expect(await authorizations({})).toEqual([undefined, undefined]);
    expect(double.requests[0]?.headers).toMatchObject({
      "user-agent": "refmount",
      "accept-encoding": "identity",
    });
  });

  test("carries what HOME's .netrc has for its host", async () => {
    await netrc("machine 127.0.0.1 login me password p:1");
    expect(await authorizations({})).toEqual([basic("me:p:1"), basic("me:p:1")]);
  });

  test("carries what the file that NETRC names has", async () => {
    await netrc("machine 127.0.0.1 login wrong password x");
    await writeFile(join(home, "other"), "machine 127.0.0.1 login me password p");
    const [first] = await authorizations({ NETRC: join(home, "other") });
    expect(first).toBe(basic("me:p"));
  });

  test("carries its origin's headers, whose Authorization wins over .netrc", async () => {
    await netrc("machine 127.0.0.1 login me password p");
    const headers = `${double.origin} Authorization: Bearer t\n* X-Lab: 7\n* User-Agent: mine`;
    const [first] = await authorizations({ REFMOUNT_HTTP_HEADERS: headers });
    expect(first).toBe("Bearer t");
    expect(double.requests[0]?.headers).toMatchObject({ "x-lab": "7", "user-agent": "mine" });
  });

  test("carries no header of another origin", async () => {
    const headers = `https://127.0.0.1:${double.port} Authorization: Bearer t`;
    expect(await authorizations({ REFMOUNT_HTTP_HEADERS: headers })).toEqual([
      undefined,
      undefined,
    ]);
  });

  test("a .netrc that NETRC names and that is not there is denied, HOME's need not be", async () => {
    const fault = await refusal({ NETRC: join(home, "none") });
    expect([fault.kind, fault.message]).toEqual(["denied", expect.stringContaining("none")]);
  });

  test.each([
    [{}, /no credentials were sent/],
    [{ NETRC: "netrc" }, /its entry in \.netrc/],
    [{ NETRC: "default" }, /the default entry in \.netrc/],
    [{ REFMOUNT_HTTP_HEADERS: "* Authorization: Bearer s3cret" }, /REFMOUNT_HTTP_HEADERS/],
    [{ REFMOUNT_HTTP_HEADERS: "* X-Api-Key: s3cret" }, /REFMOUNT_HTTP_HEADERS/],
  ])("that is refused says where its credentials are from (%j)", async (environment, source) => {
    await writeFile(join(home, "netrc"), "machine 127.0.0.1 login me password s3cret");
    await writeFile(join(home, "default"), "default login me password s3cret");
    double.guard("/", { authorization: "Bearer other" });
    const { NETRC } = environment as Environment;
    const fault = await refusal({
      ...environment,
      ...(NETRC === undefined ? {} : { NETRC: join(home, NETRC) }),
    });
    expect([fault.kind, fault.subject]).toEqual(["denied", `${double.origin}/a`]);
    expect(fault.message).toMatch(source);
    expect(fault.message).toContain("HTTP 401");
  });

  test("that is refused is tried once more with what .netrc has by now", async () => {
    await netrc("machine 127.0.0.1 login me password old");
    double.guard("/", { authorization: basic("me:new") });
    const store = openHttpStore({ HOME: home }, { retryTimeoutMs: 0 });
    try {
      const stat = () => store.stat(`${double.origin}/a`, listOptions());
      expect((await faultOf(stat())).kind).toBe("denied");
      expect(double.requests).toHaveLength(1);
      await netrc("machine 127.0.0.1 login me password new");
      expect((await stat()).sizeBytes).toBe(5);
      await stat();
      expect(double.requests.map(({ headers }) => headers.authorization)).toEqual(
        ["me:old", "me:old", "me:new", "me:new"].map(basic),
      );
    } finally {
      await store.close();
    }
  });
});
