"""The log's lines."""

from __future__ import annotations

import logging
import os
import re
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telegraf_execd_libvirt.log import LONGEST_LINE, _Formatter, _Handler, one_line


def record(level: int, message: str, *arguments: object) -> logging.LogRecord:
    """A log record."""
    return logging.LogRecord("test", level, __file__, 1, message, arguments, None)


@pytest.mark.parametrize(
    ("level", "prefix"),
    [
        (logging.ERROR, "E! "),
        (logging.WARNING, "W! "),
        (logging.INFO, "I! "),
        (logging.DEBUG, "D! "),
    ],
)
def test_prefixes_are_telegrafs(level: int, prefix: str) -> None:
    """Telegraf reads the level from the prefix."""
    assert _Formatter().format(record(level, "text %s", 1)) == f"{prefix}text 1"


@given(st.text())
def test_a_message_is_one_line(text: str) -> None:
    """No text forges another line or moves a terminal's cursor."""
    line = one_line(text)
    assert line.isprintable() and len(line) <= LONGEST_LINE
    assert len(line.splitlines()) <= 1


def test_long_lines_are_cut() -> None:
    """A line has a bounded length."""
    assert len(one_line("x" * 100_000)) == LONGEST_LINE


def test_credentials_are_left_out() -> None:
    """A URI in a message loses its user and its query."""
    line = _Formatter().format(record(logging.ERROR, "at %s", "esx://me:pw@host/?token=x"))
    assert line == "E! at esx://host/"


def test_exceptions_are_one_line() -> None:
    """An unexpected exception is named with its place, in one line."""
    item = record(logging.ERROR, "failed")
    try:
        raise ValueError("two\nlines")
    except ValueError as error:
        item.exc_info = (ValueError, error, error.__traceback__)
    assert re.fullmatch(
        r"E! failed: ValueError: two\\nlines at test_log\.py:\d+", _Formatter().format(item)
    )


def test_a_full_pipe_holds_up_nobody() -> None:
    """Logging never waits for the reader; what was lost is counted."""
    read, write = os.pipe()
    handler = _Handler(write)
    writer = threading.Thread(
        target=lambda: [handler.emit(record(logging.INFO, "x" * 1000)) for _ in range(3000)]
    )
    writer.start()
    writer.join(20)
    assert not writer.is_alive()
    text = b""
    while text.count(b"I! ") + _lost(text) < 3000:
        text += os.read(read, 1 << 16)
    assert _lost(text) > 1000


def _lost(text: bytes) -> int:
    return sum(int(number) for number in re.findall(rb"\((\d+) messages were lost before", text))
