"""The program's stdout: line protocol and nothing else.

Rule guarded: lines come whole. Each batch is one write under one lock; whatever else in the
process prints to file descriptor 1 ends up on stderr.
"""

from __future__ import annotations

import os
import threading


class Closed(Exception):
    """Nobody reads stdout any more."""


class Output:
    """Writes batches of lines to the stdout that the process was started with."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lock = threading.Lock()

    @classmethod
    def take_stdout(cls) -> Output:
        """Keeps stdout for the metrics alone: fd 1 becomes another name of stderr."""
        try:
            fd = os.dup(1)
            os.dup2(2, 1)
        except OSError as error:
            raise Closed from error
        return cls(fd)

    def write(self, lines: bytes) -> None:
        """Writes whole lines; waits as long as the reader does not read. Raises Closed."""
        with self._lock:
            rest = memoryview(lines)
            try:
                while rest:
                    rest = rest[os.write(self._fd, rest) :]
            except BrokenPipeError as error:
                raise Closed from error
