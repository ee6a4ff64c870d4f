"""Simulated time: what happens next, and when.

Invariant: things that happen at the same time happen in the order in which they were planned.
"""

from __future__ import annotations

import heapq
from itertools import count
from typing import Callable

#: The monotonic time at which each run starts; a clock that starts at 0 would hide defects.
START = 1000.0


class Clock:
    """``now`` is the simulated monotonic time, in seconds."""

    def __init__(self) -> None:
        self.now = START
        self._coming: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()

    def at(self, moment: float, happens: Callable[[], None]) -> None:
        """Plans something for this time, or for now if the time has passed."""
        heapq.heappush(self._coming, (max(moment, self.now), next(self._numbers), happens))

    def after(self, seconds: float, happens: Callable[[], None]) -> None:
        """Plans something after this many seconds."""
        self.at(self.now + seconds, happens)

    def run(self, until: float) -> None:
        """Lets everything happen until this time."""
        while self._coming and self._coming[0][0] <= until:
            self.now, _, happens = heapq.heappop(self._coming)
            happens()
        self.now = max(self.now, until)
