"""The lines of the log, as another process reads them from stderr."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telegraf_execd_libvirt.log import LONGEST_LINE, one_line

START = 'from telegraf_execd_libvirt import log; log.start("debug"); logger = log.log\n'


def logged(code: str) -> list[str]:
    """The lines on stderr of a process that starts the log, runs the code and drains the log."""
    program = f"{START}{code}\nlog.flush(20)\n"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stderr.splitlines()


def test_messages() -> None:
    """Each level has the prefix by which Telegraf reads it, in the order of the messages. A URI
    loses its user and its query. An unexpected exception is one line with its type, text and
    place, also in a thread."""
    code = r"""
import threading

def fail():
    raise ValueError("two\nlines")

for level in ("error", "warning", "info", "debug"):
    getattr(logger, level)("text %s", 1)
logger.error("at %s", "esx://me:pw@host/?token=x")
try:
    fail()
except ValueError:
    logger.exception("failed")
thread = threading.Thread(target=fail)
thread.start()
thread.join()
"""
    *plain, first, second = logged(code)
    assert plain == ["E! text 1", "W! text 1", "I! text 1", "D! text 1", "E! at esx://host/"]
    assert re.fullmatch(r"E! failed: ValueError: two\\nlines at <string>:\d+", first)
    assert re.fullmatch(r"E! internal error.*: ValueError: two\\nlines at <string>:\d+", second)


@given(st.text())
def test_a_message_is_one_line(text: str) -> None:
    """No text can start another line or control a terminal."""
    line = one_line(text)
    assert line.isprintable() and len(line) <= LONGEST_LINE
    assert len(line.splitlines()) <= 1


def test_a_line() -> None:
    """A short printable text stays as it is, in any script; other characters are escaped. A line
    has a limited length, and keeps its start."""
    assert one_line("größe 日本 'x'") == "größe 日本 'x'"
    assert one_line("a\nb\x1b") == r"a\nb\x1b"
    assert one_line("x" * 100_000) == "x" * (LONGEST_LINE - 1) + "…"


FLUSH_AT_EACH_STEP = """
import sys

def at_each_step(frame, event, argument):
    frame.f_trace_opcodes = True
    log.flush(20)
    return at_each_step

sys._getframe().f_trace_opcodes = True
sys.settrace(at_each_step)
logger.error("once")
sys.settrace(None)
"""


def test_a_signal_handler_may_flush() -> None:
    """A flush ends at any bytecode of a log call of the same thread."""
    assert logged(FLUSH_AT_EACH_STEP) == ["E! once"]


def test_half_a_line_gets_its_end() -> None:
    """After a failed write, as on a full disk, the next message begins on a new line; the lost one
    is counted."""
    code = """
import os, resource
logger.error("first")
log.flush(20)
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (20, most))
logger.error("x" * 100)
log.flush(20)
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
logger.error("last")
"""
    with os.fdopen(os.memfd_create("stderr"), "rb", 0) as file:
        program = f"{START}{code}\nlog.flush(20)\n"
        subprocess.run([sys.executable, "-c", program], stderr=file, timeout=60, check=True)
        lines = os.pread(file.fileno(), 4096, 0).decode().splitlines()
    assert lines == [
        "E! first",
        "E! xxxxxxxx",
        "E! last (1 messages were lost before: stderr did not take them)",
    ]


@pytest.mark.parametrize("blocking", [True, False])
def test_a_full_pipe_holds_up_nobody(blocking: bool) -> None:
    """Logging never waits for the reader; lost messages are counted, all others are written."""
    program = f'{START}for _ in range(3000): logger.info("x" * 1000)\nprint("done", flush=True)\n'
    program += "log.flush(20)\n"
    read, write = os.pipe()
    os.set_blocking(write, blocking)
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=write, text=True
    ) as process:
        os.close(write)
        assert process.stdout and process.stdout.readline() == "done\n"
        with os.fdopen(read, "rb") as log:
            text = log.read()
    lost = sum(int(number) for number in re.findall(rb"\((\d+) messages were lost before", text))
    assert lost > 1000
    assert text.count(b"I! ") + lost == 3000
