"""The checks of posix.ts: reads a directory that holds the contract's tree and compares.

Usage: posix_checks.py CHECK DIR TREE_JSON. Exits 0 when the check holds. Writes nothing below DIR
but for the attempts that must fail.
"""

import ctypes
import errno
import fcntl
import hashlib
import json
import mmap
import os
import random
import stat
import subprocess
import sys
import tempfile
import threading

DT = {stat.S_IFDIR: 4, stat.S_IFREG: 8}
PAGE = mmap.PAGESIZE


class Tree:
    def __init__(self, root, description):
        self.root = root
        self.traits = description["traits"]
        self.files = {file["path"]: file for file in description["files"]}
        self.directories = [""] + description["directories"]
        self.sparse = description["sparse"]
        self.whole = [path for path, file in self.files.items() if file["sha256"] is not None]

    def path(self, relative):
        return os.path.join(self.root, relative) if relative else self.root

    def children(self, directory):
        prefix = directory + "/" if directory else ""
        found = set()
        for path in list(self.files) + self.directories:
            if path != directory and path.startswith(prefix):
                found.add(path[len(prefix):].split("/")[0])
        return found

    def subdirectories(self, directory):
        return sum(1 for path in self.directories if path and os.path.dirname(path) == directory)


def same(actual, expected, what):
    if actual != expected:
        raise AssertionError(f"{what}: got {actual!r}, expected {expected!r}")


def fails(expected, call, *args, **named):
    """`call` fails with this errno, or one of these."""
    allowed = expected if isinstance(expected, tuple) else (expected,)
    what = f"{getattr(call, '__name__', call)}{args!r:.120}"
    try:
        result = call(*args, **named)
    except OSError as error:
        if error.errno not in allowed:
            names = [errno.errorcode[number] for number in allowed]
            raise AssertionError(f"{what}: {errno.errorcode[error.errno]}, expected {names}")
        return
    raise AssertionError(f"{what}: succeeded with {result!r}")


class opened:
    def __init__(self, path, flags=os.O_RDONLY):
        self.fd = os.open(path, flags)

    def __enter__(self):
        return self.fd

    def __exit__(self, *_):
        os.close(self.fd)


def read_all(path):
    with open(path, "rb", buffering=0) as file:
        return file.readall()


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") \
            else hashlib.sha256(file.read()).hexdigest()


# Listings

class Dirent(ctypes.Structure):
    _fields_ = [("ino", ctypes.c_uint64), ("off", ctypes.c_int64), ("reclen", ctypes.c_ushort),
                ("type", ctypes.c_ubyte), ("name", ctypes.c_char * 256)]


libc = ctypes.CDLL(None, use_errno=True)
libc.opendir.restype = ctypes.c_void_p
libc.readdir.restype = ctypes.POINTER(Dirent)
libc.telldir.restype = ctypes.c_long
for name in ("readdir", "telldir", "rewinddir", "closedir"):
    getattr(libc, name).argtypes = [ctypes.c_void_p]
libc.seekdir.argtypes = [ctypes.c_void_p, ctypes.c_long]


class Listing:
    """A C directory stream."""

    def __init__(self, path):
        self.stream = libc.opendir(os.fsencode(path))
        if not self.stream:
            raise OSError(ctypes.get_errno(), path)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        libc.closedir(self.stream)

    def next(self):
        entry = libc.readdir(self.stream)
        return (entry.contents.name, entry.contents.ino, entry.contents.type) if entry else None

    def rest(self):
        entries = []
        while (entry := self.next()) is not None:
            entries.append(entry)
        return entries


def listing_complete(tree):
    for directory in tree.directories:
        path = tree.path(directory)
        first = os.listdir(path)
        same(len(first), len(set(first)), f"names in {directory!r} listed twice")
        same(set(first), tree.children(directory), f"names in {directory!r}")
        for _ in range(2):
            same(os.listdir(path), first, f"{directory!r} listed again")
        with Listing(path) as listing:
            names = [name for name, _, _ in listing.rest()]
        same(names.count(b".") + names.count(b".."), 2, f"dots in {directory!r}")


