// refmount unmount DIR

import { resolve } from "node:path";
import type { Command } from "commander";
import { examples, openDesk, type Invocation } from "./verb.js";

interface Options {
  readonly force?: boolean;
}

export function addUnmount(program: Command, invocation: Invocation): void {
  program
    .command("unmount")
    .alias("umount")
    .description("unmount a directory; returns when it is gone")
    .argument("<dir>", "where an artifact is mounted")
    .option("--force", "detach it although it is in use; readers keep what they have open")
    .addHelpText("after", examples("refmount unmount /data/mnist"))
    .action(async (dir: string, options: Options, command: Command) => {
      const desk = openDesk(command, invocation);
      const { unmountDir } = await import("../daemon/client.js");
      await unmountDir(await desk.openHome(), dir, { force: options.force === true });
      if (desk.json) desk.print({ path: resolve(dir) }, () => "");
    });
}
