"""File descriptors: how many the connections need, and whether another one fits.

glib, which libvirt's client uses, ends the process where it gets no descriptor. So a connection is
attempted only if enough of them are free.

Invariant: the descriptors of an attempt are reserved until it ends; the log says once that some do
not fit.
"""

from __future__ import annotations

import resource
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..log import log
from ..uri import transport
from .errors import ErrorKind, LibvirtError

#: Those of the program itself: the standard streams, its pipes, libvirt's event loop.
_PROGRAM = 9

#: Those of an open connection: a socket, an event of glib's; and ssh's stderr.
_CONNECTION, _SSH_CONNECTION = 2, 3

#: Those of an attempt, with name resolution, certificates, and both ends of ssh's streams.
_ATTEMPT = 6

#: Left for what is open for an instant, such as files in /proc.
_SPARE = 4

_HELP = "raise LimitNOFILE= of Telegraf's service, or ulimit -n"

#: Attempts wait this long for others to end if not all of them fit at the same time.
_WAIT_SECONDS = 1.0

_changed = threading.Condition()
_attempts = _kept = 0
_told = False


def raise_limit() -> None:
    """Raises the limit of this process as far as it is allowed."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def check(connections: Iterable[tuple[str, int]]) -> None:
    """Logs an error if the limit does not allow this number of connections to each URI; keeps free
    what the first connection to each needs."""
    global _kept
    needed, _kept = _PROGRAM + _ATTEMPT + _SPARE, 0
    for uri, count in connections:
        each = _SSH_CONNECTION if transport(uri) == "ssh" else _CONNECTION
        needed += count * each
        _kept += each
    if needed > _limit():
        _tell(f"the configuration needs up to {needed} file descriptors")


@contextmanager
def reserved(first: bool) -> Iterator[None]:
    """A connection attempt, the ``first`` one to a hypervisor or another; raises LibvirtError if it
    does not fit."""
    global _attempts
    with _changed:
        _changed.wait_for(lambda: _fits(first) or not _attempts, _WAIT_SECONDS)
        if not _fits(first):
            text = "no file descriptors are free for another connection"
            _tell(text)
            raise LibvirtError(0, 0, text, known=ErrorKind.FAILED, help=_HELP)
        _attempts += 1
    try:
        yield
    finally:
        with _changed:
            _attempts -= 1
            _changed.notify_all()


def _fits(first: bool) -> bool:
    spare = _SPARE if first else _SPARE + _kept
    return _limit() - _used() >= (_attempts + 1) * _ATTEMPT + spare


def _limit() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _used() -> int:
    try:
        return len([*Path("/proc/self/fd").iterdir()])
    except FileNotFoundError:  # without /proc
        return 0
    except OSError:  # none is free
        return _limit()


def _tell(text: str) -> None:
    global _told
    if not _told:
        _told = True
        log.error("%s, the limit is %d: what fits works; %s", text, _limit(), _HELP)
