"""The fetches of sources that hang, and the domains on which they hang.

Invariant: all sources of one hypervisor share it, so that the others leave out a domain that hangs
one of them. Each fetch needs a turn and keeps it while it hangs, so their number is bounded.
"""

from __future__ import annotations

import threading

from .hypervisor import Hypervisor
from .lane import Lane
from .patience import MOST_FETCHES


class Hanging:
    """The fetches that hang, of all sources of one hypervisor, and the domains in whose calls."""

    def __init__(self, hypervisor: Hypervisor) -> None:
        self._hypervisor = hypervisor
        self._at: dict[Lane, str] = {}
        #: What a fetch needs as long as it is in libvirt.
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
