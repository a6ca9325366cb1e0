// What a reader of a mount sees when Azure, or the way to it, has an accident: which error, what
// `status` says of it, and that the file reads when the accident is over. Never a wrong byte.

import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { startAzureDouble, type Accident, type AzureDouble } from "../support/azure-double.js";
import {
  ALIKE_IN_RANGES,
  BOTH,
  CORRUPT,
  DENIED,
  OTHERWISE_IN_RANGES,
  REFUSED_CONNECTIONS,
  SIZES,
  STALE,
  UNAVAILABLE,
  contentOf,
  expectOutcome,
  expectRecovery,
  keyOf,
  mountDemo,
  otherContentOf,
  type Luck,
  type SizeName,
} from "../support/bad-luck.js";
import { makeCertificate } from "../support/certificate.js";
import { Folder } from "../support/entries.js";
import { needs } from "../support/needs.js";
import { complaintOf, run } from "../support/reader.js";
import { Rig } from "../support/rig.js";
import { statusOf } from "../support/status.js";
import { TokenServer } from "../support/token-server.js";

const SMALL: readonly SizeName[] = ["small"];

/** The blob that one test reads. */
interface Target {
  readonly name: string;
  readonly sizeBytes: number;
}

interface AzureLuck extends Luck<AzureDouble, Target> {
  /** "kept" has versions, "plain" has none, so that its blobs are pinned by ETag. */
  readonly container?: "kept" | "plain";
  /** Large blobs are read in ranges; small ones, all there are unless given, at once. */
  readonly sizes?: readonly SizeName[];
}

const refused =
  (status: number, code: string): (() => Accident) =>
  () => ({ status, code });

const ACCIDENTS: readonly AzureLuck[] = [
  {
    name: "403 AuthorizationPermissionMismatch",
    accident: refused(403, "AuthorizationPermissionMismatch"),
    outcome: {
      ...DENIED,
      message: /access was refused to the account key.*Storage Blob Data Reader/,
    },
  },
  {
    name: "401",
    accident: refused(401, "NoAuthenticationInformation"),
    outcome: { ...DENIED, message: /401 NoAuthenticationInformation/ },
  },
  {
    name: "404 BlobNotFound",
    container: "plain",
    accident: refused(404, "BlobNotFound"),
    outcome: { ...STALE, message: /gone; it was deleted/ },
  },
  {
    name: "404 ContainerNotFound",
    sizes: BOTH,
    accident: refused(404, "ContainerNotFound"),
    outcome: { ...STALE, message: /the container does not exist/ },
  },
  {
    name: "a version deleted for ever",
    accident: refused(404, "BlobNotFound"),
    outcome: { ...STALE, message: /pinned version is gone/ },
  },
  {
    name: "412, overwritten",
    sizes: BOTH,
    container: "plain",
    accident: refused(412, "ConditionNotMet"),
    outcome: { ...STALE, message: /overwritten since it was logged/ },
  },
  {
    name: "an archived blob",
    accident: refused(409, "BlobArchived"),
    outcome: { ...DENIED, message: /archive tier.*rehydrate it first/ },
  },
  {
    name: "a blob with a customer's key",
    accident: refused(409, "BlobUsesCustomerSpecifiedEncryption"),
    outcome: { ...DENIED, message: /customer-provided/ },
  },
  {
    name: "a rotated key",
    harm: (double) => {
      double.authority.key = Buffer.from("rotated").toString("base64");
    },
    mend: (double) => {
      double.authority.key = KEY;
    },
    outcome: { ...DENIED, message: /the account key in .* was not accepted.*AuthenticationFailed/ },
  },
  {
    name: "a wrong clock",
    harm: (double) => {
      double.authority.clockAheadMs = 7_200_000;
    },
    mend: (double) => {
      double.authority.clockAheadMs = 0;
    },
    outcome: { ...DENIED, message: /clock is wrong/ },
  },
  {
    name: "416",
    accident: refused(416, "InvalidRange"),
    outcome: { ...CORRUPT, message: /shorter than logged/ },
  },
  {
    name: "503 four times",
    sizes: BOTH,
    accident: refused(503, "ServerBusy"),
    times: 4,
    outcome: "read",
  },
  {
    name: "503 for ever",
    accident: refused(503, "ServerBusy"),
    outcome: { ...UNAVAILABLE, message: /overloaded or failing \(503 ServerBusy\)/ },
  },
  {
    name: "long bodies for ever",
    accident: () => ({ longByBytes: 10 }),
    outcome: { ...CORRUPT, message: /more than .* promised/ },
  },
  {
    name: "a bit flipped for ever",
    accident: () => ({ flipByteAt: 70_000 }),
    outcome: { ...CORRUPT, message: /received damaged.*md5 that the store holds/ },
  },
  {
    name: "a bit flipped for ever near the end, without versions",
    sizes: BOTH,
    container: "plain",
    accident: ({ sizeBytes }) => ({ flipByteAt: sizeBytes - 1 }),
    outcome: { ...CORRUPT, message: /received damaged.*md5 that the store holds/ },
  },
  {
    name: "another version's bytes under this version's headers",
    sizes: BOTH,
    accident: (target, double) => ({ bytesOfVersion: otherVersion(double, target) }),
    outcome: { ...CORRUPT, message: /md5 that the store holds/ },
  },
  {
    name: "a server that answers with another version",
    sizes: BOTH,
    accident: (target, double) => ({ answerWithVersion: otherVersion(double, target) }),
    outcome: { ...CORRUPT, message: /answered with version/ },
  },
  {
    name: "a server that ignores the version, as emulators do",
    accident: (target, double) => ({
      answerWithVersion: otherVersion(double, target),
      headers: { "x-ms-version-id": "" },
    }),
    outcome: { ...STALE, message: /keeps no versions/ },
  },
  {
    name: "another ETag than asked for",
    container: "plain",
    accident: () => ({ headers: { etag: '"0x8D0000000000000"' } }),
    outcome: { ...STALE, message: /has the ETag/ },
  },
  {
    name: "an answer about another range",
    sizes: ["large"],
    accident: ({ sizeBytes }) => ({
      headers: { "content-range": `bytes 1-8388608/${sizeBytes}` },
    }),
    outcome: { ...CORRUPT, message: /another range/ },
  },
  {
    name: "another size than logged",
    sizes: BOTH,
    accident: () => ({ headers: { "content-length": "5", "content-range": "bytes 0-4/5" } }),
    outcome: { ...CORRUPT, message: /size|range/ },
  },
  ...OTHERWISE_IN_RANGES.map((luck) => ({ ...luck, sizes: BOTH })),
  ...ALIKE_IN_RANGES,
  REFUSED_CONNECTIONS,
];

