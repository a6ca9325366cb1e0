// Unmounting at the end of a command, whatever is in the way.

import { unmountDir } from "../daemon/client.js";
import type { Home } from "../daemon/home.js";
import { Fault } from "../model/fault.js";

/** Unmounts `dir`, lazily where it is in use; what does not work is noted, never thrown. */
export async function unmountAlways(
  home: Home,
  dir: string,
  note: (text: string) => void,
): Promise<void> {
  try {
    await unmountDir(home, dir, { force: false });
  } catch (error) {
    if (error instanceof Fault && error.kind === "not-found") return;
    try {
      await unmountDir(home, dir, { force: true });
      note(`${dir} was still in use; it is detached and goes when its last reader ends`);
    } catch (second) {
      note(`${dir} is still mounted: ${(second as Error).message}`);
    }
  }
}
