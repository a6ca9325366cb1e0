// The mount table as the kernel writes it in /proc/self/mountinfo: the way to learn about mounts
// without touching them, since a stale or dead one may block whoever does. Reads nothing.

export interface MountedFileSystem {
  readonly mountPoint: string;
  readonly fsType: string;
  readonly source: string;
  /** "major:minor", as in /sys/class/bdi and /sys/fs/fuse/connections. */
  readonly device: string;
}

/** All mounts, in mount order: the last one at a path is the one that is seen there. */
export function parseMountTable(text: string): readonly MountedFileSystem[] {
  return text.split("\n").flatMap((line) => {
    const parsed = parseMountInfoLine(line);
    return parsed === null ? [] : [parsed];
  });
}

/** One line: `36 35 98:0 /root /mount/point options optional... - type source superOptions`. */
export function parseMountInfoLine(line: string): MountedFileSystem | null {
  const [left, right] = line.split(" - ", 2);
  if (left === undefined || right === undefined) return null;
  const [, , device, , mountPoint] = left.split(" ");
  const [fsType, source] = right.split(" ");
  if (device === undefined || mountPoint === undefined) return null;
  if (fsType === undefined || source === undefined) return null;
  return { device, mountPoint: unescape(mountPoint), fsType, source: unescape(source) };
}

/** The mount that holds the absolute `path`, which has no symbolic links; undefined without a root. */
export function mountAround(
  path: string,
  mounts: readonly MountedFileSystem[],
): MountedFileSystem | undefined {
  let found: MountedFileSystem | undefined;
  for (const mount of mounts) {
    const { mountPoint } = mount;
    if (found !== undefined && mountPoint.length < found.mountPoint.length) continue;
    const below = mountPoint === "/" ? "/" : `${mountPoint}/`;
    if (path === mountPoint || path.startsWith(below)) found = mount;
  }
  return found;
}

// The kernel writes space, tab, newline and backslash as octal.
function unescape(text: string): string {
  if (!text.includes("\\")) return text;
  const bytes = Buffer.from(text, "utf8");
  const out: number[] = [];
  for (let index = 0; index < bytes.length; index++) {
    const octal = bytes[index] === 0x5c ? bytes.toString("latin1", index + 1, index + 4) : "";
    if (/^[0-7]{3}$/.test(octal)) {
      out.push(parseInt(octal, 8));
      index += 3;
    } else {
      out.push(bytes[index] ?? 0);
    }
  }
  return Buffer.from(out).toString("utf8");
}
