"""The program's stdout: line protocol and nothing else.

Rule guarded: lines come whole. Each batch is one write under one lock; whatever else in the
process prints, to stdout or stderr (libraries of libvirt's do), becomes lines of the log.
"""

from __future__ import annotations

import os
import select
import threading
from typing import Union

from .log import log

#: A line that something else prints is cut after so many bytes.
_LONGEST_STRAY = 4096


class Closed(Exception):
    """Nobody reads stdout any more."""


class Buffer:
    """Lines to write, in one block of memory with room for as many bytes as are expected.

    It is there between two calls only: its block is where the daemon's reply was and where the
    next one will be. As many small ones, or kept, or growing bit by bit, it would take memory
    beside that, in pieces that cost libvirt's next call more time than the writing takes.
    """

    def __init__(self, expected: int = 0) -> None:
        self._data = bytearray(expected)
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def append(self, data: bytes) -> None:
        end = self._size + len(data)
        self._data[self._size : end] = data
        self._size = end

    def view(self) -> memoryview:
        """What was appended; to be released before anything else is."""
        return memoryview(self._data)[: self._size]


class Output:
    """Writes batches of lines to the stdout that the process was started with."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lock = threading.Lock()

    def write(self, lines: Union[bytes, memoryview]) -> None:
        """Writes whole lines; waits as long as the reader does not read. Raises Closed."""
        with self._lock, memoryview(lines) as rest:
            written = 0
            try:
                while written < len(rest):
                    try:
                        written += os.write(self._fd, rest[written:])
                    except BlockingIOError:  # somebody else made the pipe so
                        select.select((), (self._fd,), ())
            except BrokenPipeError as error:
                raise Closed from error


def divert(*fds: int) -> None:
    """Turns what is printed to these file descriptors from now on into lines of the log."""
    read, write = os.pipe()
    for fd in fds:
        os.dup2(write, fd)
    os.close(write)

    def pass_on() -> None:
        with os.fdopen(read, "rb") as lines:
            for line in iter(lambda: lines.readline(_LONGEST_STRAY), b""):
                log.warning("%s", line.decode("utf-8", "replace").strip())

    threading.Thread(target=pass_on, name="stray output", daemon=True).start()
