"""Signals that request a tick or the end of the program, recorded for the main thread.

Invariant: from ``Signals()`` to ``leave()`` no request for a tick ends the process, and from
``hold()`` on no request for the end does so by itself. Before, that has its default effect, which
also ends a wait for a file on dead storage. This module imports nothing slow, least of all libvirt.
"""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import Callable, Optional

_TICK_SIGNALS = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Signals:
    """Records requests for a tick from its creation on, so that an early one is not lost.

    ``fd`` becomes readable after each signal and after ``wake()``.
    """

    def __init__(self) -> None:
        self.fd, self._write = os.pipe()
        for fd in (self.fd, self._write):
            os.set_blocking(fd, False)
        self._noted: set[int] = set()
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in _TICK_SIGNALS:
            signal.signal(number, self._note)
        for number in _STOP_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        # The parent may have blocked some.
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    def hold(self) -> None:
        """From now on requests for the end are recorded."""
        for number in _STOP_SIGNALS:
            signal.signal(number, self._note)

    def leave(self, clean_up: Callable[[], None]) -> None:
        """From now on each signal ends the process, after ``clean_up``."""

        def end(number: int, _: Optional[FrameType]) -> None:
            clean_up()
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

        for number in (*_TICK_SIGNALS, *_STOP_SIGNALS):
            signal.signal(number, end)

    def _note(self, number: int, _: Optional[FrameType]) -> None:
        self._noted.add(number)

    @property
    def stop(self) -> Optional[int]:
        """The signal that requested the end, or None."""
        return next((number for number in _STOP_SIGNALS if number in self._noted), None)

    def take_tick(self) -> bool:
        """Return whether a signal requested a tick since the last call.

        Removes only the signals it has seen: another may arrive between any two of these lines.
        """
        asked = self._noted.intersection(_TICK_SIGNALS)
        self._noted.difference_update(asked)
        return bool(asked)

    def wake(self) -> None:
        """Make ``fd`` readable; callable from any thread."""
        try:
            os.write(self._write, b"w")
        except BlockingIOError:
            pass  # the pipe is full, so the main thread wakes up anyway

    def discard_bytes(self) -> None:
        """Discard all bytes in ``fd``."""
        try:
            while os.read(self.fd, 4096):
                pass
        except BlockingIOError:
            pass
