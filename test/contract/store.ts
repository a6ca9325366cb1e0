// What every store keeps, whatever its scheme: run by each store's test on a real implementation.

import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Entry } from "../../src/model/entry.js";
import type { Fault, FaultKind } from "../../src/model/fault.js";
import type { ByteRange } from "../../src/model/fetch.js";
import type { Listed, ListOptions, Store } from "../../src/stores/store.js";

/** A store with a place of its own to put objects. */
export interface StoreUnderTest extends AsyncDisposable {
  readonly store: Store;
  /** The uri of the object or prefix `name`; "" is the whole place. */
  uri(name: string): string;
  put(name: string, bytes: Uint8Array): Promise<void>;
  remove(name: string): Promise<void>;
  /** Names that this store can hold and that are awkward in a uri or a listing. */
  readonly oddNames: readonly string[];
  /** True when an overwritten object can still be read as it was listed. */
  readonly keepsVersions: boolean;
}

/** What a kind of store cannot do at all; the contract leaves out what would need it. */
export interface Capabilities {
  /** False when a uri names one object and never a prefix or a folder. */
  readonly hasPrefixes?: boolean;
}

/** Options of a listing for tests, with the notices it gave. */
export function listOptions(
  changes: Partial<ListOptions> = {},
): ListOptions & { readonly notices: string[] } {
  const notices: string[] = [];
  return {
    pinVersion: false,
    checksum: true,
    maxObjects: 10_000,
    signal: new AbortController().signal,
    onNotice: (message) => notices.push(message),
    ...changes,
    notices,
  };
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** The entry that logging would make of what was listed, its hashes left out. */
export function entryOf(listed: Listed): Entry {
  return { ...listed, path: listed.key, digests: {}, chunks: null };
}

export async function readAll(
  store: Pick<Store, "fetch">,
  entry: Entry,
  range: ByteRange | null = null,
): Promise<Buffer> {
  await using fetched = await store.fetch(entry, range, new AbortController().signal);
  const body = Buffer.concat(await collect(fetched.body));
  await fetched.confirm?.();
  return body;
}

/** The fault that `promise` is rejected with; anything else fails the test. */
export async function faultOf(promise: Promise<unknown>): Promise<Fault> {
  const outcome = await promise.then(
    () => "it succeeded",
    (error: unknown) => error,
  );
  expect(outcome).toMatchObject({ name: "Fault" });
  return outcome as Fault;
}

export function storeContract(
  name: string,
  make: () => Promise<StoreUnderTest>,
  { hasPrefixes = true }: Capabilities = {},
): void {
  describe(`store contract: ${name}`, () => {
    const prefixTest = (what: string, run: () => Promise<void>): void => {
      if (hasPrefixes) test(what, run);
    };
    let subject: StoreUnderTest;
    beforeEach(async () => {
      subject = await make();
    });
    afterEach(async () => {
      await subject[Symbol.asyncDispose]();
    });

    const list = (at: string, changes: Partial<ListOptions> = {}): Promise<Listed[]> =>
      collect(subject.store.list(subject.uri(at), listOptions(changes)));
    const put = (objects: Record<string, string>): Promise<unknown> =>
      Promise.all(
        Object.entries(objects).map(([key, text]) => subject.put(key, Buffer.from(text))),
      );
    const keysOf = (listed: readonly Listed[]): string[] => listed.map(({ key }) => key).sort();
    const one = async (at: string): Promise<Entry> => {
      const [listed] = await list(at);
      if (listed === undefined) throw new Error(`nothing listed at ${at}`);
      return entryOf(listed);
    };
    /** Where there are prefixes, what holds for one object is tried on the prefix that holds it. */
    const around = (object: string): string =>
      hasPrefixes ? object.slice(0, object.lastIndexOf("/")) : object;

    prefixTest("a prefix lists everything below it, by relative name, with sizes", async () => {
      await put({ "set/a": "1", "set/b/c": "333", "set/b/d/e": "55555", other: "x" });
      const listed = await list("set");
      expect(keysOf(listed)).toEqual(["a", "b/c", "b/d/e"]);
      expect(listed.map(({ sizeBytes }) => sizeBytes).sort()).toEqual([1, 3, 5]);
      expect(keysOf(await list("set/"))).toEqual(["a", "b/c", "b/d/e"]);
    });

    prefixTest("what only begins with the same letters is no part of a prefix", async () => {
      await put({ "set/a": "1", "set2/b": "2", "set.txt": "3", "set-old/c": "4", "a-set/d": "5" });
      expect(keysOf(await list("set"))).toEqual(["a"]);
    });

    prefixTest("the whole place lists full names", async () => {
      await put({ "dir/LICENSE": "1", top: "2" });
      expect(keysOf(await list(""))).toEqual(["dir/LICENSE", "top"]);
    });

    test("a single object is listed by its base name", async () => {
      await put({ "set/deep/file.bin": "abc", "set/deep/file.bin2": "x" });
      const [listed] = await list("set/deep/file.bin");
      expect(listed).toMatchObject({ key: "file.bin", single: true });
      if (hasPrefixes)
        expect((await list("set")).map(({ single }) => single)).toEqual([false, false]);
    });

    test("empty objects are kept", async () => {
      await put({ "set/_SUCCESS": "", "set/a": "1" });
      if (hasPrefixes) expect(keysOf(await list("set"))).toEqual(["_SUCCESS", "a"]);
      expect((await readAll(subject.store, await one("set/_SUCCESS"))).length).toBe(0);
    });

    test("progress ends with the one object of a single object", async () => {
      await put({ "set/a": "1" });
      const counts: number[] = [];
      await list("set/a", { onProgress: (found) => counts.push(found) });
      expect(counts.at(-1)).toBe(1);
      expect((await faultOf(list("set/a", { maxObjects: 0 }))).message).toContain("--max-objects");
    });

    test("an object that is looked at is told of as it is listed", async () => {
      await put({ "set/a": "bytes" });
      const entry = await one("set/a");
      const found = entryOf(await subject.store.stat(subject.uri("set/a"), listOptions()));
      for (const name of ["path", "uri", "sizeBytes", "entryDigest", "pin"] as const) {
        expect(found[name]).toEqual(entry[name]);
      }
      const missing = subject.store.stat(subject.uri("set/none"), listOptions());
      expect((await faultOf(missing)).kind).toBe("not-found");
    });

    test("nothing found is not-found", async () => {
      await put({ here: "1" });
      expect((await faultOf(list("elsewhere"))).kind).toBe("not-found");
    });

    prefixTest("one object too many names --max-objects; exactly as many are listed", async () => {
      await put({ "set/a": "1", "set/b": "2", "set/c": "3" });
      expect(await list("set", { maxObjects: 3 })).toHaveLength(3);
      const fault = await faultOf(list("set", { maxObjects: 2 }));
      expect(fault.kind).toBe("usage");
      expect(fault.message).toContain("--max-objects");
    });

    prefixTest("progress ends with the number of objects", async () => {
      await put({ "set/a": "1", "set/b": "2" });
      const counts: number[] = [];
      await list("set", { onProgress: (found) => counts.push(found) });
      expect(counts.at(-1)).toBe(2);
    });

    test("odd names go from the listing to the bytes and back", async () => {
      await put(
        Object.fromEntries(subject.oddNames.map((odd) => [`odd/${odd}`, `bytes of ${odd}`])),
      );
      const listed = hasPrefixes
        ? await list("odd")
        : (await Promise.all(subject.oddNames.map((odd) => list(`odd/${odd}`)))).flat();
      expect(keysOf(listed)).toEqual([...subject.oddNames].sort());
      for (const object of listed) {
        const bytes = await readAll(subject.store, entryOf(object));
        expect(bytes.toString()).toBe(`bytes of ${object.key}`);
        // The uri of a listed object names exactly that object when it is logged by itself.
        const [again] = await collect(subject.store.list(object.uri, listOptions()));
        expect(again?.uri).toBe(object.uri);
      }
    });

    test("a range gives exactly its bytes", async () => {
      const bytes = Buffer.from(Array.from({ length: 70_000 }, (_, index) => index % 251));
      await subject.put("set/a", bytes);
      const entry = await one("set/a");
      for (const [start, end] of [
        [0, 1],
        [1, 70_000],
        [65_535, 65_537],
        [0, 70_000],
      ] as const) {
        const part = await readAll(subject.store, entry, { start, end });
        expect(part.equals(bytes.subarray(start, end))).toBe(true);
      }
    });

    test("a fetch tells size and range, and may be left before its end", async () => {
      await subject.put("set/a", Buffer.alloc(3_000_000, 7));
      const entry = await one("set/a");
      {
        await using fetched = await subject.store.fetch(entry, null, new AbortController().signal);
        expect(fetched.sizeBytes).toBe(3_000_000);
        expect(fetched.range).toEqual({ start: 0, end: 3_000_000 });
        for await (const chunk of fetched.body) {
          expect(chunk[0]).toBe(7);
          break;
        }
      }
      expect((await readAll(subject.store, entry)).length).toBe(3_000_000);
    });

    const kindAfter = async (
      change: (entry: Entry) => Promise<void>,
    ): Promise<FaultKind | "read"> => {
      await put({ "set/a": "before" });
      const entry = await one("set/a");
      await change(entry);
      return readAll(subject.store, entry).then(
        (bytes) => {
          expect(bytes.toString()).toBe("before");
          return "read";
        },
        (error: unknown) => (error as Fault).kind,
      );
    };

    test("an object that was removed has drifted, unless its version is kept", async () => {
      const outcome = await kindAfter(() => subject.remove("set/a"));
      expect(outcome).toBe(subject.keepsVersions ? "read" : "drifted");
    });

    test("an object that was overwritten has drifted, unless its version is kept", async () => {
      const outcome = await kindAfter(() =>
        subject
          .put("set/a", Buffer.from("behind"))
          .then(() => subject.put("set/a", Buffer.from("other size"))),
      );
      expect(outcome).toBe(subject.keepsVersions ? "read" : "drifted");
    });

    test("an aborted signal ends a fetch with its reason", async () => {
      await subject.put("set/a", Buffer.alloc(4_000_000));
      const entry = await one("set/a");
      const reason = new Error("enough");
      await expect(subject.store.fetch(entry, null, AbortSignal.abort(reason))).rejects.toBe(
        reason,
      );
      const controller = new AbortController();
      await using fetched = await subject.store.fetch(entry, null, controller.signal);
      const reading = (async () => {
        for await (const chunk of fetched.body) if (chunk.length > 0) controller.abort(reason);
      })();
      await expect(reading).rejects.toBe(reason);
    });

    test("an aborted signal ends a listing", async () => {
      await put({ "set/a": "1", "set/b": "2" });
      const reason = new Error("enough");
      const listing = list(around("set/a"), { signal: AbortSignal.abort(reason) });
      await expect(listing).rejects.toBe(reason);
    });

    test("without checksums nothing is pinned and nothing is claimed", async () => {
      await put({ "set/a": "1" });
      const [listed] = await list(around("set/a"), { checksum: false });
      expect(listed).toMatchObject({ pin: {}, claims: [] });
    });
  });
}
