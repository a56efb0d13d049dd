#!/usr/bin/env python3
"""Measures what each mirror adds to the time from an append to the moment at which a client sees the line.

    bench/mirrors.py                 a chain of 5 mirrors, and a tree of 1-3-9
    bench/mirrors.py --lines 1000    so many lines a measurement instead of 300

The origin looks at its file every 50 ms while somebody waits; a mirror knows when it has written a line, and tells its
clients at once. Each hop is read by a client of its own, `GET /data?follow`, as each line arrives at it. A hop's delay is the
time from the hop before to this one, of the same line; the figures are medians over the lines. All that arrived is
compared with the file at the end, byte by byte.
"""

import argparse
import os
import random
import selectors
import socket
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ECHO = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "echo"
PATIENCE = 60  # seconds for anything to happen
running = []


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Hop:
    """An echo, its client, and when that had each line."""

    def __init__(self, folder, name, before=None):
        self.name, self.before, self.port = name, before, free_port()
        self.file = folder / name / "data"
        self.file.parent.mkdir()
        self.body, self.arrivals = b"", []
        command = [ECHO, "--file", self.file, "--listen", f"127.0.0.1:{self.port}", "--log-level", "error"]
        if before:
            command += ["--upstream", f"http://127.0.0.1:{before.port}/data"]
        else:
            self.file.touch()
        running.append(subprocess.Popen(command))

    def follow(self):
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.client = socket.create_connection(("127.0.0.1", self.port))
                self.client.sendall(b"GET /data?follow HTTP/1.0\r\n\r\n")
                self.client.settimeout(PATIENCE)
                head = b""
                while b"\r\n\r\n" not in head:
                    head += self.client.recv(4096) or b"\r\n\r\n"
                if b" 200 " in head.splitlines()[0]:
                    self.body = head.partition(b"\r\n\r\n")[2]
                    return
            except OSError:
                pass
            assert time.monotonic() < deadline, f"{self.name} does not serve"
            time.sleep(0.05)

    def take(self):
        piece = self.client.recv(65536)
        assert piece, f"{self.name} has ended"
        now = time.monotonic()
        self.body += piece
        self.arrivals += [now] * piece.count(b"\n")


def measure(hops, lines):
    """Appends `lines` lines to the first hop's file, and waits for each at every hop. Returns when they were appended."""
    readable = selectors.DefaultSelector()
    for hop in hops:
        hop.follow()
        readable.register(hop.client, selectors.EVENT_READ, hop)
    appended, pause = [], random.Random(1)
    with open(hops[0].file, "ab", buffering=0) as file:
        for line in range(lines):
            # At arbitrary moments between two looks of the origin's, lest all lines wait equally long.
            time.sleep(pause.uniform(0.02, 0.12))
            appended.append(time.monotonic())
            file.write(b"%d\n" % line)
            while any(len(hop.arrivals) <= line for hop in hops):
                ready = readable.select(PATIENCE)
                assert ready, f"line {line} never came to {[hop.name for hop in hops if len(hop.arrivals) <= line]}"
                for key, _ in ready:
                    key.data.take()
    for hop in hops:
        assert hop.body == hops[0].file.read_bytes() == hop.file.read_bytes(), f"{hop.name} is not byte-exact"
    return appended


def milliseconds(times):
    return f"{statistics.median(times) * 1000:6.2f}"


def between(earlier, later):
    return [b - a for a, b in zip(earlier, later, strict=True)]


def spread(times):
    """The median, and the 99th percentile."""
    return f"{milliseconds(times)} | {sorted(times)[len(times) * 99 // 100] * 1000:6.2f}"


def chain(folder, lines):
    hops = [Hop(folder, "origin")]
    for number in range(1, 6):
        hops.append(Hop(folder, f"chain-{number}", hops[-1]))
    appended = measure(hops, lines)
    print(f"\nA chain of 5 mirrors, {lines} lines, byte-exact at every hop:\n")
    print("| hop | since the append, ms | 99th percentile | added by this hop, ms | 99th percentile |")
    print("| --- | --- | --- | --- | --- |")
    before = appended
    for hop in hops:
        print(f"| {hop.name:7} | {spread(between(appended, hop.arrivals))} | {spread(between(before, hop.arrivals))} |")
        before = hop.arrivals
    per_mirror = [delay for hop in hops[1:] for delay in between(hop.before.arrivals, hop.arrivals)]
    print(f"\nA mirror adds {milliseconds(per_mirror).strip()} ms (median over the five, and all lines).")


def tree(folder, lines):
    levels = [[Hop(folder, "root-origin")], [], [], []]
    for level, count in enumerate([1, 3, 9], start=1):
        above = levels[level - 1]
        levels[level] = [Hop(folder, f"tree-{level}-{number}", above[number % len(above)]) for number in range(count)]
    hops = [hop for level in levels for hop in level]
    appended = measure(hops, lines)
    print(f"\nA tree of 1-3-9 mirrors, {lines} lines, byte-exact at every one of the 13:\n")
    print("| level | mirrors | since the append, ms | 99th percentile | until the last of the level has it, ms | 99th percentile |")
    print("| --- | --- | --- | --- | --- | --- |")
    for number, level in enumerate(levels):
        every = [delay for hop in level for delay in between(appended, hop.arrivals)]
        last = between(appended, [max(times) for times in zip(*(hop.arrivals for hop in level), strict=True)])
        print(f"| {number or 'origin'} | {len(level) if number else ''} | {spread(every)} | {spread(last)} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=300)
    options = parser.parse_args()
    for topology in (chain, tree):
        with tempfile.TemporaryDirectory() as folder:
            try:
                topology(Path(folder), options.lines)
            finally:
                while running:
                    running[-1].kill()
                    running.pop().wait()


if __name__ == "__main__":
    main()
