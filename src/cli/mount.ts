// refmount mount REF DIR

import { Option, type Command } from "commander";
import type { MountReport, MountRequest } from "../daemon/client.js";
import type { Home } from "../daemon/home.js";
import { ASSURANCES, parseAssurance } from "../model/assurance.js";
import { formatBytes, parseDurationMs, parseSize, plural } from "./units.js";
import { examples, openDesk, type Invocation } from "./verb.js";

/** How long a fetch goes on trying without any progress. */
export const DEFAULT_TIMEOUT_MS = 60_000;

interface Options {
  readonly type?: string;
  readonly foreground?: boolean;
  readonly allowOther?: boolean;
  readonly require: string;
  readonly cacheSize?: string;
  readonly timeout?: string;
  readonly driver: MountRequest["driver"];
  readonly io: MountRequest["io"];
}

export function addMount(program: Command, invocation: Invocation): void {
  program
    .command("mount")
    .description("mount a version as a read-only directory")
    .argument("<ref>", "[entity/][project/]name[:version or alias]; latest when none is given")
    .argument("<dir>", "an existing directory")
    .option("--type <type>", "refuse unless the artifact has this type")
    .option("--foreground", "stay attached, and unmount on SIGTERM: for containers and systemd")
    .option("--allow-other", "let other users read the mount")
    .option("--require <level>", `least assurance: ${ASSURANCES.join(", ")}`, "pin")
    .option(
      "--cache-size <size>",
      "limit of the cache, such as 10GB (default: 80 % of what is free)",
    )
    .option("--timeout <time>", "how long a fetch may go without progress (default: 60s)")
    .addOption(
      new Option("--driver <driver>", "what serves the mount")
        .choices(["native", "fuse-native"])
        .default("native"),
    )
    .addOption(
      new Option("--io <mode>", "how the kernel reads: by its page cache or the cached files")
        .choices(["auto", "cached", "passthrough"])
        .default("auto"),
    )
    .addHelpText(
      "after",
      examples(
        "refmount mount mnist:v3 /data/mnist",
        "refmount mount mnist /data/mnist --allow-other --cache-size 200GB",
        "exec refmount mount mnist:v3 /data/mnist --foreground",
      ),
    )
    .action(async (ref: string, dir: string, options: Options, command: Command) => {
      const desk = openDesk(command, invocation);
      const request: MountRequest = {
        ref,
        dir,
        ...(options.type === undefined ? {} : { type: options.type }),
        allowOther: options.allowOther === true,
        require: parseAssurance(options.require),
        cacheBytes:
          options.cacheSize === undefined ? null : parseSize(options.cacheSize, "--cache-size"),
        timeoutMs: parseTimeout(options.timeout),
        driver: options.driver,
        io: options.io,
        foreground: options.foreground === true,
      };
      const home = await desk.openHome();
      const { mountRef, unmountDir } = await import("../daemon/client.js");
      const ways = request.foreground ? await loadForeground() : null;
      const tell = (report: MountReport): void => {
        for (const note of report.notes) desk.note(note);
        desk.print(report, () => describeMount(report));
      };
      const report = await interruptibly(async (signal) => {
        const onForeground = (foreground: MountReport): void => {
          signal.throwIfAborted();
          tell(foreground);
        };
        const mounted = await mountRef(home, { ...request, onForeground }, invocation.environment);
        if (signal.aborted) await unmountDir(home, mounted.path, { force: true });
        signal.throwIfAborted();
        return mounted;
      }, invocation);
      if (ways === null) {
        tell(report);
        return;
      }
      // Nothing is awaited from the mount to here: no signal ends the process and leaves the mount.
      const unmounted = unmountOnSignal(home, report.path, invocation, ways, (text) =>
        desk.note(text),
      );
      tell(report);
      await stayAttached(home, report.path, unmounted, ways);
    });
}

export function parseTimeout(text: string | undefined): number {
  return text === undefined ? DEFAULT_TIMEOUT_MS : parseDurationMs(text, "--timeout");
}

async function interruptibly<T>(
  work: (signal: AbortSignal) => Promise<T>,
  invocation: Invocation,
): Promise<T> {
  using interruption = invocation.interrupts.abortable();
  return await work(interruption.signal);
}

interface ForegroundWays {
  readonly untilGone: typeof import("../daemon/foreground.js").untilGone;
  readonly unmountAlways: typeof import("./unmount-always.js").unmountAlways;
}

async function loadForeground(): Promise<ForegroundWays> {
  const [{ untilGone }, { unmountAlways }] = await Promise.all([
    import("../daemon/foreground.js"),
    import("./unmount-always.js"),
  ]);
  return { untilGone, unmountAlways };
}

/** From now on a signal unmounts. @returns what is aborted when that is done. */
function unmountOnSignal(
  home: Home,
  path: string,
  invocation: Invocation,
  { unmountAlways }: ForegroundWays,
  note: (text: string) => void,
): AbortSignal {
  const unmounted = new AbortController();
  invocation.interrupts.receive(() => {
    void unmountAlways(home, path, note).then(() => unmounted.abort());
    return true;
  });
  return unmounted.signal;
}

/** Waits until the mount, which a daemon serves, is gone. */
async function stayAttached(
  home: Home,
  path: string,
  unmounted: AbortSignal,
  { untilGone }: ForegroundWays,
): Promise<void> {
  try {
    await untilGone(home, path, unmounted);
  } catch (error) {
    if (!unmounted.aborted) throw error;
  }
}

function describeMount(report: MountReport): string {
  const size = `${plural(report.files, "file")}, ${formatBytes(report.bytes)}`;
  return `${report.ref} is mounted at ${report.path} (${size})`;
}
