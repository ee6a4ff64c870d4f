"""Which groups of statistics are due in a tick, for each domain, if groups have intervals.

The time of a group is divided into windows of its length. A group is due once in each window: in
the first tick of it in which the domain is there and answers. With ``spread`` the windows of a
domain begin at a place that its UUID decides, the same for all groups, so that each tick asks for
a share of the domains, and long intervals meet short ones.

Invariant: a domain gets each group once in each window, and at its first tick; what came incomplete
stays due. No thread, no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from math import floor, inf
from typing import Optional
from zlib import crc32

from ..connection.requests import Groups, Piece
from .messages import Plan
from .roster import Roster

#: An interval that is longer than that of the ticks by less than this part is that of the ticks.
_TOLERANCE = 0.25

#: The places of domains are this far apart, in seconds; together they are seven weeks.
_PLACE_SECONDS = 0.001


class Schedule:
    """The intervals of one hypervisor's groups, and when each domain has got them."""

    def __init__(self, plan: Plan, roster: Roster) -> None:
        self._plan = plan
        self._roster = roster
        #: The groups of each interval in seconds.
        self._groups: dict[float, Groups] = {}
        for name, interval in plan.intervals.items():
            self._groups[interval] = self._groups.get(interval, frozenset()) | {name}
        #: When each domain has got the groups of each interval.
        self._got: dict[str, dict[float, float]] = {}
        #: Where the windows begin without ``spread``.
        self._start = inf
        self._now = self._tick = 0.0

    @property
    def active(self) -> bool:
        """Whether not all groups are asked in each tick."""
        return bool(self._plan.intervals) or self._plan.only is not None

    def begin(self, now: float, interval: float) -> None:
        """A tick begins; they come at this interval in seconds, 0 if it is not known. A window
        begins half a tick earlier than its first tick, so that a tick may be early or late."""
        self._start, self._tick = min(self._start, now), interval
        self._now = now + interval / 2
        if len(self._got) > len(self._roster.uuids):
            self._got = {n: got for n, got in self._got.items() if n in self._roster.uuids}

    def split(self, names: Iterable[str]) -> Mapping[Optional[Groups], Sequence[str]]:
        """These domains by the groups that are due for them; those for which nothing is due have
        no groups."""
        parts: dict[Optional[Groups], list[str]] = {}
        for name in names:
            parts.setdefault(self._due(name), []).append(name)
        return parts

    def _due(self, name: str) -> Groups:
        if self._plan.only is not None:
            return self._plan.only
        got, start = self._got.get(name, {}), self._start
        if self._plan.spread:
            start = _place(self._roster.uuids.get(name) or name)
        return _union(
            *(
                groups
                for interval, groups in self._groups.items()
                if interval <= self._tick * (1 + _TOLERANCE)
                or interval not in got
                or floor((self._now - start) / interval) > floor((got[interval] - start) / interval)
            )
        )

    def take(self, piece: Piece) -> None:
        """Notes what domains have got, each of them with what it was asked for."""
        for domain in piece.domains:
            if domain.groups and domain.name not in piece.incomplete:
                got = self._got.setdefault(domain.name, {})
                for interval, groups in self._groups.items():
                    if groups <= domain.groups:
                        got[interval] = self._now


@lru_cache(maxsize=16_384)
def _place(uuid: str) -> float:
    return crc32(uuid.encode("utf-8", "replace")) * _PLACE_SECONDS


@lru_cache(maxsize=256)
def _union(*parts: Groups) -> Groups:
    return frozenset().union(*parts)
