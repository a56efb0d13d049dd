"""Tests that the read side of Durable Streams is what its client expects. See `run`."""

import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from contextlib import contextmanager
from functools import partial
from inspect import signature
from pathlib import Path

import httpx
from durable_streams import DurableStreamError, RetentionGoneError, stream

PATIENCE = 30  # seconds that anything may take; only a failing test waits that long
PROGRAMS = Path(os.environ["PROGRAMS"]).absolute()
LIVE = ("long-poll", "sse")


class Echo:
    """The server of a file in a folder of its own."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.file = self.folder / "data"
        self.address = "127.0.0.1:0"
        self.process = None

    @property
    def url(self):
        return f"http://{self.address}/data"

    def start(self):
        """Starts the server, at the same address if it ran before."""
        deadline = time.monotonic() + PATIENCE
        command = [PROGRAMS / "echo", "--file", self.file, "--listen", self.address]
        while True:
            self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
            log = ""
            for line in self.process.stderr:
                log += line
                if found := re.search(r"listening on http://(\S+)", line):
                    self.address = found[1]
                    return
            # The port may have gone to another program meanwhile, for a moment.
            assert time.monotonic() < deadline and not self.address.endswith(":0"), log
            time.sleep(0.1)

    def end(self, how=signal.SIGKILL):
        self.process.send_signal(how)
        self.process.wait(PATIENCE)
        self.process.stderr.close()

    def append(self, *lines):
        with open(self.file, "ab", buffering=0) as file:
            file.write(text(lines).encode())

    def replace(self, *lines):
        other = self.folder / "other"
        other.write_text(text(lines))
        other.rename(self.file)

    def append_once_awaited(self, *lines):
        """Appends as soon as a client waits, from another thread."""

        def append():
            deadline = time.monotonic() + PATIENCE
            while "\necho_live_clients 1\n" not in httpx.get(f"http://{self.address}/metrics").text:
                assert time.monotonic() < deadline, "no client waits"
                time.sleep(0.005)
            self.append(*lines)

        threading.Thread(target=append, daemon=True).start()


def text(lines):
    return "".join(f"{line}\n" for line in lines)


class Reader:
    """A client that follows from an offset on, and keeps what it got."""

    def __init__(self, url, offset, live):
        self.response = stream(url, offset=offset, live=live, timeout=PATIENCE)
        self.pieces = self.response.iter_events(mode="text")
        self.got, self.offset = "", offset

    def lines(self, count):
        """All that came, once it is so many lines."""
        while self.got.count("\n") < count:
            event = next(self.pieces)
            self.got, self.offset = self.got + event.data, event.next_offset
        return self.got


@contextmanager
def following(echo, offset, live):
    reader = Reader(echo.url, offset, live)
    with reader.response:
        yield reader


def read(echo, **options):
    """What there is, and the offset behind it."""
    with stream(echo.url, live=False, timeout=PATIENCE, **options) as response:
        return response.read_text(), response.offset


# --- The tests


def test_what_is_there_is_caught_up_with(echo):
    lines = [random.randrange(32768) for _ in range(200_000)]
    echo.append(*lines)
    whole, end = read(echo)
    assert whole == text(lines)
    assert read(echo, offset="-1") == (whole, end)
    assert read(echo, offset=end) == ("", end)
    assert read(echo, offset="now") == ("", end)
    echo.append(1, 2)
    assert read(echo, offset=end)[0] == "1\n2\n"


def test_an_incomplete_line_is_not_there_yet(echo):
    echo.append(1)
    with open(echo.file, "ab") as file:
        file.write(b"23")
    whole, end = read(echo)
    assert whole == "1\n"
    echo.append("4")
    assert read(echo, offset=end)[0] == "234\n"


def test_what_comes_is_followed(echo, live):
    echo.replace(1, 2)
    with following(echo, "-1", live) as reader:
        assert reader.lines(2) == "1\n2\n"
        for number in range(3, 8):
            echo.append_once_awaited(number)
            reader.lines(number)
        assert reader.got == text(range(1, 8))
        assert read(echo, offset=reader.offset)[0] == ""


def test_from_the_present_end_only_news_come(echo, live):
    echo.replace("old")
    echo.append_once_awaited("new")
    with following(echo, "now", live) as reader:
        assert reader.lines(1) == "new\n"


def test_text_is_what_the_file_holds(echo, live):
    lines = ["", "Käse \U0001f9c0", "data: x", " two  blanks ", ": no comment", ""]
    echo.replace(*lines)
    with following(echo, "-1", live) as reader:
        assert reader.lines(len(lines)) == text(lines)


def test_every_number_of_the_generator_arrives(echo, live):
    echo.append("begin")
    with following(echo, "-1", live) as reader:
        command = [PROGRAMS / "generator", "--file", echo.file, "--interval", "1ms", "--count", "1000"]
        generator = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        reader.lines(1001)
        assert generator.wait(PATIENCE) == 0
        assert reader.got == echo.file.read_text()


def test_after_a_restart_reading_resumes_where_it_was(echo, live):
    for how in (signal.SIGKILL, signal.SIGTERM):
        echo.replace(1, 2)
        with following(echo, "-1", live) as reader:
            reader.lines(2)
            echo.append_once_awaited(3)
            reader.lines(3)
            echo.end(how)
            try:
                rest = "".join(event.data for event in reader.pieces)
            except httpx.TransportError:
                rest = ""  # a connection was cut, or refused
            assert rest == "", rest
        echo.append(4, 5)
        echo.start()
        with following(echo, reader.offset, live) as resumed:
            resumed.lines(2)
            echo.append_once_awaited(6)
            assert resumed.lines(3) == "4\n5\n6\n", how


def test_another_file_is_told_from_the_one_that_was_read(echo):
    echo.append(1, 2)
    _, end = read(echo)
    echo.replace(7, 8)
    for live in (False, *LIVE):
        try:
            stream(echo.url, offset=end, live=live, timeout=PATIENCE).close()
            raise AssertionError(f"{live}: the offset of another file was taken")
        except RetentionGoneError:
            pass
    assert read(echo, offset="-1")[0] == "7\n8\n"


def test_a_file_that_is_missing_is_an_error_that_passes(echo):
    try:
        read(echo)
        raise AssertionError("a file that is missing was read")
    except DurableStreamError as error:
        assert error.status == 503, error
    echo.append(1)
    assert read(echo)[0] == "1\n"


# --- The run


def run(test, *mode):
    with tempfile.TemporaryDirectory(prefix="appcoup-streams-") as folder:
        echo = Echo(folder)
        try:
            echo.start()
            test(echo, *mode)
        finally:
            echo.end()


def named_tests():
    """Every test by a name in words; a test of live reads once for each of their modes."""
    for name, test in list(globals().items()):
        if not name.startswith("test_"):
            continue
        words = name.removeprefix("test_").replace("_", " ")
        if "live" in signature(test).parameters:
            yield from ((f"{words} ({live})", partial(run, test, live)) for live in LIVE)
        else:
            yield words, partial(run, test)


def main(part=""):
    passed = failed = 0
    for name, test in named_tests():
        if part not in name:
            continue
        try:
            test()
            print(f"ok - {name}", flush=True)
            passed += 1
        except Exception:
            print(f"FAILED - {name}\n{traceback.format_exc()}", flush=True)
            failed += 1
    print(f"{passed} passed, {failed} failed")
    return failed > 0


sys.exit(main(*sys.argv[1:]))
