// What nginx really does: its ETags, its ranges, its ways of compressing, its passwords.

import { createHash } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Entry } from "../../src/model/entry.js";
import { openHttpStore } from "../../src/stores/http/store.js";
import type { Listed, Store } from "../../src/stores/store.js";
import { entryOf, faultOf, listOptions, readAll } from "../contract/store.js";
import { needs } from "../support/needs.js";
import type { Nginx } from "../support/nginx.js";
import { startNginx } from "../support/nginx.js";

const TEXT = JSON.stringify(Array.from({ length: 2_000 }, (_, index) => ({ index })));
const ZIPPED = gzipSync(TEXT);
const SHA256 = createHash("sha256").update(TEXT).digest();

const SERVER = (dir: string): string => `
  location /static/  { gzip_static on; }
  location /always/  { gzip_static always; }
  location /zipping/ { gzip on; gzip_types application/json; gzip_min_length 1; }
  location /mirror/  { proxy_http_version 1.1; proxy_set_header Accept-Encoding gzip;
                       proxy_pass http://127.0.0.1:$server_port/zipping/data.json; }
  location /secret/  { auth_basic data; auth_basic_user_file ${dir}/users; }
  location /refused/ { deny all; }
  location /slow/    { limit_except GET { deny all; } return 503; }
  location /no-etag/ { etag off; }
  location /nothing/ { etag off; add_header Last-Modified ""; max_ranges 0; }
  location /digest/  { etag off; add_header Repr-Digest "sha-256=:${SHA256.toString("base64")}:"; }
  location /moved/   { return 301 /plain/data.json; }
`;

