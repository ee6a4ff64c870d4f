"""The fetches of sources that hang, and the domains on which they hang.

Invariant: all sources of one hypervisor share one such object, so no source asks a domain on which
another source hangs. A fetch keeps its turn while it hangs, so the number of fetches is bounded.
"""

from __future__ import annotations

import threading

from .hypervisor import Hypervisor
from .lane import Lane
from .patience import MOST_FETCHES


class Hanging:
    """The hanging fetches of all sources of one hypervisor, and the domain of each hung call."""

    def __init__(self, hypervisor: Hypervisor) -> None:
        self._hypervisor = hypervisor
        self._at: dict[Lane, str] = {}
        #: The turns; a fetch holds one while it makes libvirt calls.
        self.turns = threading.BoundedSemaphore(MOST_FETCHES)

    def add(self, lane: Lane) -> None:
        """Notes that a fetch hangs."""
        self._at[lane] = lane.at

    def drop(self, lane: Lane) -> None:
        """Notes that a fetch has ended."""
        self._at.pop(lane, None)

    def domains(self) -> frozenset[str]:
        """The names of domains that do not respond."""
        return self._hypervisor.outcome.incomplete.union(self._at.copy().values())
