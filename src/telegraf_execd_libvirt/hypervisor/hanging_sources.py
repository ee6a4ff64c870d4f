"""The fetches of sources that hang, and the domains on which they hang.

Invariant: all sources of one hypervisor share it, so that the others leave out a domain that hangs
one of them, and the number of fetches that hang is bounded.
"""

from __future__ import annotations

from .hypervisor import Hypervisor
from .lane import Lane
from .patience import MOST_HANGING_SOURCES


class Hanging:
    """The fetches that hang, of all sources of one hypervisor, and the domains in whose calls."""

    def __init__(self, hypervisor: Hypervisor) -> None:
        self._hypervisor = hypervisor
        self._at: dict[Lane, str] = {}

    @property
    def most(self) -> bool:
        """Whether so many hang that no source should ask more."""
        return len(self._at) >= MOST_HANGING_SOURCES

    def add(self, lane: Lane) -> None:
        """Notes that a fetch hangs."""
        self._at[lane] = lane.at

    def drop(self, lane: Lane) -> None:
        """Notes that a fetch has ended."""
        self._at.pop(lane, None)

    def domains(self) -> frozenset[str]:
        """The names of domains that do not respond."""
        return self._hypervisor.outcome.incomplete.union(self._at.copy().values())
