// Starts Ceph's S3 server on loopback, in memory: one monitor, one store, one gateway, and no more.
// Needs Debian's ceph-mon, ceph-osd, radosgw and ceph-common; ask `needs("radosgw")` first.

import { S3Client } from "@aws-sdk/client-s3";
import type { ChildProcess } from "node:child_process";
import { execFile, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";

const run = promisify(execFile);
const START_TIMEOUT_MS = 60_000;
const KEYS = { accessKeyId: "AKTEST", secretAccessKey: "SKTEST" };

export interface Rgw extends AsyncDisposable {
  readonly endpoint: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** What a shell would have to set to reach it. */
  readonly environment: Record<string, string>;
}

/** A client for what a test puts there. This version of RGW takes no checksums in trailers. */
export function rgwClient(rgw: Rgw): S3Client {
  return new S3Client({
    endpoint: rgw.endpoint,
    region: "us-east-1",
    forcePathStyle: true,
    credentials: rgw,
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
  });
}

export async function startRgw(): Promise<Rgw> {
  const dir = await mkdtemp(join(tmpdir(), "refmount-rgw-"));
  const children: ChildProcess[] = [];
  const stop = async (): Promise<void> => {
    for (const child of children.reverse()) await end(child);
    await rm(dir, { recursive: true, force: true });
  };
  try {
    return { ...(await startIn(dir, children)), [Symbol.asyncDispose]: stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function startIn(
  dir: string,
  children: ChildProcess[],
): Promise<Omit<Rgw, keyof AsyncDisposable>> {
  const [v2, v1, http] = [await freePort(), await freePort(), await freePort()];
  for (const folder of ["mon", "osd/0", "run", "log", "rgw"]) {
    await mkdir(join(dir, folder), { recursive: true });
  }
  const conf = join(dir, "ceph.conf");
  const fsid = randomUUID();
  await writeFile(conf, configuration(dir, fsid, v2, v1));
  await writeFile(join(dir, "keyring"), "");
  const launch = async (command: string, ...args: string[]): Promise<void> => {
    const child = spawn(command, [...args, "-c", conf, "-f"], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    children.push(child);
    await once(child, "spawn");
    const log = createWriteStream(join(dir, "log", `${command}.out`));
    child.stdout.pipe(log);
    child.stderr.pipe(log);
  };

  const monmap = join(dir, "monmap");
  const address = `[v2:127.0.0.1:${v2},v1:127.0.0.1:${v1}]`;
  await run("monmaptool", [
    "--create",
    "--clobber",
    "--fsid",
    fsid,
    "--addv",
    "a",
    address,
    monmap,
  ]);
  await run("ceph-mon", ["--mkfs", "-i", "a", "--monmap", monmap, "-c", conf]);
  await launch("ceph-mon", "-i", "a");
  await run("ceph", ["-c", conf, "mon", "stat"], { timeout: START_TIMEOUT_MS });

  const osd = randomUUID();
  await run("ceph", ["-c", conf, "osd", "new", osd]);
  await run("ceph-osd", ["--mkfs", "-i", "0", "--osd-uuid", osd, "-c", conf]);
  await launch("ceph-osd", "-i", "0");
  await until("the OSD is up", dir, async () =>
    (await run("ceph", ["-c", conf, "osd", "stat"])).stdout.includes("1 up"),
  );

  const endpoint = `http://127.0.0.1:${http}`;
  await launch(
    "radosgw",
    "-n",
    "client.rgw",
    `--rgw-frontends=beast endpoint=127.0.0.1:${http} tcp_nodelay=1`,
  );
  await until("the gateway answers", dir, async () => (await fetch(endpoint)).status < 500);
  await run("radosgw-admin", [
    ...["-c", conf, "user", "create", "--uid=test", "--display-name=test"],
    ...[`--access-key=${KEYS.accessKeyId}`, `--secret-key=${KEYS.secretAccessKey}`],
  ]);
  return {
    endpoint,
    ...KEYS,
    environment: {
      AWS_S3_ENDPOINT_URL: endpoint,
      AWS_REGION: "us-east-1",
      AWS_ACCESS_KEY_ID: KEYS.accessKeyId,
      AWS_SECRET_ACCESS_KEY: KEYS.secretAccessKey,
    },
  };
}

function configuration(dir: string, fsid: string, v2: number, v1: number): string {
  return `[global]
fsid = ${fsid}
mon host = [v2:127.0.0.1:${v2},v1:127.0.0.1:${v1}]
public network = 127.0.0.0/8
cluster network = 127.0.0.0/8
ms bind ipv6 = false
# Secure mode needs keys, which there are none of: a gateway that may use nothing else hangs.
ms mon client mode = crc secure
auth cluster required = none
auth service required = none
auth client required = none
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon warn on pool no redundancy = false
mon max pg per osd = 2000
mon data avail crit = 1
run dir = ${dir}/run
log file = ${dir}/log/$name.log
admin socket = ${dir}/run/$name.asok
pid file =
keyring = ${dir}/keyring
[mon]
mon data = ${dir}/mon/$id
mon cluster log file = ${dir}/log/cluster.log
# A monitor alone needs not wait for others: start falls from 12 s to under 2 s.
paxos propose interval = 0.05
paxos min wait = 0.01
mon osd min up ratio = 0
[osd]
osd data = ${dir}/osd/$id
osd objectstore = memstore
memstore device bytes = 2147483648
osd max object name len = 2048
[client]
rgw data = ${dir}/rgw
rgw thread pool size = 32
rgw enable usage log = false
rgw enable ops log = false
rgw dns name =
`;
}

async function until(what: string, dir: string, check: () => Promise<boolean>): Promise<void> {
  const endMs = performance.now() + START_TIMEOUT_MS;
  while (!(await check().catch(() => false))) {
    if (performance.now() > endMs) {
      const log = await readFile(join(dir, "log", "radosgw.out"), "utf8").catch(() => "");
      throw new Error(`Ceph did not start: waited for "${what}"\n${log.slice(-2_000)}`);
    }
    await delay(50);
  }
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

/** Nothing here is worth saving: the fastest end is the best. */
async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
}