const KEY = Buffer.from("the key of the double, not of anybody").toString("base64");

describe.runIf(needs("fuse", "addon", "root"))("a reader, when Azure has bad luck:", () => {
  let rig: Rig;
  let double: AzureDouble;
  let dir: string;

  beforeAll(async () => {
    double = await startAzureDouble();
    rig = await Rig.create(double.environment);
    for (const [index, { container = "kept", sizes = SMALL }] of ACCIDENTS.entries()) {
      for (const size of sizes) put(double, container, index, size);
    }
    await rig.ok(
      ...["log", "demo", "--type", "t"],
      ...(["kept", "plain"] as const).flatMap((name) => ["--ref", `${name}=az://${name}`]),
    );
    dir = await mountDemo(rig);
  });

  afterEach(() => {
    double.calm();
  });

  afterAll(async () => {
    await rig[Symbol.asyncDispose]();
    await double[Symbol.asyncDispose]();
  });

  const cases = ACCIDENTS.flatMap((luck, index) =>
    (luck.sizes ?? SMALL).map((size) => ({ luck, index, size })),
  );

  test.each(cases)("$luck.name ($size)", async ({ luck, index, size }) => {
    const { container = "kept", outcome } = luck;
    const name = keyOf(index, size);
    const blob = `${container}/${name}`;
    const uri = `${double.endpoint}/${blob}`;
    const file = { dir, path: blob, uri, content: contentOf(index, size) };
    const accident = luck.accident?.({ name, sizeBytes: SIZES[size] }, double);
    if (accident !== undefined) {
      const match = { operation: "GetBlob", container, blob: name } as const;
      double.upset(match, accident, luck.times ?? Infinity);
    }
    await luck.harm?.(double);
    expect(await expectOutcome(rig, file, outcome)).not.toContain(KEY);
    if (outcome === "read") expect(gets(double, name)).toBeGreaterThan(luck.times ?? 0);
    double.calm();
    await luck.mend?.(double);
    await expectRecovery(file);
  });
});

describe.runIf(needs("fuse", "addon", "root"))("a mount with access tokens", () => {
  test("renews one that is refused, and tells whose it is when that does not help", async () => {
    using folder = new Folder();
    const certificate = makeCertificate(folder.path);
    await using double = await startAzureDouble({ certificate });
    await using tokens = await TokenServer.start();
    tokens.onToken = (token) => double.authority.tokens.add(token);
    for (const name of ["a", "b", "c"]) double.container("data").put(`set/${name}`, name);
    await using rig = await Rig.create({
      SSL_CERT_FILE: certificate.certPath,
      AZURE_STORAGE_ACCOUNT: double.authority.account,
      AZURE_STORAGE_BLOB_ENDPOINT: double.endpoint,
      IDENTITY_ENDPOINT: `${tokens.address}/msi/token`,
      IDENTITY_HEADER: "hush-hush",
    });
    await rig.ok("log", "demo", "--type", "t", "--ref", "az://data/set");
    const dir = await rig.mount("demo", "mnt");
    expect(await complaintOf(join(dir, "a"))).toBe("read");
    double.authority.tokens.clear();
    expect(await complaintOf(join(dir, "b"))).toBe("read");
    expect((await statusOf(rig)).errors).toEqual([]);

    double.authority.tokens.clear();
    tokens.onToken = () => undefined;
    expect(await complaintOf(join(dir, "c"))).toMatch(/Permission denied/);
    const [error] = (await statusOf(rig)).errors;
    expect(error?.message).toMatch(/the managed identity was not accepted/);
    expect(error?.message).not.toMatch(/hush|token-\d/);
    const search = 'grep -rlF -e hush-hush -e token-1 "$1" || test $? = 1';
    expect(String(await run("sh", "-c", search, "sh", rig.home))).toBe("");
  });
});

/** Puts a blob, and before it another version of it. */
function put(double: AzureDouble, to: "kept" | "plain", index: number, size: SizeName): void {
  const container = double.container(to);
  container.keepsVersions = to === "kept";
  if (to === "kept") container.put(keyOf(index, size), otherContentOf(index, size));
  container.put(keyOf(index, size), contentOf(index, size));
}

function otherVersion(double: AzureDouble, { name }: Target): string {
  for (const blob of double.container("kept").rows(name, new Set(["versions"]))) {
    return blob.writtenAt;
  }
  throw new Error(`${name} has no other version`);
}

function gets(double: AzureDouble, name: string): number {
  return double.requests.filter((seen) => seen.operation === "GetBlob" && seen.blob === name)
    .length;
}
