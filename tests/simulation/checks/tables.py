"""The engine's own tables return to the size that they had before the faults.

No name of a domain that is gone is left in them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

from ..driver import Check, Run, TickRecord

_SLACK = 10

#: What the engine is given, and what it hands out. The voice forgets after more than ten minutes.
_OUTSIDE = frozenset(
    {"plan", "_plan", "settings", "source", "outcome", "_uniform", "listeners", "voice", "_voice"}
)

#: The names of a set of groups, the set and two times.
_ITEMS_OF_A_SET = 6

#: The most problems of one subject that the voice remembers.
_MOST_SAID = 20


def items(thing: Any, seen: set[int]) -> Iterator[Any]:
    """The items in all containers within an object."""
    if id(thing) in seen or isinstance(thing, (str, bytes, int, float, type(None))):
        return
    seen.add(id(thing))
    inside: list[Any] = []
    if isinstance(thing, dict):
        inside = [item for pair in thing.items() for item in pair]
        yield from thing
    elif isinstance(thing, (list, tuple, set, frozenset, deque)):
        inside = [*thing]
        yield from thing
    elif type(thing).__module__.startswith("telegraf_execd_libvirt.hypervisor"):
        inside = [value for name, value in vars(thing).items() if name not in _OUTSIDE]
    for item in inside:
        yield from items(item, seen)


class Tables(Check):
    """The size of the engine."""

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self._calm = self._guests = 0
        self._names: set[str] = set()

    def tick(self, tick: TickRecord) -> None:
        self._names |= tick.expected
        if tick.number == self.run.scenario.calm - 1:
            self._calm = sum(1 for _ in items(self.run.engine, set()))
            self._guests = len(tick.expected)

    def end(self) -> None:
        run = self.run
        found = [*items(run.engine, set())]
        left = self._names.intersection(item for item in found if isinstance(item, str))
        if gone := left - run.daemon.guests.keys():
            self.fail(f"gone, but in the tables: {sorted(gone)}")
        sizes = (len(subject.said) for subject in run.engine.journal.voice.subjects.values())
        if max(sizes, default=0) > _MOST_SAID:
            self.fail("the voice remembers too much")
        grown = len(found) - self._calm
        new = max(0, len(run.daemon.guests) - self._guests)
        each = 8 + 2 * len(run.scenario.intervals)
        most = _SLACK + 2 * run.engine.links.keep + each * new + run.client.never
        # The usual times of all sets of groups that may be due together.
        most += _ITEMS_OF_A_SET * 2 ** len(run.scenario.intervals)
        if self._calm and grown > most:
            self.fail(f"the tables have grown by {grown}, with {new} new guests")
