// The whole job over HTTP: the built command line, a real daemon and kernel, nginx, and a double for
// servers that are not like it.

import { createHash, randomBytes } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { distFile } from "../support/dist.js";
import type { ServedOptions } from "../support/http-double.js";
import type { HttpDouble } from "../support/http-double.js";
import { startHttpDouble } from "../support/http-double.js";
import { needs } from "../support/needs.js";
import type { Nginx } from "../support/nginx.js";
import { startNginx } from "../support/nginx.js";
import { complaintOf, readFileElsewhere, run } from "../support/reader.js";
import { Rig, type Outcome } from "../support/rig.js";
import { statusOf } from "../support/status.js";

const LARGE = randomBytes(20_000_000);
const STALE = /Stale file handle/;
const DENIED = /Permission denied/;

interface Report {
  readonly digest: string;
  readonly files: number;
  readonly bytes: number;
  readonly created: boolean;
}

/** A rig and a double of a server. */
class World implements AsyncDisposable {
  readonly rig: Rig;
  readonly double: HttpDouble;

  private constructor(rig: Rig, double: HttpDouble) {
    this.rig = rig;
    this.double = double;
  }

  static async create(environment: Record<string, string> = {}): Promise<World> {
    const double = await startHttpDouble();
    return new World(await Rig.create(environment), double);
  }

  log(paths: readonly string[], ...options: readonly string[]): Promise<Report> {
    return this.rig.json<Report>("log", "demo", "--type", "t", ...this.refs(paths), ...options);
  }

  tryLog(paths: readonly string[], ...options: readonly string[]): Promise<Outcome> {
    return this.rig.run("log", "demo", "--type", "t", ...this.refs(paths), ...options);
  }

