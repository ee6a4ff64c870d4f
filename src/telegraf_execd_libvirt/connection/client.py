"""libvirt's client: its event loop, the lines that it writes to stderr, and its version.

Keepalive and events need the loop, which runs in a separate thread. Some errors have their reason
only in the lines.

Invariant: a process has one loop, registered before the first connection is opened; it never ends.
A line from libvirt is never logged as a warning; ``--log-level debug`` shows it. A warning of
libvirt's is kept for the error that a call of the same thread raises.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections import deque
from typing import Any, Callable

import libvirt

from ..log import log
from .conceal import conceal

#: The pause after each turn of the loop. Without pauses, each request wakes the loop twice, which
#: costs as much CPU time as the request itself.
_PAUSE_SECONDS = 0.02

#: The arguments of the callback of a channel without its name: self, domain, state, reason, data.
_WITHOUT_CHANNEL = 5

_lock = threading.Lock()
_running = False

#: Time, thread, priority, place and text.
_LINE = re.compile(
    r"[\d-]{10} [\d:.]{12}[+-]\d{4}: (\d+): (debug|info|warning|error) : (?:\w+:\d+ : )?(.*)"
)

#: More lines than a connection attempt writes.
_KEPT = 100

#: A line of our own: when it arrives, all earlier lines have arrived.
_MARK = "telegraf-execd-libvirt: everything before this line was read "
_WAIT_SECONDS = 1.0


def start_events() -> None:
    """Starts the loop, if it does not run."""
    global _running
    with _lock:
        if not _running:
            _running = True
            libvirt.registerErrorHandler(_log_error, None)
            libvirt.virEventRegisterDefaultImpl()
            threading.Thread(target=_run, name="libvirt events", daemon=True).start()


def _run() -> None:
    while True:
        try:
            libvirt.virEventRunDefaultImpl()
            time.sleep(_PAUSE_SECONDS)
        except libvirt.libvirtError as error:
            log.debug("libvirt's event loop: %s", conceal(str(error)))
            time.sleep(1)  # a lasting failure must not spin


def _log_error(_: object, error: tuple[Any, ...]) -> None:
    """Keeps libvirt's errors off stderr; the ones that matter are raised as well."""
    log.debug("libvirt: code %s, domain %s: %s", error[0], error[1], conceal(str(error[2])))


class ClientLog:
    """Takes libvirt's lines out of those of stderr, which is this file descriptor."""

    def __init__(self, stderr: int = 2) -> None:
        self._stderr = stderr
        self._lines: deque[tuple[int, str]] = deque(maxlen=_KEPT)
        self._lock = threading.Lock()
        self._marks: dict[str, threading.Event] = {}
        self._listens = False

    def start(self) -> Callable[[str], bool]:
        """Returns the function that must get each line of stderr; it takes libvirt's lines."""
        self._listens = True
        return self._claim

    def _claim(self, line: str) -> bool:
        if line.startswith(_MARK):
            self._marks.pop(line, threading.Event()).set()
            return True
        found = _LINE.fullmatch(line)
        if found is None:
            return False
        thread, priority, text = found.groups()
        log.debug("libvirt: %s: %s", priority, conceal(text))
        if priority == "warning":  # errors are raised
            self._lines.append((int(thread), text))
        return True

    def reasons(self) -> list[str]:
        """The texts of this thread's warnings since the last call, oldest first."""
        self._wait()
        own = threading.get_native_id()
        with self._lock:
            lines = [self._lines.popleft() for _ in range(len(self._lines))]
            self._lines.extend(line for line in lines if line[0] != own)
        return [text for thread, text in lines if thread == own]

    def _wait(self) -> None:
        """Waits until all earlier lines are read: another thread reads stderr."""
        if not self._listens:
            return
        mark = f"{_MARK}{threading.get_native_id()}"
        arrived = self._marks[mark] = threading.Event()
        os.write(self._stderr, f"{mark}\n".encode())
        arrived.wait(_WAIT_SECONDS)


#: The lines of this process.
client_log = ClientLog()


def takes_channels() -> bool:
    """Whether libvirt-python passes the name of a channel to the callbacks of its events. Up to
    12.8 at least its C function lacks this argument, and the first event would end the process."""
    dispatch = getattr(libvirt.virConnect, "_dispatchDomainEventChannelLifecycleCallback", None)
    return dispatch is not None and dispatch.__code__.co_argcount > _WITHOUT_CHANNEL


def library_version() -> str:
    """The version of the libvirt client library, such as 9.0.0; no call."""
    return format_version(int(libvirt.getVersion()))


def format_version(number: int) -> str:
    """A libvirt version number as text, 9000001 as 9.0.1; no call."""
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"
