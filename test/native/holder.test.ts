import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  closeSync,
  existsSync,
  fstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { addon, holderPath } from "../../src/native/addon.js";
import { lacks } from "../support/needs.js";
import { HolderRig } from "./holder-rig.js";

/** A file of ours stands for a device: the holder does not look at what it keeps. */
function openFile(rig: HolderRig, name: string): number {
  const path = join(rig.dir, name);
  writeFileSync(path, name);
  return openSync(path, "r+");
}

test("a worker killed with -9 is started again and takes the same descriptor, state and record", async () => {
  await using rig = await HolderRig.start();
  const first = await rig.life();
  const file = openFile(rig, "device");
  const inode = fstatSync(file).ino;
  expect(rig.call('adopt m1 0 64\n{"ref":"x:v0"}\nsecond line', [file])).toBe("ok 0");
  closeSync(file);

  const taken = await first.call("take m1");
  expect(taken.answer).toBe('ok {"ref":"x:v0"}\nsecond line');
  expect(taken.files).toHaveLength(2);
  expect(taken.files[1]).toBe(inode);
  expect(await first.ask("read", taken.fds[0])).toBe("\0".repeat(64));
  await first.ask("write", [taken.fds[0], "remember"]);

  process.kill(first.pid, "SIGKILL");
  const second = await rig.life();
  expect(second.pid).not.toBe(first.pid);
  const again = await second.call("take m1");
  expect(again.files).toEqual(taken.files);
  expect(await second.ask("read", again.fds[0])).toBe("remember".padEnd(64, "\0"));
  expect(rig.stderr).toContain("signal 9");
});

test("adopt, list and drop keep exactly what they name", async () => {
  await using rig = await HolderRig.start();
  await rig.life();
  const [a, b] = [openFile(rig, "a"), openFile(rig, "b")];
  const link = rig.link();
  expect(link.call("list", []).message).toBe("ok");
  expect(link.call("adopt a 0 1\n", [a]).message).toBe("ok 0");
  expect(link.call("adopt b 0 1\n", [b]).message).toBe("ok 0");
  expect(link.call("list", []).message).toBe("ok a b");
  expect(link.call("adopt a 0 1\n", [b]).message).toMatch(/^error .*kept already/);
  expect(link.call("drop a", []).message).toBe("ok");
  expect(link.call("list", []).message).toBe("ok b");
  expect(link.call("take a", []).message).toMatch(/^error no such mount/);
  expect(link.call("drop a", []).message).toMatch(/^error no such mount/);
  closeSync(a);
  closeSync(b);
});

test("ping names the holder and the worker", async () => {
  await using rig = await HolderRig.start();
  const life = await rig.life();
  expect(rig.call("ping")).toBe(`ok ${rig.process.pid ?? 0} ${life.pid}`);
});

test("a worker that exits with 0 ends the holder, which removes its socket", async () => {
  await using rig = await HolderRig.start();
  (await rig.life()).send("exit", 0);
  expect(await rig.ended()).toBe(0);
  expect(existsSync(rig.socketPath)).toBe(false);
});

test("a worker that exits with 75 is started again, however often", async () => {
  await using rig = await HolderRig.start();
  for (let i = 0; i < 13; i++) (await rig.life()).send("exit", 75);
  await rig.life();
  expect(rig.stderr).toBe("");
});

test("after restart even an exit with 0 starts a new worker, once", async () => {
  await using rig = await HolderRig.start();
  const first = await rig.life();
  expect(rig.call("restart")).toBe("ok");
  first.send("exit", 0);
  (await rig.life()).send("exit", 0);
  expect(await rig.ended()).toBe(0);
});

test("SIGTERM and SIGINT are passed on as SIGTERM, and the holder ends with the worker", async () => {
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    await using rig = await HolderRig.start();
    const life = await rig.life();
    rig.process.kill(signal);
    expect(await life.next()).toEqual({ signal: "SIGTERM" });
    expect(await rig.ended()).toBe(0);
  }
});

test.each([
  ["exit 143", 0],
  ["trap - TERM; kill -TERM $$", 0],
  ["exit 7", 1],
])("a worker that answers SIGTERM with `%s` ends the holder with %i", async (answer, code) => {
  await using rig = new HolderRig();
  const script = `trap '${answer}' TERM; echo up; while :; do sleep 0.05; done`;
  const holder = spawn(holderPath(), ["--socket", rig.socketPath, "--", "sh", "-c", script]);
  await once(holder.stdout, "data");
  holder.kill("SIGTERM");
  expect(await once(holder, "exit")).toEqual([code, null]);
});

