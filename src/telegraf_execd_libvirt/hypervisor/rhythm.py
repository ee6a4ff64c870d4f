"""When a source is fetched: at its interval, and less often while it cannot be reached.

Invariant: a fetch that had no turn, or whose connection was lost, is repeated at the next tick.
"""

from __future__ import annotations

import time
from typing import Optional

from ..connection.errors import ErrorKind
from .lane import Fetched
from .patience import CHEAP_ATTEMPT_SECONDS, pause_after
from .tick_times import TickTimes

#: A tick may come early by this part of the interval.
_EARLY = 0.05


class Rhythm:
    """The rhythm of a source with this ``interval`` in nanoseconds. A host that ``is_remote`` may
    lock this one out, so the pauses after its refusals skip ticks."""

    def __init__(self, interval: int, is_remote: bool) -> None:
        self._interval = interval / 1e9 * (1 - _EARLY)
        self._asked: Optional[float] = None
        self._not_before = self._pause = 0.0
        self._is_remote = is_remote
        self._ticks = TickTimes()

    def tick(self, now: float) -> None:
        """Notes a tick at this monotonic time."""
        self._ticks.note(now)

    def is_due(self, now: float) -> bool:
        """Whether a fetch should start at this monotonic time."""
        if now < self._not_before:
            return False
        return self._asked is None or now - self._asked >= self._interval

    def started(self, now: float) -> None:
        """A fetch starts."""
        self._asked = now

    def repeat(self) -> None:
        """The fetch has to be repeated soon."""
        self._asked = None

    def succeeded(self) -> None:
        """All is well: a later failure is the first one."""
        self._pause = self._not_before = 0.0

    def failed(self, fetched: Fetched) -> None:
        """The next fetch is soon after a lost connection, ever later if connecting takes long or
        access is refused."""
        kind = fetched.error.kind if fetched.error is not None else ErrorKind.FAILED
        denied = kind in (ErrorKind.DENIED, ErrorKind.WRONG_URI)
        if denied or (fetched.opening and fetched.seconds > CHEAP_ATTEMPT_SECONDS):
            by_ticks = denied and self._is_remote
            self._pause = pause_after(self._pause, self._ticks.interval if by_ticks else 0.0)
            self._not_before = time.monotonic() + self._pause
        if fetched.opening or kind is ErrorKind.LOST:
            self.repeat()
