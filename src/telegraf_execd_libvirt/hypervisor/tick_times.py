"""How often ticks arrive, for pauses that have to skip some.

Invariant: one late tick does not make the interval long.
"""

from __future__ import annotations


class TickTimes:
    """The times of the last ticks."""

    def __init__(self) -> None:
        self._last = 0.0
        self._intervals: list[float] = []

    def note(self, now: float) -> None:
        """Notes a tick at this monotonic time."""
        if self._last:
            self._intervals = [*self._intervals[-1:], now - self._last]
        self._last = now

    @property
    def interval(self) -> float:
        """The shorter one of the last two intervals: a pipe that is not read makes one long."""
        return min(self._intervals, default=0.0)