test("a second SIGTERM kills a worker that does not end", async () => {
  await using rig = await HolderRig.start();
  const life = await rig.life();
  await life.ask("disobey");
  rig.process.kill("SIGTERM");
  expect(await life.next()).toEqual({ signal: "SIGTERM" });
  rig.process.kill("SIGTERM");
  expect(await rig.ended()).toBe(1);
  await life.gone();
});

test("a holder that is killed takes the worker with it", async () => {
  await using rig = await HolderRig.start();
  const life = await rig.life();
  rig.process.kill("SIGKILL");
  expect(await rig.ended()).toBe("SIGKILL");
  expect(await life.next()).toEqual({ signal: "SIGTERM" });
  await life.gone();
});

test("malformed requests are answered with an error and harm nobody", async () => {
  await using rig = await HolderRig.start();
  await rig.life();
  const file = openFile(rig, "device");
  const link = rig.link();
  const bad: [string, number[]][] = [
    ["", []],
    ["\n\n", []],
    ["nonsense", []],
    ["adopt", []],
    ["adopt a 0 1\nrecord", []],
    ["adopt a 0 1\nrecord", [file, file]],
    ["adopt a 0 0\n", [file]],
    ["adopt a -1 1\n", [file]],
    ["adopt a 65 1\n", [file]],
    ["adopt a 0 99999999999999999999\n", [file]],
    ["adopt a 0 99999999999999999\n", [file]],
    ["adopt a 0x1 1\n", [file]],
    ["adopt ../a 0 1\n", [file]],
    [`adopt ${"a".repeat(65)} 0 1\n`, [file]],
    ["take", []],
    ["drop a b", []],
  ];
  for (const [message, fds] of bad) {
    // An empty packet is how a peer that closed looks: the holder hangs up.
    if (message === "") expect(() => rig.link().call(message, fds)).toThrow(/ECONNRESET/);
    else expect(link.call(message, fds).message, message).toMatch(/^error /);
  }
  expect(link.call("list", []).message).toBe("ok");
  closeSync(file);
});

test("an oversized message is refused by the sender, and by the holder when it comes all the same", async () => {
  await using rig = await HolderRig.start();
  await rig.life();
  const link = rig.link();
  expect(() => link.call("x".repeat(200 * 1024), [])).toThrow(
    expect.objectContaining({ code: "EMSGSIZE" }),
  );
  const file = openFile(rig, "device");
  expect(link.call(`adopt a 0 1\n${"r".repeat(196_000)}`, [file]).message).toMatch(/too large/);
  const sent = spawnSync(
    "python3",
    [
      "-c",
      "import socket,sys\n" +
        "s=socket.socket(socket.AF_UNIX,socket.SOCK_SEQPACKET)\n" +
        "s.connect(sys.argv[1])\n" +
        "s.send(b'x'*200000)\n" +
        "print(s.recv(1000).decode())\n" +
        "s.send(b'list')\n" +
        "print(s.recv(1000).decode())",
      rig.socketPath,
    ],
    { encoding: "utf8" },
  );
  expect(sent.stdout).toBe("error the message is too large\nok\n");
  closeSync(file);
});

test("the largest record passes whole in both directions", async () => {
  await using rig = await HolderRig.start();
  await rig.life();
  const file = openFile(rig, "device");
  const record = "r".repeat(191 * 1024);
  const link = rig.link();
  expect(link.call(`adopt a 0 1\n${record}`, [file]).message).toBe("ok 0");
  const taken = link.call("take a", []);
  expect(taken.message).toBe(`ok ${record}`);
  expect(taken.fds).toHaveLength(2);
  for (const fd of taken.fds) addon().closeFd(fd);
  closeSync(file);
});

test("a client that takes no answers does not stop the others", async () => {
  await using rig = await HolderRig.start();
  await rig.life();
  const file = openFile(rig, "device");
  expect(rig.call(`adopt a 0 1\n${"r".repeat(100_000)}`, [file])).toBe("ok 0");
  closeSync(file);
  const deaf = spawnSync(
    "python3",
    [
      "-c",
      "import socket,sys\n" +
        "s=socket.socket(socket.AF_UNIX,socket.SOCK_SEQPACKET)\n" +
        "s.connect(sys.argv[1])\n" +
        "s.settimeout(20)\n" +
        "try:\n" +
        "  for i in range(100): s.send(b'take a')\n" +
        "except OSError as e: print(type(e).__name__)",
      rig.socketPath,
    ],
    { encoding: "utf8" },
  );
  expect(deaf.stdout).toMatch(/^(BrokenPipe|ConnectionReset)Error$/m);
  expect(rig.call("list")).toBe("ok a");
});

