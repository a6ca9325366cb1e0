import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { openHome, type Home } from "../../src/daemon/home.js";
import { claimStart, daemonEnvironment, holderArguments } from "../../src/daemon/start.js";
import { addon } from "../../src/native/addon.js";
import { HolderRig } from "../native/holder-rig.js";

const folder = mkdtempSync(join(tmpdir(), "refmount-start-"));
afterAll(() => rmSync(folder, { recursive: true }));

let made = 0;

function home(): Home {
  return openHome(join(folder, String(++made)), {});
}

test("the daemon's own environment holds no credentials, since each mount brings its own", () => {
  const kept = daemonEnvironment(home(), {
    PATH: "/bin",
    HOME: "/home/someone",
    AWS_SECRET_ACCESS_KEY: "secret",
    AWS_SESSION_TOKEN: "secret",
    WANDB_API_KEY: "secret",
    HTTPS_PROXY: "http://someone:secret@proxy",
    NODE_OPTIONS: "--inspect",
    REFMOUNT_HOLDER: "/elsewhere",
    XDG_DATA_HOME: "/data",
  });
  expect(JSON.stringify(kept)).not.toContain("secret");
  expect(kept).toMatchObject({ PATH: "/bin", HOME: "/home/someone", XDG_DATA_HOME: "/data" });
  expect(Object.keys(kept)).not.toContain("NODE_OPTIONS");
  expect(Object.keys(kept)).not.toContain("REFMOUNT_HOLDER");
});

test("the daemon is told of a chosen home only", () => {
  const chosen = home();
  expect(daemonEnvironment(chosen, {})["REFMOUNT_HOME"]).toBe(chosen.root);
  const user = join(folder, "user");
  const xdg = openHome(undefined, { HOME: user, XDG_RUNTIME_DIR: join(user, "run") });
  expect(daemonEnvironment(xdg, {})).not.toHaveProperty("REFMOUNT_HOME");
});

test("the holder gets the worker's command after its own options", () => {
  const one = home();
  const words = holderArguments(one, ["--foreground"]);
  expect(words.slice(0, 4)).toEqual(["--socket", one.holderSocket, "--foreground", "--"]);
  expect(words.slice(4)).toEqual([process.execPath, expect.stringMatching(/main\.js$/), "daemon"]);
});

test("one process at a time may start a daemon, and the others are told why they waited", async () => {
  const one = home();
  const lock = await claimStart(one);
  expect(lock).not.toBeNull();
  await expect(claimStart(one, performance.now())).rejects.toMatchObject({
    kind: "unavailable",
    message: expect.stringContaining("another command has been starting it") as string,
  });
  const waiting = claimStart(one);
  addon().closeFd(lock ?? -1);
  const next = await waiting;
  expect(next).not.toBeNull();
  addon().closeFd(next ?? -1);
});

test("nobody starts a daemon beside a holder that lives, and the log's end is told", async () => {
  await using rig = await HolderRig.start();
  await rig.life();
  const one: Home = { ...home(), holderSocket: rig.socketPath };
  writeFileSync(one.logPath, "old\nfirst\nsecond\nthird\n");
  await expect(claimStart(one, performance.now())).rejects.toMatchObject({
    kind: "unavailable",
    message: expect.stringMatching(
      /its holder lives but its worker does not.*daemon\.log:\nfirst\nsecond\nthird$/s,
    ) as string,
  });
});
