import { expect, test } from "vitest";
import { mountAround, parseMountInfoLine, parseMountTable } from "../../src/model/mount-table.js";

const LINE =
  "36 35 0:52 / /data/mnist ro,nosuid,nodev shared:1 master:2 - fuse.refmount team/mnist:v3 ro,user_id=0";

test("a line gives the mountpoint, the type, the source and the device", () => {
  expect(parseMountInfoLine(LINE)).toEqual({
    mountPoint: "/data/mnist",
    fsType: "fuse.refmount",
    source: "team/mnist:v3",
    device: "0:52",
  });
});

test("a line without optional fields, or with an empty source, is one too", () => {
  const plain = "36 35 0:52 / /mnt ro - tmpfs  rw";
  expect(parseMountInfoLine(plain)).toMatchObject({ mountPoint: "/mnt", source: "" });
});

test.each(["", "36 35", "36 35 0:52 / /mnt ro", "36 35 0:52 / - tmpfs none rw"])(
  "%j is no mount",
  (line) => {
    expect(parseMountInfoLine(line)).toBeNull();
  },
);

test("what the kernel wrote as octal is read back, and nothing else", () => {
  const line = "36 35 0:52 / /a\\040b\\011c\\012d\\134e\\0f\\9 ro - fuse.refmount x\\040y ro";
  expect(parseMountInfoLine(line)).toMatchObject({
    mountPoint: "/a b\tc\nd\\e\\0f\\9",
    source: "x y",
  });
});

const TABLE = parseMountTable(
  [
    "1 0 8:1 / / rw - ext4 /dev/sda1 rw",
    "2 1 0:40 / /mnt/nfs rw - nfs4 server:/a rw",
    "3 1 0:41 / /mnt/nfs2 rw - nfs4 server:/b rw",
    "4 2 0:42 / /mnt/nfs/deep rw - tmpfs none rw",
    "5 1 0:43 / /over rw - tmpfs none rw",
    "6 1 0:44 / /over rw - fuse.sshfs host: rw",
    "",
  ].join("\n"),
);

test.each([
  ["/", "/"],
  ["/mnt", "/"],
  ["/mnt/nf", "/"],
  ["/mnt/nfs", "/mnt/nfs"],
  ["/mnt/nfs/file", "/mnt/nfs"],
  ["/mnt/nfs2/file", "/mnt/nfs2"],
  ["/mnt/nfs/deep/er/file", "/mnt/nfs/deep"],
  ["/mnt/nfs/deeper", "/mnt/nfs"],
])("%s lies in the mount at %s", (path, mountPoint) => {
  expect(mountAround(path, TABLE)?.mountPoint).toBe(mountPoint);
});

test("of two mounts at one place it is the later one", () => {
  expect(mountAround("/over/x", TABLE)?.fsType).toBe("fuse.sshfs");
});

test("a table without a root holds only what is below its mounts", () => {
  const table = parseMountTable("2 1 0:40 / /mnt/nfs rw - nfs4 server:/a rw\n");
  expect(mountAround("/elsewhere", table)).toBeUndefined();
});
