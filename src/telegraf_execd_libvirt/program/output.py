"""The program's stdout: line protocol and nothing else.

Invariant: a batch is whole lines, written under one lock. Into a pipe a line is begun only if the
pipe takes all of it at once, so stdout ends with a whole line, however the process ends. A write
into a file that fails, as on a full disk, is taken back to the last whole line. During a collection
other output of the process to stdout or stderr, such as that of libvirt's libraries, becomes lines
of the log.
"""

from __future__ import annotations

import fcntl
import os
import select
import stat
import sys
import termios
import threading
import time
from contextlib import suppress
from typing import Callable, Union

from ..connection.conceal import conceal
from ..log import log

#: A line from another source is cut after this many bytes.
_LONGEST_STRAY = 4096

#: Have names since Python 3.10.
_F_SETPIPE_SZ, _F_GETPIPE_SZ = 1031, 1032

#: At the end of the process: time for a write into a file.
_LAST_WRITE_SECONDS = 1.0

#: The usual pipe, and the largest one that every user may have. A smaller one is meant to be small.
_USUAL_PIPE, _LARGEST_PIPE = 1 << 16, 1 << 20

#: No event tells when a pipe is empty.
_LOOK_AGAIN_SECONDS = 0.01


class Closed(Exception):
    """stdout has no reader any more."""


class Output:
    """Writes batches of lines to the stdout of the process."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lock = threading.Lock()
        mode = os.fstat(fd).st_mode
        self._is_pipe, self._is_file = stat.S_ISFIFO(mode), stat.S_ISREG(mode)
        self._is_stream = self._is_pipe or (stat.S_ISSOCK(mode) and _is_stream_socket(fd))
        #: What completes a line that a failed write began and that could not be taken back.
        self._rest = b""
        self._told_long = False

    def write(self, lines: bytes) -> None:
        """Writes whole lines; waits while the reader does not read. Raises Closed and OSError."""
        with self._lock, memoryview(lines) as view:
            try:
                if self._is_stream:
                    self._write_stream(lines, view)
                else:
                    self._write_file(lines, view)
            except BrokenPipeError as error:
                raise Closed from error

    def finish(self) -> None:
        """Ends writes into a file with a whole line, when the process is about to end."""
        if self._is_file:
            self._lock.acquire(timeout=_LAST_WRITE_SECONDS)

    def _write_stream(self, lines: bytes, view: memoryview) -> None:
        """A write of up to PIPE_BUF bytes waits until a pipe or a local socket takes all of it; an
        empty pipe takes as much as it can hold without waiting. A pipe that holds a whole
        batch saves about 150 small writes and 1 % of the CPU time in a tick of 1000 guests."""
        begin, size = 0, len(lines)
        capacity = self._capacity(size) if self._is_pipe and size > select.PIPE_BUF else 0
        while begin < size:
            end = begin + select.PIPE_BUF
            if end < size and capacity and not self._waiting():
                end = begin + capacity
            if end >= size:
                end = size
            else:
                end = lines.rfind(b"\n", begin, end) + 1
                if end <= begin:
                    end = lines.index(b"\n", begin) + 1
                    if self._is_pipe and not self._make_room(end - begin):
                        begin = end
                        continue
            while begin < end:
                begin += self._some(view[begin:end])

    def _make_room(self, size: int) -> bool:
        """Waits until the pipe is empty and holds this many bytes; returns whether it can."""
        try:
            if self._capacity() < size:
                fcntl.fcntl(self._fd, _F_SETPIPE_SZ, size)
        except OSError as error:
            if not self._told_long:
                text = (
                    "lines are left out: one of %d bytes does not fit into the pipe of stdout: %s"
                )
                log.error(text, size, error.strerror)
            self._told_long = True
            return False
        while self._waiting():
            self._wait()
            time.sleep(_LOOK_AGAIN_SECONDS)
        return True

    def _waiting(self) -> int:
        """The number of bytes in the pipe."""
        return int.from_bytes(fcntl.ioctl(self._fd, termios.FIONREAD, bytes(4)), sys.byteorder)

    def _capacity(self, size: int = 0) -> int:
        """The number of bytes that the pipe can hold; a usual one grows to this ``size``."""
        capacity = fcntl.fcntl(self._fd, _F_GETPIPE_SZ)
        if _USUAL_PIPE <= capacity < size <= _LARGEST_PIPE:
            with suppress(OSError):
                capacity = fcntl.fcntl(self._fd, _F_SETPIPE_SZ, size)
        return capacity

    def _write_file(self, lines: bytes, view: memoryview) -> None:
        while self._rest:
            self._rest = self._rest[self._some(self._rest) :]
        written = 0
        try:
            while written < len(lines):
                written += self._some(view[written:])
        except OSError:
            begun = written - lines.rfind(b"\n", 0, written) - 1
            if begun and not self._take_back(begun):
                self._rest = lines[written : lines.index(b"\n", written) + 1]
            raise

    def _take_back(self, size: int) -> bool:
        """Removes this many bytes from the end of a file, if nothing else has written there."""
        try:
            end = os.lseek(self._fd, 0, os.SEEK_CUR)
            if os.fstat(self._fd).st_size != end:
                return False
            os.ftruncate(self._fd, end - size)
            os.lseek(self._fd, end - size, os.SEEK_SET)
        except OSError:
            return False
        return True

    def _some(self, data: Union[bytes, memoryview]) -> int:
        while True:
            try:
                return os.write(self._fd, data)
            except BlockingIOError:  # another process made it non-blocking
                self._wait()

    def _wait(self) -> None:
        """Waits until something can be written."""
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        if any(event & select.POLLERR for _, event in poll.poll()):
            raise BrokenPipeError


def _is_stream_socket(fd: int) -> bool:
    import socket  # imported here: only such an output needs it, and it costs 3 ms

    with socket.socket(fileno=os.dup(fd)) as stdout:
        return stdout.type == socket.SOCK_STREAM


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
