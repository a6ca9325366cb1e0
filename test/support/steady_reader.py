# Reads a mount without a pause until its standard input ends: each round one cold file, one file that
# the page cache had to forget, one O_DIRECT read, and the stat of names that were never asked for.
# Usage: steady_reader.py DIR EXPECTED.json (path -> sha256; every path is cold at first, and is read
# once before any again). Prints "round N" and at the end one JSON document.

import hashlib
import json
import mmap
import os
import random
import select
import sys

MOST_TOLD = 50
DIRECTORY, EXPECTED = sys.argv[1], json.load(open(sys.argv[2]))
paths = sorted(EXPECTED)
random.Random(os.getpid()).shuffle(paths)
report = {"rounds": 0, "reads": 0, "failed": [], "wrong": []}


def checked(path, data):
    report["reads"] += 1
    if hashlib.sha256(data).hexdigest() != EXPECTED[path]:
        report["wrong"].append(path)


def attempt(what, work):
    try:
        work()
    except OSError as error:
        if len(report["failed"]) < MOST_TOLD:
            report["failed"].append(f"{what}: {error}")


def read_all(path):
    fd = os.open(os.path.join(DIRECTORY, path), os.O_RDONLY)
    try:
        data = b"".join(iter(lambda: os.read(fd, 1 << 20), b""))
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        return data
    finally:
        os.close(fd)


def read_direct(path):
    # Aligned, since in passthrough the file system of the cache answers.
    fd = os.open(os.path.join(DIRECTORY, path), os.O_RDONLY | os.O_DIRECT)
    try:
        data, buffer = b"", mmap.mmap(-1, 1 << 20)
        while got := os.preadv(fd, [buffer], len(data)):
            data += buffer[:got]
        return data
    finally:
        os.close(fd)


def stat_missing(number):
    try:
        os.stat(os.path.join(DIRECTORY, f"missing-{os.getpid()}-{number}"))
        report["wrong"].append(f"missing-{number} is there")
    except FileNotFoundError:
        pass


warm = paths[0]
while not select.select([sys.stdin], [], [], 0)[0]:
    number = report["rounds"]
    cold = paths[number % len(paths)]
    attempt(f"stat {number}", lambda: stat_missing(number))
    attempt(f"read {cold}", lambda: checked(cold, read_all(cold)))
    attempt(f"read again {warm}", lambda: checked(warm, read_all(warm)))
    attempt(f"O_DIRECT {cold}", lambda: checked(cold, read_direct(cold)))
    warm = random.choice(paths[: number + 1])
    report["rounds"] += 1
    print(f"round {report['rounds']}", flush=True)
print(json.dumps(report), flush=True)
