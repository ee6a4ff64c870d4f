"""Signals that ask for a tick or for the end, noted for the main thread.

Rule guarded: from the first moment on no such signal ends the process by itself. This module loads
nothing that takes time, least of all libvirt.
"""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import Optional

_TICK_SIGNALS = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Signals:
    """Notes signals from its making on, so that an early one does not end the process.

    Whoever waits for one selects ``fd``; others may wake it up as well.
    """

    def __init__(self) -> None:
        self.fd, self._write = os.pipe()
        for fd in (self.fd, self._write):
            os.set_blocking(fd, False)
        self._noted: set[int] = set()
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in (*_TICK_SIGNALS, *_STOP_SIGNALS):
            signal.signal(number, self._note)

    def leave(self) -> None:
        """Gives the signals back their usual meaning: they end the process."""
        for number in (*_TICK_SIGNALS, *_STOP_SIGNALS):
            signal.signal(number, signal.SIG_DFL)
        if self.stop is not None:
            os.kill(os.getpid(), self.stop)

    def _note(self, number: int, _: Optional[FrameType]) -> None:
        self._noted.add(number)

    @property
    def stop(self) -> Optional[int]:
        """The signal that asked for the end, if one did."""
        return next((number for number in _STOP_SIGNALS if number in self._noted), None)

    def take_tick(self) -> bool:
        """Whether a signal asked for a tick since the last call.

        Only what was seen is struck out: a signal may be noted between any two of these lines.
        """
        asked = self._noted.intersection(_TICK_SIGNALS)
        self._noted.difference_update(asked)
        return bool(asked)

    def wake(self) -> None:
        """Makes ``fd`` readable; from any thread."""
        try:
            os.write(self._write, b"w")
        except BlockingIOError:
            pass  # the pipe is full, so the main thread is about to wake up anyway

    def drain(self) -> None:
        """Empties ``fd``."""
        try:
            while os.read(self.fd, 4096):
                pass
        except BlockingIOError:
            pass