def listing_sorted(tree):
    for directory in tree.directories:
        names = os.listdir(os.fsencode(tree.path(directory)))
        same(names, sorted(names), f"order of {directory!r}")


def listing_seek(tree):
    with Listing(tree.path("many")) as listing:
        places, entries = [], []
        while True:
            place = libc.telldir(listing.stream)
            entry = listing.next()
            if entry is None:
                break
            places.append(place)
            entries.append(entry)
        same(len(entries), 602, "entries of many/")
        same(listing.next(), None, "after the end")
        for index in (0, 1, 2, 300, 601, 599, 17):
            libc.seekdir(listing.stream, places[index])
            same(listing.next(), entries[index], f"entry at place {index}")
        libc.seekdir(listing.stream, places[450])
        same(listing.rest(), entries[450:], "the rest from place 450")
        libc.rewinddir(listing.stream)
        same(listing.rest(), entries, "everything after rewinddir")


def listing_types(tree):
    for directory in tree.directories:
        with Listing(tree.path(directory)) as listing:
            for name, ino, kind in listing.rest():
                if name == b".." and directory == "":
                    continue
                status = os.lstat(os.path.join(os.fsencode(tree.path(directory)), name))
                same(ino, status.st_ino, f"d_ino of {name!r} in {directory!r}")
                same(kind, DT[stat.S_IFMT(status.st_mode)], f"d_type of {name!r} in {directory!r}")


# Attributes

def stat_fields(tree):
    owner = os.stat(tree.root)
    for path, file in tree.files.items():
        status = os.lstat(tree.path(path))
        same(status.st_size, file["sizeBytes"], f"size of {path!r}")
        same(oct(status.st_mode), oct(stat.S_IFREG | 0o444), f"mode of {path!r}")
        same(status.st_nlink, 1, f"links of {path!r}")
        same(status.st_mtime_ns, file["mtimeMs"] * 1_000_000, f"mtime of {path!r}")
        same((status.st_uid, status.st_gid), (owner.st_uid, owner.st_gid), f"owner of {path!r}")
        same(status.st_blksize >= 512, True, f"block size of {path!r}")
    for directory in tree.directories:
        status = os.lstat(tree.path(directory))
        same(oct(status.st_mode), oct(stat.S_IFDIR | 0o555), f"mode of {directory!r}")