describe.runIf(needs("nginx"))("nginx", () => {
  let nginx: Nginx;
  let store: Store;
  beforeAll(async () => {
    nginx = await startNginx(SERVER);
    const folders = ["plain", "zipping", "static", "always", "secret", "refused", "no-etag"];
    for (const folder of [...folders, "nothing", "digest"]) {
      await nginx.put(`${folder}/data.json`, TEXT);
    }
    for (const folder of ["static", "always"]) await nginx.put(`${folder}/data.json.gz`, ZIPPED);
    await writeFile(join(nginx.dir, "users"), "me:{PLAIN}p ss\n");
  });
  afterAll(() => nginx[Symbol.asyncDispose]());
  beforeEach(() => {
    store = openHttpStore({}, { retryTimeoutMs: 0 });
  });
  afterEach(() => store.close());

  const look = (path: string, options = listOptions()): Promise<Listed> =>
    store.stat(nginx.origin + path, options);
  const logged = async (path: string): Promise<Entry> => entryOf(await look(path));

  test("gives a file's size, time and strong ETag, and its ranges", async () => {
    const listed = await look("/plain/data.json");
    expect(listed).toMatchObject({ sizeBytes: TEXT.length, needsHash: false });
    expect(listed.pin.etag).toMatch(/^[0-9a-f]+-[0-9a-f]+$/);
    expect(Math.abs((listed.mtimeMs ?? 0) - Date.now())).toBeLessThan(20_000_000);
    const part = await readAll(store, entryOf(listed), { start: 1_000, end: 2_000 });
    expect(part.toString()).toBe(TEXT.slice(1_000, 2_000));
  });

  test("lists no folder", async () => {
    expect((await faultOf(look("/plain/"))).kind).toBe("denied");
    expect((await faultOf(look("/plain/none"))).kind).toBe("not-found");
    // A folder's name without its slash redirects to it.
    expect((await faultOf(look("/plain"))).kind).toBe("denied");
  });

  test("refuses a file that was replaced by its ETag, and one that is gone", async () => {
    await nginx.put("changing.bin", "before");
    const entry = await logged("/changing.bin");
    await nginx.put("changing.bin", "after that");
    const fault = await faultOf(readAll(store, entry));
    expect([fault.kind, fault.message]).toEqual(["drifted", expect.stringContaining("HTTP 412")]);
    await nginx.remove("changing.bin");
    expect((await faultOf(readAll(store, entry))).kind).toBe("drifted");
  });

  test.each(["zipping", "static"])(
    "that could compress does not, not being asked to (%s)",
    async (how) => {
      const options = listOptions();
      const listed = await look(`/${how}/data.json`, options);
      expect(listed).toMatchObject({ sizeBytes: TEXT.length, needsHash: false });
      expect((await readAll(store, entryOf(listed))).toString()).toBe(TEXT);
      expect(options.notices).toEqual([]);
      const log = await nginx.requests();
      expect(
        log.filter((line) => line.includes(`/${how}/`) && !line.endsWith(" identity")),
      ).toEqual([]);
    },
  );

  test("that always compresses gives the compressed bytes, uninflated, with a notice", async () => {
    const options = listOptions();
    const listed = await look("/always/data.json", options);
    expect(options.notices).toEqual([expect.stringContaining("compressed (gzip)")]);
    expect(listed.sizeBytes).toBe(ZIPPED.length);
    const bytes = await readAll(store, entryOf(listed));
    expect(bytes.equals(ZIPPED)).toBe(true);
    expect(gunzipSync(bytes).toString()).toBe(TEXT);
  });

  test("behind a proxy that asks for gzip gives bytes without length or strong ETag", async () => {
    const options = listOptions();
    const listed = await look("/mirror/data.json", options);
    expect(options.notices).toEqual([expect.stringContaining("compressed (gzip)")]);
    expect(listed.needsHash).toBe(true);
    expect(listed.pin.etag).toMatch(/^W\//);
    const bytes = await readAll(store, entryOf(listed));
    expect(bytes.length).toBe(listed.sizeBytes);
    expect(gunzipSync(bytes).toString()).toBe(TEXT);
  });

  test("that begins to compress after an object was logged no longer has it", async () => {
    const entry = await logged("/zipping/data.json");
    const uri = `${nginx.origin}/mirror/data.json`;
    const fault = await faultOf(readAll(store, { ...entry, uri }));
    expect([fault.kind, fault.message]).toEqual([
      "drifted",
      expect.stringContaining("compressed (gzip)"),
    ]);
  });

  test("without ETags needs a hash, or tells a digest", async () => {
    expect(await look("/no-etag/data.json")).toMatchObject({
      needsHash: true,
      pin: {},
      entryDigest: `${nginx.origin}/no-etag/data.json`,
    });
    const listed = await look("/digest/data.json");
    expect(listed).toMatchObject({
      needsHash: false,
      claims: [{ algorithm: "sha256", value: SHA256.toString("hex"), source: "checksum" }],
    });
    expect((await readAll(store, entryOf(listed))).toString()).toBe(TEXT);
  });

  test("without time, ETag and ranges is read as a whole", async () => {
    const listed = await look("/nothing/data.json");
    expect(listed).toMatchObject({ needsHash: true, sizeBytes: TEXT.length });
    await using fetched = await store.fetch(
      entryOf(listed),
      { start: 5, end: 10 },
      new AbortController().signal,
    );
    expect(fetched.range).toEqual({ start: 0, end: TEXT.length });
  });

  test("asks for a password, which .netrc has", async () => {
    const refused = await faultOf(look("/secret/data.json"));
    expect(refused.message).toMatch(/no credentials were sent.*HTTP 401/);
    const netrc = join(nginx.dir, "netrc");
    await writeFile(netrc, 'machine 127.0.0.1 login me password "p ss"\n');
    const known = openHttpStore({ NETRC: netrc }, { retryTimeoutMs: 0 });
    const listed = await known.stat(`${nginx.origin}/secret/data.json`, listOptions());
    expect((await readAll(known, entryOf(listed))).toString()).toBe(TEXT);
    await known.close();
  });

  test("denies, fails and redirects", async () => {
    expect((await faultOf(look("/refused/data.json"))).kind).toBe("denied");
    expect((await faultOf(look("/slow/data.json"))).kind).toBe("unavailable");
    const moved = await look("/moved/data.json");
    expect(moved).toMatchObject({ sizeBytes: TEXT.length, uri: `${nginx.origin}/moved/data.json` });
  });
});
