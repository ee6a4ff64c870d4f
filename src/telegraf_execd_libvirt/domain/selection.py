"""Which domains are read: by their names, and by their states.

Invariant: libvirt's own filters do what they can, so that other domains are not asked; the answer
is filtered again, so that a domain that has just changed its state is selected or dropped at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Optional

from .globs import compile_globs
from .record import STATE_NAMES, Stats

#: libvirt's filters for lists and for bulk statistics: VIR_CONNECT_LIST_DOMAINS_RUNNING and so on,
#: with the same numbers as VIR_CONNECT_GET_ALL_DOMAINS_STATS_RUNNING.
_FILTERS = {"running": 0x10, "paused": 0x20, "shutoff": 0x40}
_OTHER_STATES = 0x80


class Selection:
    """The domains with these ``names`` (empty: all), or with names that a glob of ``include``
    matches (empty: all); without those that a glob of ``exclude`` matches; in one of ``states``
    (empty: all), which are of STATE_NAMES."""

    def __init__(
        self,
        names: tuple[str, ...] = (),
        include: tuple[str, ...] = (),
        exclude: tuple[str, ...] = (),
        states: tuple[str, ...] = (),
    ) -> None:
        self._names = frozenset(names)
        self._include = compile_globs(include)
        self._exclude = compile_globs(exclude)
        self._includes = bool(include)
        self._states = frozenset(STATE_NAMES.index(name) for name in states)
        #: Whether names select, so that the domains have to be listed.
        self.by_name = bool(names or include or exclude)
        #: Whether states select, so that the group ``state`` has to be read.
        self.by_state = bool(states)
        #: The bits of libvirt's filters; 0 for all domains.
        self.flags = 0
        for name in states:
            self.flags |= _FILTERS.get(name, _OTHER_STATES)

    def names(self, names: Iterable[str]) -> list[str]:
        """Those of these names that are selected."""
        return [name for name in names if self._selects(name)]

    def _selects(self, name: str) -> bool:
        if self._names and name not in self._names:
            return False
        if self._includes and not self._include.matches(name):
            return False
        return not self._exclude.matches(name)

    def has_state(self, stats: Stats) -> bool:
        """Whether a domain with these statistics is in a selected state."""
        state: Optional[object] = stats.get("state.state")
        return not self._states or state in self._states
