"""The program's stdout: line protocol and nothing else.

Invariant: a batch is whole lines, written under one lock; only a write that fails, as on a full
disk, ends within a line. During a collection other output of the process to stdout or stderr, such
as that of libvirt's libraries, becomes lines of the log.
"""

from __future__ import annotations

import os
import select
import threading
from typing import Callable

from ..log import conceal, log

#: A line from another source is cut after this many bytes.
_LONGEST_STRAY = 4096


class Closed(Exception):
    """stdout has no reader any more."""


class Output:
    """Writes batches of lines to the stdout of the process."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lock = threading.Lock()

    def write(self, lines: bytes) -> None:
        """Writes whole lines; waits while the reader does not read. Raises Closed and OSError."""
        with self._lock, memoryview(lines) as rest:
            written = 0
            try:
                while written < len(rest):
                    try:
                        written += os.write(self._fd, rest[written:])
                    except BlockingIOError:  # another process made the pipe non-blocking
                        select.select((), (self._fd,), ())
            except BrokenPipeError as error:
                raise Closed from error


def divert(*fds: int, claim: Callable[[str], bool]) -> None:
    """Turns everything printed to these file descriptors from now on into lines of the log, except
    the lines that ``claim`` takes."""
    read, write = os.pipe()
    for fd in fds:
        os.dup2(write, fd)
    os.close(write)

    def pass_on() -> None:
        with os.fdopen(read, "rb") as lines:
            for line in iter(lambda: lines.readline(_LONGEST_STRAY), b""):
                more = line
                while len(more) == _LONGEST_STRAY and not more.endswith(b"\n"):
                    more = lines.readline(_LONGEST_STRAY)
                text = line.decode("utf-8", "replace").strip()
                if not claim(text):
                    log.warning("%s", conceal(text))

    threading.Thread(target=pass_on, name="stray output", daemon=True).start()