  /** `PATH=` may stand before a path of the double. */
  refs(paths: readonly string[]): string[] {
    return paths.flatMap((path) => [
      "--ref",
      path.replace(/^([^/]*=)?\//, `$1${this.double.origin}/`),
    ]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.rig[Symbol.asyncDispose]();
    await this.double[Symbol.asyncDispose]();
  }
}

async function attribute(name: string, path: string): Promise<string> {
  return String(await run("getfattr", "--only-values", "-n", `user.refmount.${name}`, path));
}

/** What W&B computes of one entry. */
function wandbDigest(path: string, entryDigest: string): string {
  return createHash("md5")
    .update(`wandb-artifact-manifest-v1\n${path}:${entryDigest}\n`)
    .digest("hex");
}

/** Files of refmount's and of the user's that hold `text`. */
async function filesWith(rig: Rig, text: string): Promise<string> {
  const search = 'grep -rlF -- "$1" "$2" || test $? = 1';
  return String(await run("sh", "-c", search, "sh", text, rig.home));
}

describe.runIf(needs("fuse", "addon", "root"))("log from HTTP", () => {
  test("records the ETag, and the digest that W&B computes of it", async () => {
    await using world = await World.create();
    world.double.put("/file1.txt", "x".repeat(256), { etag: '"abc"' });
    const report = await world.log(["/file1.txt"]);
    expect(report).toMatchObject({
      digest: "48237ccc050a88af9dcd869dd5a7e9f4",
      files: 1,
      bytes: 256,
      created: true,
    });
    expect(await world.log(["/file1.txt"])).toMatchObject({ created: false });
    world.double.put("/file1.txt", "x".repeat(256), { etag: '"abd"' });
    expect(await world.log(["/file1.txt"])).toMatchObject({ created: true });
  });

  test("names a file without the query, which its uri keeps", async () => {
    await using world = await World.create();
    world.double.put("/foo.json?bar=abc", "{}", { etag: '"abc"' });
    world.double.put("/foo.json?bar=xyz", "[]", { etag: '"abc"' });
    world.double.put("/dir/", "index", { etag: '"abc"' });
    await world.log(["/foo.json?bar=abc", "named=/foo.json?bar=xyz", "index.html=/dir/"]);
    const dir = await world.rig.mount("demo", "mnt");
    expect(String(await run("ls", dir))).toBe("foo.json\nindex.html\nnamed\n");
    expect(String(await readFileElsewhere(join(dir, "named")))).toBe("[]");
    expect(await attribute("uri", join(dir, "foo.json"))).toBe(
      `${world.double.origin}/foo.json?bar=abc`,
    );
    const nameless = await world.tryLog(["/dir/"]);
    expect(nameless).toMatchObject({ code: 2, stdout: "" });
    expect(nameless.stderr).toMatch(/--ref PATH=URI/);
  });

  test("reads and hashes what has neither ETag nor checksum, and refuses its change", async () => {
    await using world = await World.create();
    const served: ServedOptions = { etag: null, ignoresConditions: true };
    world.double.put("/same", "before", served);
    world.double.put("/other", "unlike", served);
    world.double.put("/large", LARGE, { ...served, etag: 'W/"1"' });
    await world.log(["/same", "/other", "/large"]);
    expect(await world.rig.json("ls", "demo:v0")).toMatchObject({
      entries: ["large", "other", "same"].map((name) => ({ name, assurance: "content" })),
    });
    const changed = Buffer.from(LARGE);
    changed[19_999_999] = (changed[19_999_999] ?? 0) ^ 1;
    world.double.put("/other", "behind", served);
    world.double.put("/large", changed, { ...served, etag: 'W/"1"' });
    const dir = await world.rig.mount("demo", "mnt", "--require", "content");
    expect(String(await readFileElsewhere(join(dir, "same")))).toBe("before");
    for (const name of ["other", "large"]) {
      expect(await complaintOf(join(dir, name))).toMatch(STALE);
      const [error] = (await statusOf(world.rig)).errors;
      expect(error).toMatchObject({ kind: "drifted", path: name });
      expect(error?.message).toMatch(/changed since it was logged/);
    }
    world.double.put("/large", LARGE, { ...served, etag: 'W/"2"' });
    await expect.poll(() => complaintOf(join(dir, "large")), { timeout: 8_000 }).toBe("read");
  });

  test("of an object without ETag has the digest that W&B computes of its address", async () => {
    await using world = await World.create();
    world.double.put("/a.bin", "bytes", { etag: null });
    const { digest } = await world.log(["/a.bin"]);
    expect(digest).toBe(wandbDigest("a.bin", `${world.double.origin}/a.bin`));
    world.double.put("/a.bin", "BYTES", { etag: 'W/"abc"' });
    expect((await world.log(["/a.bin"])).digest).toBe(wandbDigest("a.bin", 'W/"abc'));
  });

  test("takes checksums that the server tells for its own", async () => {
    await using world = await World.create();
    const sha256 = createHash("sha256").update(LARGE);
    const headers = { "repr-digest": `sha-256=:${sha256.digest("base64")}:` };
    world.double.put("/right", LARGE, { etag: null, headers });
    world.double.put("/wrong", "bytes", { etag: null, headers });
    await world.log(["/right", "/wrong"]);
    expect(world.double.requests.filter(({ method }) => method === "GET")).toEqual([]);
    const dir = await world.rig.mount("demo", "mnt", "--require", "provider");
    expect((await readFileElsewhere(join(dir, "right"))).equals(LARGE)).toBe(true);
    expect(await attribute("assurance", join(dir, "right"))).toBe("provider");
    expect(await complaintOf(join(dir, "wrong"))).toMatch(STALE);
  });

  test("refuses secrets in an address, versions, and what is not there", async () => {
    await using world = await World.create();
    const host = world.double.origin.slice("http://".length);
    world.double.put("/a", "bytes");
    for (const [ref, code] of [
      [`http://me:s3cret@${host}/a`, 2],
      [`http://${host}/a?X-Amz-Signature=s3cret`, 2],
      [`http://${host}/a#s3cret`, 2],
      [`http://${host}/none`, 3],
      ["http://169.254.169.254/latest/meta-data/", 4],
    ] as const) {
      const refused = await world.rig.run("log", "demo", "--type", "t", "--ref", ref);
      expect(refused).toMatchObject({ code, stdout: "" });
      expect(refused.stderr).not.toContain("s3cret");
    }
    expect((await world.tryLog(["/a"], "--pin", "version")).code).toBe(2);
    expect(await filesWith(world.rig, "s3cret")).toBe("");
    expect(await world.rig.json("ls")).toMatchObject({ collections: [] });
  });
});

describe.runIf(needs("fuse", "addon", "root", "nginx"))("a version from nginx", () => {
  let nginx: Nginx;
  beforeAll(async () => {
    nginx = await startNginx(
      (dir) => `
      location /zipping/ { gzip on; gzip_types application/json; gzip_min_length 1; }
      location /always/  { gzip_static always; }
      location /whole/   { max_ranges 0; }
      location /secret/  { auth_basic data; auth_basic_user_file ${dir}/users; }
    `,
    );
    await writeFile(join(nginx.dir, "users"), "me:{PLAIN}s3cret\n");
  });
  afterAll(() => nginx[Symbol.asyncDispose]());

  const refs = (...names: readonly string[]): string[] =>
    names.flatMap((name) => ["--ref", `${name}=${nginx.origin}/${name}`]);
  const log = (rig: Rig, ...args: readonly string[]): Promise<string> =>
    rig.ok("log", "demo", "--type", "t", ...args);

  test.each(["cached", "passthrough"])("is served as logged (%s)", async (io) => {
    await using rig = await Rig.create();
    await nginx.put("set/a.txt", "bytes of a");
    await nginx.put("set/b c.txt", "bytes of b c");
    await nginx.put("set/large.bin", LARGE);
    await nginx.put("whole/large.bin", LARGE);
    await nginx.put("empty", "");
    await log(
      rig,
      ...refs("set/a.txt", "set/large.bin", "whole/large.bin", "empty"),
      "--ref",
      `${nginx.origin}/set/b%20c.txt`,
    );
    const dir = await rig.mount("demo", "mnt", "--io", io);
    expect(String(await readFileElsewhere(join(dir, "set/a.txt")))).toBe("bytes of a");
    expect(String(await readFileElsewhere(join(dir, "b c.txt")))).toBe("bytes of b c");
    expect((await readFileElsewhere(join(dir, "empty"))).length).toBe(0);
    for (const name of ["set/large.bin", "whole/large.bin"]) {
      expect((await readFileElsewhere(join(dir, name))).equals(LARGE)).toBe(true);
    }
    expect(await attribute("assurance", join(dir, "set/a.txt"))).toBe("pin");
    const gets = (await nginx.requests()).filter((line) => line.startsWith("GET /set/large.bin"));
    expect(new Set(gets.map((line) => line.split(" ")[3])).size).toBeGreaterThan(2);
    expect((await statusOf(rig)).errors).toEqual([]);
  });

  test("that changed on the server is refused, and what is cached still served", async () => {
    await using rig = await Rig.create();
    for (const name of ["kept", "changed", "gone"]) await nginx.put(name, "as logged");
    await nginx.put("large", LARGE);
    await log(rig, ...refs("kept", "changed", "gone", "large"));
    const dir = await rig.mount("demo", "mnt");
    expect(String(await readFileElsewhere(join(dir, "kept")))).toBe("as logged");
    await nginx.put("kept", "something else");
    await nginx.put("changed", "something else");
    await nginx.put("large", randomBytes(LARGE.length + 1));
    await nginx.remove("gone");
    for (const name of ["changed", "large", "gone"]) {
      expect(await complaintOf(join(dir, name))).toMatch(STALE);
      expect((await statusOf(rig)).errors[0]).toMatchObject({
        kind: "drifted",
        path: name,
        subject: `${nginx.origin}/${name}`,
      });
    }
    expect(String(await readFileElsewhere(join(dir, "kept")))).toBe("as logged");
  });

  test("logged with --hash stays what it is when its file is only written anew", async () => {
    await using rig = await Rig.create();
    await nginx.put("deployed", "the same");
    await nginx.put("changed", "not the same");
    await log(rig, ...refs("deployed", "changed"), "--hash");
    // Another modification time is another ETag.
    await run("touch", "-d", "2001-02-03", join(nginx.dir, "root/deployed"));
    await nginx.put("changed", "NOT the same");
    const dir = await rig.mount("demo", "mnt");
    expect(String(await readFileElsewhere(join(dir, "deployed")))).toBe("the same");
    expect(await attribute("assurance", join(dir, "deployed"))).toBe("content");
    expect(await complaintOf(join(dir, "changed"))).toMatch(STALE);
  });

  test("is never inflated", async () => {
    await using rig = await Rig.create();
    const text = JSON.stringify(Array.from({ length: 5_000 }, (_, index) => index));
    await nginx.put("zipping/a.json", text);
    await nginx.put("always/a.json.gz", gzipSync(text));
    const { stderr } = await rig.run(
      ...["log", "demo", "--type", "t", ...refs("zipping/a.json", "always/a.json")],
    );
    expect(stderr).toMatch(/always\/a\.json: .*compressed \(gzip\)/);
    expect(stderr).not.toMatch(/zipping/);
    const dir = await rig.mount("demo", "mnt");
    expect(String(await readFileElsewhere(join(dir, "zipping/a.json")))).toBe(text);
    const zipped = await readFileElsewhere(join(dir, "always/a.json"));
    expect(gunzipSync(zipped).toString()).toBe(text);
  });

  test("needs its password for each mount, which no file of refmount's holds", async () => {
    await using rig = await Rig.create();
    await nginx.put("secret/a", "first");
    await nginx.put("secret/b", "second");
    const without = await rig.run("log", "demo", "--type", "t", ...refs("secret/a", "secret/b"));
    expect(without).toMatchObject({ code: 4 });
    expect(without.stderr).toMatch(/no credentials were sent/);
    await writeFile(rig.path("user/.netrc"), "machine 127.0.0.1 login me password s3cret\n");
    await log(rig, ...refs("secret/a", "secret/b"));
    const dir = await rig.mount("demo", "mnt");
    expect(String(await readFileElsewhere(join(dir, "secret/a")))).toBe("first");
    await writeFile(rig.path("user/.netrc"), "machine 127.0.0.1 login me password old-s3cret\n");
    await writeFile(join(nginx.dir, "users"), "me:{PLAIN}changed\n");
    expect(await complaintOf(join(dir, "secret/b"))).toMatch(DENIED);
    const status = await statusOf(rig);
    expect(status.errors[0]?.message).toMatch(/its entry in \.netrc/);
    const error = await attribute("error", join(dir, "secret/b"));
    const basic = Buffer.from("me:s3cret").toString("base64");
    for (const secret of ["s3cret", basic]) {
      expect(JSON.stringify(status) + error).not.toContain(secret);
      expect(await filesWith(rig, secret)).toBe("");
    }
    // What .netrc has by then is tried.
    await writeFile(rig.path("user/.netrc"), "machine 127.0.0.1 login me password changed\n");
    await expect.poll(() => complaintOf(join(dir, "secret/b")), { timeout: 8_000 }).toBe("read");
    await writeFile(join(nginx.dir, "users"), "me:{PLAIN}s3cret\n");
  });
});

describe.runIf(needs("fuse", "addon", "root"))("a version with tokens", () => {
  test("is read with those of the shell that mounts it, along redirects without them", async () => {
    await using world = await World.create();
    const { double, rig } = world;
    await using cdn = await startHttpDouble();
    double.guard("/", { authorization: "Bearer s3cret" });
    double.put("/a", "first");
    double.put("/b", "second");
    const signed = (path: string): string => `${path}?X-Amz-Signature=s1gned`;
    for (const path of ["/c", "/d"]) {
      double.redirect(path, cdn.origin + signed(path));
      cdn.put(signed(path), LARGE);
    }
    const environment = {
      REFMOUNT_HTTP_HEADERS: JSON.stringify({
        [double.origin]: { Authorization: "Bearer s3cret" },
      }),
    };
    const refs = world.refs(["/a", "/b", "/c", "/d"]);
    const logged = rig.start(["log", "demo", "--type", "t", ...refs], { environment });
    expect(await logged.ended).toMatchObject({ code: 0 });
    const [withToken, without] = [rig.path("with"), rig.path("without")];
    await mkdir(withToken);
    await mkdir(without);
    const mounted = rig.start(["mount", "demo", withToken], { environment });
    expect(await mounted.ended).toMatchObject({ code: 0 });
    await rig.ok("mount", "demo", without);
    expect(await complaintOf(join(without, "b"))).toMatch(DENIED);
    expect(String(await readFileElsewhere(join(withToken, "a")))).toBe("first");
    expect((await readFileElsewhere(join(withToken, "c"))).equals(LARGE)).toBe(true);
    expect(cdn.requests.length).toBeGreaterThan(1);
    expect(JSON.stringify(cdn.requests)).not.toContain("s3cret");
    cdn.remove(signed("/d"));
    expect(await complaintOf(join(withToken, "d"))).toMatch(STALE);
    const shown = [
      JSON.stringify(await statusOf(rig)),
      await rig.ok("show", "demo"),
      await rig.ok("ls", "demo"),
      String(await run("getfattr", "-d", "-m", "user", join(withToken, "d"))),
    ].join();
    for (const secret of ["s3cret", "s1gned"]) {
      expect(shown).not.toContain(secret);
      expect(await filesWith(rig, secret)).toBe("");
    }
  });

  test("never leads to a name that has a metadata address", async () => {
    await using world = await World.create();
    world.double.redirect("/a", "http://rebound.test/latest/meta-data/");
    const hosts = await world.rig.tree("etc", {
      hosts: "127.0.0.1 localhost\n169.254.169.254 rebound.test\n",
    });
    const script = 'mount --bind "$1/hosts" /etc/hosts && shift && exec "$@"';
    const refs = ["http://rebound.test/latest/meta-data/", `${world.double.origin}/a`];
    for (const ref of refs) {
      const main = [process.execPath, distFile("main.js")];
      const args = [...main, "log", "demo", "--type", "t", "--ref", ref];
      const outcome = await run(
        ...(["unshare", "-m", "env", ...environmentOf(world.rig)] as const),
        ...["sh", "-c", script, "sh", hosts, ...args],
      ).catch((error: unknown) => error);
      expect(String(outcome)).toMatch(
        /rebound\.test \(169\.254\.169\.254\) is not connected to: it is link-local/,
      );
    }
  });
});

function environmentOf(rig: Rig): string[] {
  return Object.entries(rig.environment).map(([name, value]) => `${name}=${value}`);
}