test("the worker gets its arguments, the socket's path, and no descriptor that is not taken", async () => {
  await using rig = await HolderRig.start();
  const life = await rig.life();
  expect(statSync(rig.socketPath).mode & 0o777).toBe(0o600);
  const file = openFile(rig, "device");
  rig.call("adopt a 0 1\n", [file]);
  process.kill(life.pid, "SIGKILL");
  const next = await rig.life();
  const environment = readFileSync(`/proc/${next.pid}/environ`, "utf8").split("\0");
  expect(environment).toContain(`REFMOUNT_HOLDER=${rig.socketPath}`);
  const links = spawnSync("ls", ["-l", `/proc/${next.pid}/fd`], { encoding: "utf8" }).stdout;
  expect(links).not.toContain(join(rig.dir, "device"));
  closeSync(file);
});

test("a mount is handed to a new holder on its command line", async () => {
  await using idle = new HolderRig();
  const record = join(idle.dir, "record");
  writeFileSync(record, "{}");
  const file = openSync(record, "r");
  await using rig = await HolderRig.start(
    ["--foreground", "--adopt", "3:given:0:128", "--record", record],
    [file],
  );
  const life = await rig.life();
  const taken = await life.call("take given");
  expect(taken.answer).toBe("ok {}");
  expect(taken.files[1]).toBe(fstatSync(file).ino);
  closeSync(file);
});

test("a second holder on a live socket refuses to start; a dead one's socket is replaced", async () => {
  await using rig = await HolderRig.start();
  const life = await rig.life();
  const start = () =>
    spawnSync(holderPath(), ["--socket", rig.socketPath, "--", "true"], { encoding: "utf8" });
  expect(start()).toMatchObject({
    status: 1,
    stderr: expect.stringContaining("Address already") as unknown,
  });
  rig.process.kill("SIGKILL");
  await rig.ended();
  await life.gone();
  expect(existsSync(rig.socketPath)).toBe(true);
  expect(start().status).toBe(0);
});

test("a worker that cannot be started, or a wrong command line, ends the holder with a reason", async () => {
  await using rig = new HolderRig();
  const run = (...words: string[]) => spawnSync(holderPath(), words, { encoding: "utf8" });
  expect(run("--socket", rig.socketPath, "--", "/nonexistent/worker")).toMatchObject({
    status: 1,
    stderr: expect.stringContaining("No such file") as unknown,
  });
  expect(existsSync(rig.socketPath)).toBe(false);
  for (const words of [
    [],
    ["--socket", rig.socketPath],
    ["--socket", "x".repeat(200), "--", "true"],
    ["--socket", rig.socketPath, "--adopt", "77:a", "--record", "/dev/null", "--", "true"],
    ["--socket", rig.socketPath, "--adopt", "0:a", "--", "true"],
    ["--what", "--", "true"],
  ]) {
    expect(run(...words).status, words.join(" ")).toBeGreaterThan(0);
  }
});

describe.skipIf(lacks("root"))("another user", () => {
  test("is refused even where the socket lets him in", async () => {
    await using rig = await HolderRig.start();
    await rig.life();
    chmodSync(rig.dir, 0o755);
    chmodSync(rig.socketPath, 0o666);
    const script = `
      const addon = require(${JSON.stringify(join(holderPath(), "../refmount.node"))});
      console.log(addon.connectHolder(process.argv[1]).call("list", []).message);`;
    const asked = spawnSync(
      "setpriv",
      [
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        process.execPath,
        "-e",
        script,
        rig.socketPath,
      ],
      { encoding: "utf8" },
    );
    expect(asked.stdout).toBe("error this holder belongs to another user\n");
  });
});

describe.skipIf(lacks("root", "fuse"))("with a real device", () => {
  const FUSE_INIT = 26;

  test("clones are opened, a new worker reads what the kernel asks, and the end unmounts", async () => {
    await using rig = await HolderRig.start();
    const first = await rig.life();
    const dir = join(rig.dir, "a mount\twith \u{1F4C1}");
    mkdirSync(dir);
    const device = addon().attach(dir, { fsname: "refmount-test", allowOther: false });
    const record = JSON.stringify({ options: { directory: "/wrong" }, directory: dir });
    expect(rig.call(`adopt m 3 4096\n${record}`, [device])).toBe("ok 3");
    addon().closeFd(device);
    expect((await first.call("take m")).fds).toHaveLength(5);
    process.kill(first.pid, "SIGKILL");

    const second = await rig.life();
    const taken = await second.call("take m");
    expect(taken.fds).toHaveLength(5);
    expect(await second.ask("readDevice", taken.fds[1])).toBe(FUSE_INIT);

    expect(readFileSync("/proc/self/mounts", "utf8")).toContain("refmount-test");
    await second.ask("disobey");
    rig.process.kill("SIGTERM");
    await second.next();
    rig.process.kill("SIGTERM");
    expect(await rig.ended()).toBe(1);
    expect(readFileSync("/proc/self/mounts", "utf8")).not.toContain(rig.dir);
  });
});
