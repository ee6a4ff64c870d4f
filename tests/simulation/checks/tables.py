"""The engine's own tables return to the size that they had before the faults."""

from __future__ import annotations

from collections import deque
from typing import Any

from ..driver import Check, Run, TickRecord

_SLACK = 10

#: What the engine is given, and what it hands out.
_OUTSIDE = frozenset({"plan", "_plan", "settings", "source", "outcome", "_uniform", "listeners"})


def size(thing: Any, seen: set[int]) -> int:
    """The number of items in all containers within an object."""
    if id(thing) in seen or isinstance(thing, (str, bytes, int, float, type(None))):
        return 0
    seen.add(id(thing))
    if isinstance(thing, dict):
        return len(thing) + sum(size(v, seen) for pair in thing.items() for v in pair)
    if isinstance(thing, (list, tuple, set, frozenset, deque)):
        return len(thing) + sum(size(item, seen) for item in thing)
    if not type(thing).__module__.startswith("telegraf_execd_libvirt.hypervisor"):
        return 0
    return sum(size(v, seen) for name, v in vars(thing).items() if name not in _OUTSIDE)


class Tables(Check):
    """The size of the engine."""

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self._calm = 0
        self._guests = 0

    def tick(self, tick: TickRecord) -> None:
        if tick.number == self.run.scenario.calm - 1:
            self._calm = size(self.run.engine, set())
            self._guests = len(tick.expected)

    def end(self) -> None:
        grown = size(self.run.engine, set()) - self._calm
        new = max(0, len(self.run.daemon.selected()) - self._guests)
        if self._calm and grown > _SLACK + 2 * self.run.engine.links.keep + 8 * new:
            self.fail(f"the tables have grown by {grown}, with {new} new guests")
