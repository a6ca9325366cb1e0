"""Shows a folder at a mountpoint, and holds, slows or fails operations on it as its parent asks.

Speaks the FUSE protocol on /dev/fuse itself, so that it can leave a request unanswered as a dead NFS
server does, and answer EINTR when the kernel takes it back. Nothing is cached: every operation of a
reader comes here. One JSON document per line: rules on stdin, what met them on stdout. Unmounts when
stdin ends. usage: fault_fs.py FOLDER MOUNTPOINT
"""

import ctypes
import errno
import json
import os
import re
import select
import struct
import sys
import time

FOLDER, MOUNTPOINT = sys.argv[1:3]
LOOKUP, FORGET, GETATTR, READLINK, OPEN, READ, STATFS, RELEASE = 1, 2, 3, 5, 14, 15, 17, 18
FLUSH, INIT, OPENDIR, READDIR, RELEASEDIR = 25, 26, 27, 28, 29
INTERRUPT, DESTROY, BATCH_FORGET = 36, 38, 42
NAMES = {LOOKUP: "lookup", GETATTR: "getattr", READLINK: "readlink", OPEN: "open", READ: "read",
         OPENDIR: "opendir", READDIR: "readdir"}
IN_HEADER = struct.Struct("<IIQQIIII")
OUT_HEADER = struct.Struct("<IiQ")
ATTR = struct.Struct("<QQQQQQIIIIIIIIII")
OPEN_OUT = struct.Struct("<QII")
FOPEN_DIRECT_IO = 1
MNT_DETACH = 2
BUFFER_BYTES = 1 << 20

libc = ctypes.CDLL(None, use_errno=True)
device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
options = f"fd={device},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()},allow_other"
if libc.mount(b"fault", MOUNTPOINT.encode(), b"fuse.fault", 6, options.encode()) != 0:
    sys.exit(f"mount: {os.strerror(ctypes.get_errno())}")

paths = {1: ""}
nodes = {"": 1}
handles = {}
rules = {}
held = {}  # unique: (rule, request)
slowed = []  # (due, request)


def full(path):
    return os.path.join(FOLDER, path) if path else FOLDER


def node_of(path):
    if path not in nodes:
        nodes[path] = len(nodes) + 1
        paths[nodes[path]] = path
    return nodes[path]