def stat_exact(tree):
    for path, file in tree.files.items():
        status = os.lstat(tree.path(path))
        same(status.st_blocks, -(-file["sizeBytes"] // 512), f"blocks of {path!r}")
        same(status.st_ctime_ns, status.st_mtime_ns, f"ctime of {path!r}")
    for directory in tree.directories:
        status = os.lstat(tree.path(directory))
        same(status.st_nlink, 2 + tree.subdirectories(directory), f"links of {directory!r}")


def inodes_unique(tree):
    def numbers():
        return {path: os.lstat(tree.path(path)).st_ino for path in list(tree.files) + tree.directories}

    first = numbers()
    same(len(set(first.values())), len(first), "different inode numbers")
    same(0 in first.values(), False, "an inode number is zero")
    same(numbers(), first, "inode numbers looked at again")
    devices = {os.lstat(tree.path(path)).st_dev for path in first}
    same(len(devices), 1, "devices")


# Reading

def read_whole(tree):
    for path in tree.whole:
        same(digest(tree.path(path)), tree.files[path]["sha256"], f"bytes of {path!r}")


def read_odd_offsets(tree):
    chance = random.Random(7)
    for path in ("read.bin", "megabyte.bin", "block", "block+1", "block-1", "one"):
        size = tree.files[path]["sizeBytes"]
        whole = read_all(tree.path(path))
        spans = [(chance.randrange(size), chance.randrange(1, 200_000)) for _ in range(60)]
        spans += [(edge + by, length) for edge in (0, 4096, 131072) for by in (-1, 0, 1)
                  for length in (1, 2, 4095, 4096, 4097) if 0 <= edge + by < size]
        with opened(tree.path(path)) as fd:
            for offset, length in spans:
                same(os.pread(fd, length, offset) == whole[offset:offset + length], True,
                     f"{path!r} at {offset}, {length} bytes")
            buffers = [bytearray(3), bytearray(5000), bytearray(1)]
            count = os.preadv(fd, buffers, 0)
            same(b"".join(buffers)[:count], whole[:min(5004, size)], f"preadv of {path!r}")


def read_sequential(tree):
    whole = read_all(tree.path("read.bin"))
    with opened(tree.path("read.bin")) as fd:
        same(os.read(fd, 10), whole[:10], "first read")
        second = os.dup(fd)
        same(os.read(second, 10), whole[10:20], "read through a dup")
        os.close(second)
        same(os.lseek(fd, -7, os.SEEK_END), len(whole) - 7, "SEEK_END")
        same(os.read(fd, 100), whole[-7:], "read near the end")
        same(os.read(fd, 100), b"", "read at the end")
        same(os.lseek(fd, 5, os.SEEK_SET), 5, "SEEK_SET")
        same(os.lseek(fd, 5, os.SEEK_CUR), 10, "SEEK_CUR")
        fails(errno.EINVAL, os.lseek, fd, -1, os.SEEK_SET)


def read_past_end(tree):
    for path in ("empty", "one", "block-1", "block", "block+1", "read.bin"):
        size = tree.files[path]["sizeBytes"]
        whole = read_all(tree.path(path))
        with opened(tree.path(path)) as fd:
            for beyond in (0, 1, 4095, 4096, 2 ** 31, 2 ** 40):
                same(os.pread(fd, 100, size + beyond), b"", f"{path!r} {beyond} past its end")
            for before in (1, 2, 4000):
                if before <= size:
                    same(os.pread(fd, 1 << 20, size - before), whole[-before:],
                         f"{path!r} across its end")


def read_mapped(tree):
    for path in ("read.bin", "megabyte.bin", "block+1", "one"):
        whole = read_all(tree.path(path))
        with opened(tree.path(path)) as fd:
            with mmap.mmap(fd, len(whole), prot=mmap.PROT_READ) as shared:
                same(shared[:] == whole, True, f"mapping of {path!r}")
                same(shared[len(whole) // 2:len(whole) // 2 + 9],
                     whole[len(whole) // 2:len(whole) // 2 + 9], f"middle of {path!r}")
            with mmap.mmap(fd, len(whole), flags=mmap.MAP_PRIVATE,
                           prot=mmap.PROT_READ | mmap.PROT_WRITE) as private:
                private[0] = 0
                address = ctypes.addressof(ctypes.c_char.from_buffer(private))
                # What follows the last byte on its page is zero.
                rest = -len(whole) % PAGE
                same(ctypes.string_at(address + len(whole), rest), bytes(rest), f"tail of {path!r}")
                same(private[1:] == whole[1:], True, f"private mapping of {path!r}")
        same(read_all(tree.path(path)) == whole, True, f"{path!r} after a private write")


def direct_read(path, offset, length):
    # An anonymous mapping is aligned as O_DIRECT may demand.
    with opened(path, os.O_RDONLY | os.O_DIRECT) as fd, mmap.mmap(-1, max(length, 1)) as target:
        view = memoryview(target)[:length]
        count = os.preadv(fd, [view], offset)
        found = bytes(view[:count])
        view.release()
        return found


def read_direct(tree):
    try:
        os.close(os.open(tree.path("one"), os.O_RDONLY | os.O_DIRECT))
    except OSError as error:
        # Some plain file systems (tmpfs on older kernels) know no O_DIRECT; ours does.
        same((error.errno, tree.traits["directAnywhere"]), (errno.EINVAL, False), "O_DIRECT refused")
        return
    for path in ("read.bin", "megabyte.bin", "block", "block+1", "one"):
        whole = read_all(tree.path(path))
        for offset in range(0, len(whole), 65536):
            same(direct_read(tree.path(path), offset, 65536) == whole[offset:offset + 65536], True,
                 f"O_DIRECT {path!r} at {offset}")
    same(direct_read(tree.path("empty"), 0, 4096), b"", "O_DIRECT of an empty file")


def read_direct_odd(tree):
    chance = random.Random(11)
    for path in ("read.bin", "block+1"):
        whole = read_all(tree.path(path))
        for _ in range(40):
            offset, length = chance.randrange(len(whole)), chance.randrange(1, 150_000)
            same(direct_read(tree.path(path), offset, length) == whole[offset:offset + length], True,
                 f"O_DIRECT {path!r} at {offset}, {length} bytes")


def read_sendfile(tree):
    for path in ("read.bin", "megabyte.bin", "one"):
        whole = read_all(tree.path(path))
        with opened(tree.path(path)) as fd, tempfile.TemporaryFile() as target:
            sent = 0
            while (count := os.sendfile(target.fileno(), fd, sent, 1 << 20)) > 0:
                sent += count
            target.seek(0)
            same(target.read() == whole, True, f"sendfile of {path!r}")
            if hasattr(os, "splice"):
                reader, writer = os.pipe()
                count = os.splice(fd, writer, 4096, offset_src=0)
                same(os.read(reader, 4096), whole[:count], f"splice of {path!r}")
                os.close(reader)
                os.close(writer)


def read_copy_range(tree):
    whole = read_all(tree.path("read.bin"))
    with opened(tree.path("read.bin")) as fd, tempfile.TemporaryFile() as target:
        try:
            done = 0
            while (count := os.copy_file_range(fd, target.fileno(), 1 << 20, done)) > 0:
                done += count
        except OSError as error:
            # Between file systems of two types the kernel refuses; cp then reads and writes.
            same(error.errno in (errno.EXDEV, errno.EOPNOTSUPP, errno.EINVAL), True, str(error))
            return
        target.seek(0)
        same(target.read() == whole, True, "copy_file_range")


def read_sparse(tree):
    path = tree.path(tree.sparse["path"])
    size = tree.files[tree.sparse["path"]]["sizeBytes"]
    pieces = [(piece["offset"], piece["text"].encode()) for piece in tree.sparse["pieces"]]
    with opened(path) as fd:
        same(os.lseek(fd, 0, os.SEEK_END), size, "end")
        for offset, text in pieces:
            start = max(offset - 10, 0)
            expected = bytes(offset - start) + text
            same(os.pread(fd, len(expected), start), expected, f"bytes around {offset}")
            os.lseek(fd, offset, os.SEEK_SET)
            same(os.read(fd, len(text)), text, f"bytes after a seek to {offset}")
            page = offset // mmap.ALLOCATIONGRANULARITY * mmap.ALLOCATIONGRANULARITY
            length = min(offset - page + len(text), size - page)
            with mmap.mmap(fd, length, prot=mmap.PROT_READ, offset=page) as mapped:
                same(mapped[offset - page:], text, f"mapping at {offset}")
        for offset in (2 ** 31 + 100, 2 ** 32 + 100, 3 * 2 ** 30):
            same(os.pread(fd, 50, offset), bytes(50), f"zeros at {offset}")
        same(os.pread(fd, 50, size), b"", "past the end")


def read_empty(tree):
    path = tree.path("empty")
    same(read_all(path), b"", "read")
    with opened(path) as fd:
        same(os.pread(fd, 10, 0), b"", "pread")
        same(os.lseek(fd, 0, os.SEEK_END), 0, "end")


def read_concurrently(tree):
    def reader(seed):
        chance = random.Random(seed)
        for _ in range(150):
            path = chance.choice(tree.whole)
            same(digest(tree.path(path)), tree.files[path]["sha256"], f"bytes of {path!r}")

    def process(seed):
        failures = []

        def guarded(number):
            try:
                reader(number)
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=guarded, args=(seed * 10 + number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for failure in failures:
            print(failure, file=sys.stderr)
        os._exit(1 if failures else 0)

    children = []
    for seed in range(4):
        child = os.fork()
        if child == 0:
            process(seed)
        children.append(child)
    for child in children:
        same(os.waitpid(child, 0)[1], 0, "exit status of a reader")


# Names

def names_odd(tree):
    for path in tree.files:
        if path.startswith(("odd/", "long/", "order/")):
            same(digest(tree.path(path)), tree.files[path]["sha256"], f"bytes of {path!r}")
            with opened(tree.path(path), os.O_RDONLY | os.O_NOFOLLOW):
                pass
    same(digest(tree.path("odd/\u00e9")) != digest(tree.path("odd/e\u0301")), True, "composed names")


def names_deep(tree):
    path = next(path for path in tree.files if path.count("/") > 50)
    expected = read_all(tree.path(path))
    fd = os.open(tree.root, os.O_RDONLY | os.O_DIRECTORY)
    for part in path.split("/")[:-1]:
        below = os.open(part, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = below
    bottom = os.open(path.split("/")[-1], os.O_RDONLY, dir_fd=fd)
    same(os.read(bottom, 100), expected, "reached step by step")
    os.fchdir(fd)
    same(read_all("bottom"), expected, "reached by chdir")
    same(os.getcwd(), os.path.realpath(os.path.dirname(tree.path(path))), "the way back up")
    same(os.stat("/".join([".."] * path.count("/"))).st_ino, os.stat(tree.root).st_ino, "the top")


def missing(tree):
    fails(errno.ENOENT, os.stat, tree.path("none"))
    fails(errno.ENOENT, os.open, tree.path("none"), os.O_RDONLY)
    fails(errno.ENOENT, os.stat, tree.path("none/below"))
    fails(errno.ENOENT, os.listdir, tree.path("none"))
    fails(errno.ENOENT, os.stat, tree.path("many/file-0001x"))
    fails(errno.ENOENT, os.stat, tree.path("many/file-000"))
    fails(errno.ENOENT, os.stat, tree.path("n" * 255))
    fails(errno.ENAMETOOLONG, os.stat, tree.path("n" * 256))
    fails(errno.ENAMETOOLONG, os.stat, tree.path("n" * 1500))
    fails(errno.ENAMETOOLONG, os.stat, tree.path("d/" * 2100))
    fails(errno.ENOTDIR, os.stat, tree.path("one/below"))
    fails(errno.ENOTDIR, os.stat, tree.path("one/"))
    fails(errno.ENOTDIR, os.listdir, tree.path("one"))
    fails(errno.EINVAL, os.readlink, tree.path("one"))


def missing_again(tree):
    for _ in range(3):
        fails(errno.ENOENT, os.stat, tree.path("many/none"))
    for number in range(1000):
        fails(errno.ENOENT, os.stat, tree.path(f"many/none-{number}"))
    for path in tree.files:
        os.stat(tree.path(path))


def open_kinds(tree):
    with opened(tree.path("many"), os.O_RDONLY | os.O_DIRECTORY) as fd:
        fails(errno.EISDIR, os.read, fd, 10)
    fails(errno.ENOTDIR, os.open, tree.path("one"), os.O_RDONLY | os.O_DIRECTORY)
    with opened(tree.path("one"), os.O_PATH) as fd:
        same(os.fstat(fd).st_size, 1, "size through O_PATH")
        fails(errno.EBADF, os.read, fd, 1)
    with opened(tree.path("one")) as fd:
        fails(errno.EBADF, os.write, fd, b"x")
    fails(errno.EACCES, os.execv, tree.path("one"), ["one"])


# Writing

def writes_refused(tree):
    old, new, many = tree.path("one"), tree.path("new"), tree.path("many")
    write = os.O_WRONLY
    for flags in (write | os.O_CREAT, os.O_RDWR | os.O_CREAT, write | os.O_CREAT | os.O_EXCL):
        fails(errno.EROFS, os.open, new, flags, 0o644)
    for flags in (write, os.O_RDWR, write | os.O_TRUNC, write | os.O_APPEND, os.O_RDONLY | os.O_TRUNC):
        fails(errno.EROFS, os.open, old, flags)
    fails(errno.EEXIST, os.open, old, write | os.O_CREAT | os.O_EXCL, 0o644)
    fails(errno.EROFS, os.unlink, old)
    fails(errno.EROFS, os.rename, old, new)
    fails(errno.EROFS, os.rename, many, new)
    fails(errno.EROFS, os.mkdir, new)
    fails(errno.EROFS, os.rmdir, many)
    fails(errno.EROFS, os.chmod, old, 0o600)
    fails(errno.EROFS, os.chmod, many, 0o700)
    fails(errno.EROFS, os.chown, old, os.getuid(), os.getgid())
    fails(errno.EROFS, os.utime, old, (1, 1))
    fails(errno.EROFS, os.truncate, old, 0)
    fails(errno.EROFS, os.symlink, "one", new)
    fails(errno.EROFS, os.link, old, new)
    fails(errno.EROFS, os.mkfifo, new)
    fails(errno.EROFS, os.setxattr, old, "user.new", b"x")
    fails(errno.EROFS, os.setxattr, many, "user.new", b"x")
    fails(errno.EROFS, os.removexattr, old, "user.new")
    same(digest(old), tree.files["one"]["sha256"], "bytes after it all")
    same(set(os.listdir(tree.root)), tree.children(""), "names after it all")


def access_modes(tree):
    same(os.access(tree.path("one"), os.F_OK), True, "F_OK")
    same(os.access(tree.path("one"), os.R_OK), True, "R_OK")
    same(os.access(tree.path("one"), os.X_OK), False, "X_OK of a file")
    same(os.access(tree.path("many"), os.R_OK | os.X_OK), True, "X_OK of a directory")
    same(os.access(tree.path("none"), os.F_OK), False, "F_OK of nothing")


def access_write(tree):
    for path in ("one", "many"):
        result = libc.access(os.fsencode(tree.path(path)), os.W_OK)
        same((result, ctypes.get_errno()), (-1, errno.EROFS), f"W_OK of {path!r}")


# The rest

def statfs(tree):
    told = os.statvfs(tree.root)
    same(told.f_namemax, 255, "longest name")
    same(told.f_bsize >= 512 and told.f_frsize >= 512, True, "block size")
    same(told.f_blocks * told.f_frsize > 0, True, "size")
    same(told.f_bavail <= told.f_bfree <= told.f_blocks, True, "free space")
    same(os.statvfs(tree.path("many/file-0001")).f_namemax, 255, "longest name, asked at a file")


def statfs_read_only(tree):
    same(bool(os.statvfs(tree.root).f_flag & os.ST_RDONLY), True, "ST_RDONLY")


def seek_data_hole(tree):
    for path in ("one", "block", "read.bin"):
        size = tree.files[path]["sizeBytes"]
        with opened(tree.path(path)) as fd:
            same(os.lseek(fd, 0, os.SEEK_DATA), 0, f"data of {path!r}")
            same(os.lseek(fd, 0, os.SEEK_HOLE), size, f"hole of {path!r}")
            same(os.lseek(fd, size - 1, os.SEEK_DATA), size - 1, f"last data of {path!r}")
            fails(errno.ENXIO, os.lseek, fd, size, os.SEEK_DATA)
            fails(errno.ENXIO, os.lseek, fd, size + 1, os.SEEK_HOLE)
    with opened(tree.path("empty")) as fd:
        fails(errno.ENXIO, os.lseek, fd, 0, os.SEEK_DATA)


def xattrs(tree):
    # Some plain file systems know no user attributes at all.
    absent = errno.ENODATA if tree.traits["exactAttributes"] else (errno.ENODATA, errno.EOPNOTSUPP)
    for path in ("one", "many", ""):
        for name in ("user.none", "user.refmount.none", "user.refmountx"):
            fails(absent, os.getxattr, tree.path(path), name)
        fails((errno.ENODATA, errno.EOPNOTSUPP), os.getxattr, tree.path(path), "trusted.none")
        for name in os.listxattr(tree.path(path)):
            value = os.getxattr(tree.path(path), name)
            raw_path, raw_name = os.fsencode(tree.path(path)), name.encode()
            same(libc.getxattr(raw_path, raw_name, None, 0), len(value), f"length of {name}")
            if len(value) > 1:
                result = libc.getxattr(raw_path, raw_name, ctypes.create_string_buffer(1), 1)
                same((result, ctypes.get_errno()), (-1, errno.ERANGE), f"{name} in too small a buffer")


def sync_harmless(tree):
    for path in ("read.bin", "many"):
        with opened(tree.path(path)) as fd:
            os.fsync(fd)
            os.fdatasync(fd)
    with opened(tree.path("read.bin")) as fd:
        for advice in (os.POSIX_FADV_SEQUENTIAL, os.POSIX_FADV_WILLNEED, os.POSIX_FADV_DONTNEED):
            os.posix_fadvise(fd, 0, 0, advice)
        same(hashlib.sha256(os.read(fd, 1 << 20)).hexdigest(), tree.files["read.bin"]["sha256"],
             "bytes after advice")


def locks(tree):
    path = tree.path("read.bin")

    def elsewhere(call, *args):
        """Exit status of another process that tries to lock: 0, or the errno."""
        child = os.fork()
        if child == 0:
            try:
                with opened(path) as own:
                    call(own, *args)
                os._exit(0)
            except OSError as error:
                os._exit(error.errno)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    with opened(path) as fd:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        same(elsewhere(fcntl.flock, fcntl.LOCK_SH | fcntl.LOCK_NB), errno.EAGAIN, "flock, held")
        fcntl.flock(fd, fcntl.LOCK_UN)
        same(elsewhere(fcntl.flock, fcntl.LOCK_SH | fcntl.LOCK_NB), 0, "flock, free")
        fcntl.lockf(fd, fcntl.LOCK_SH | fcntl.LOCK_NB, 10, 5)
        same(elsewhere(fcntl.lockf, fcntl.LOCK_SH | fcntl.LOCK_NB, 10, 5), 0, "two read locks")
        fails(errno.EBADF, fcntl.lockf, fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.lockf(fd, fcntl.LOCK_UN)


def copied_by_tools(tree):
    large = os.path.dirname(tree.sparse["path"]) if tree.sparse else None
    tops = sorted(name for name in tree.children("") if name != large)

    def run(*command, **named):
        done = subprocess.run(command, cwd=tree.root, capture_output=True, **named)
        same((done.returncode, done.stderr), (0, b""), f"exit status and complaints of {command[0]}")
        return done.stdout

    def compare(copy):
        for path in tree.whole:
            same(digest(os.path.join(copy, path)), tree.files[path]["sha256"], f"copy of {path!r}")
        found = sum(len(files) for _, _, files in os.walk(copy))
        same(found, len(tree.whole), "files in the copy")

    found = run("find", *[f"./{top}" for top in tops], "-type", "f", "-print0").split(b"\0")
    same(sorted(found[:-1]), sorted(b"./" + path.encode() for path in tree.whole), "find -type f")
    nonempty = run("find", *[f"./{top}" for top in tops], "-type", "f", "-size", "+0", "-print0")
    same(nonempty.count(b"\0"), sum(tree.files[path]["sizeBytes"] > 0 for path in tree.whole),
         "find -size +0")
    for command in (["cp", "-r"], ["cp", "-a"]):
        with tempfile.TemporaryDirectory() as copy:
            run(*command, "--", *tops, copy)
            compare(copy)
            subprocess.run(["chmod", "-R", "u+w", copy], check=True)
    with tempfile.TemporaryDirectory() as copy:
        archive = run("tar", "--sort=name", "-cf", "-", "--", *tops)
        subprocess.run(["tar", "-xf", "-", "-C", copy], input=archive, check=True)
        compare(copy)
        status = os.stat(os.path.join(copy, "read.bin"))
        same(int(status.st_mtime), tree.files["read.bin"]["mtimeMs"] // 1000, "mtime through tar")
        subprocess.run(["chmod", "-R", "u+w", copy], check=True)


def main():
    check, root, description = sys.argv[1:]
    with open(description, encoding="utf8") as file:
        tree = Tree(root, json.load(file))
    checks = {name: value for name, value in globals().items() if callable(value)}
    try:
        checks[check](tree)
    except AssertionError as error:
        sys.exit(f"{check}: {error}")


if __name__ == "__main__":
    main()