def attributes(path):
    s = os.lstat(full(path))
    times = [s.st_atime_ns, s.st_mtime_ns, s.st_ctime_ns]
    return ATTR.pack(node_of(path), s.st_size, s.st_blocks, *(t // 10**9 for t in times),
                     *(t % 10**9 for t in times), s.st_mode, s.st_nlink, s.st_uid, s.st_gid, 0,
                     4096, 0)


def handle(value):
    number = max(handles, default=0) + 1
    handles[number] = value
    return OPEN_OUT.pack(number, FOPEN_DIRECT_IO, 0)


def child(parent, name):
    return f"{parent}/{name}" if parent else name


def serve(opcode, path, body):
    """The answer's body; OSError is its errno."""
    if opcode == INIT:
        # Version 7.31, requests of up to 128 KiB.
        return struct.pack("<IIIIHHII", 7, 31, 131072, 0, 64, 48, 131072, 1) + bytes(36)
    if opcode == LOOKUP:
        found = attributes(path)
        return struct.pack("<QQQQII", node_of(path), 0, 0, 0, 0, 0) + found
    if opcode == GETATTR:
        return struct.pack("<QII", 0, 0, 0) + attributes(path)
    if opcode == READLINK:
        return os.readlink(os.fsencode(full(path)))
    if opcode == OPEN:
        return handle(os.open(full(path), os.O_RDONLY | os.O_NONBLOCK))
    if opcode == OPENDIR:
        return handle(sorted(os.listdir(full(path))))
    if opcode == READ:
        number, offset, size = struct.unpack_from("<QQI", body)
        return os.pread(handles[number], size, offset)
    if opcode == READDIR:
        number, offset, size = struct.unpack_from("<QQI", body)
        out = b""
        for index, name in enumerate(handles[number][offset:], offset + 1):
            raw = os.fsencode(name)
            mode = os.lstat(full(child(path, name))).st_mode >> 12
            entry = struct.pack("<QQII", node_of(child(path, name)), index, len(raw), mode) + raw
            entry += bytes(-len(entry) % 8)
            if len(out) + len(entry) > size:
                break
            out += entry
        return out
    if opcode in (RELEASE, RELEASEDIR):
        value = handles.pop(struct.unpack_from("<Q", body)[0])
        if isinstance(value, int):
            os.close(value)
        return b""
    if opcode == STATFS:
        return struct.pack("<QQQQQIIII", 1000, 1000, 1000, 1000, 1000, 4096, 255, 4096, 0) + bytes(24)
    if opcode == FLUSH:
        return b""
    raise OSError(errno.ENOSYS, "")


def reply(unique, error, body=b""):
    try:
        os.write(device, OUT_HEADER.pack(OUT_HEADER.size + len(body), -error, unique) + body)
    except OSError:
        pass  # The kernel took the request back.


def answer(request):
    opcode, unique, path, body = request
    try:
        reply(unique, 0, serve(opcode, path, body))
    except OSError as error:
        reply(unique, error.errno)


def tell(**event):
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def met(opcode, path):
    for rule in rules.values():
        if NAMES.get(opcode) in rule["ops"] and re.search(rule["path"], path) and rule["times"] != 0:
            rule["times"] -= 1
            return rule
    return None


def receive(data):
    _, opcode, unique, node, *_ = IN_HEADER.unpack_from(data)
    body = data[IN_HEADER.size:]
    if opcode in (FORGET, BATCH_FORGET, DESTROY):
        return
    if opcode == INTERRUPT:
        target = struct.unpack_from("<Q", body)[0]
        if target in held:
            del held[target]
            reply(target, errno.EINTR)
        return
    path = paths[node] if node else ""
    if opcode == LOOKUP:
        path = child(path, os.fsdecode(body.rstrip(b"\0")))
    request = (opcode, unique, path, body)
    rule = met(opcode, path)
    if rule is None:
        return answer(request)
    if rule["action"] == "hold":
        held[unique] = (rule["id"], request)
    elif rule["action"] == "slow":
        slowed.append((time.monotonic() + rule["ms"] / 1000, request))
    else:
        reply(unique, rule["errno"])
    tell(met=rule["id"], op=NAMES[opcode], path=path)


def command(line):
    order = json.loads(line)
    if "rule" in order:
        number = order["rule"]["id"]
        rules[number] = order["rule"]
    else:
        number = order["end"]
        del rules[number]
        for unique, (rule, request) in list(held.items()):
            if rule == number:
                del held[unique]
                answer(request)
    tell(done=number)


tell(mounted=MOUNTPOINT)
rest = b""
try:
    while True:
        due = min((at for at, _ in slowed), default=None)
        wait = None if due is None else max(0, due - time.monotonic())
        ready, _, _ = select.select([device, 0], [], [], wait)
        now = time.monotonic()
        for at, request in [item for item in slowed if item[0] <= now]:
            slowed.remove((at, request))
            answer(request)
        if device in ready:
            try:
                receive(os.read(device, BUFFER_BYTES))
            except OSError as error:
                if error.errno == errno.ENODEV:
                    break  # Unmounted.
                if error.errno not in (errno.ENOENT, errno.EINTR):
                    raise
        if 0 in ready:
            text = os.read(0, BUFFER_BYTES)
            if text == b"":
                break
            *lines, rest = (rest + text).split(b"\n")
            for line in lines:
                command(line)
finally:
    libc.umount2(MOUNTPOINT.encode(), MNT_DETACH)
