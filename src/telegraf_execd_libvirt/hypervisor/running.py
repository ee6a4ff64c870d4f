"""The requests of ticks that have not ended: which connection serves which, and which of them hang.

Invariant: no decision is made here. No thread, no clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from ..connection.requests import BatchRequest, Request, XmlRequest
from .batch import BATCH, Batch, asks_all
from .messages import Link
from .patience import MOST_HANGING
from .roster import Roster
from .tick import Tick


@dataclass(eq=False)
class Running:
    """A request that has not ended; ``hung`` if it has exceeded its patience, ``behind`` the
    locked domain for which it probably waits."""

    batch: Batch
    tick: Tick
    request: Request
    link: Link
    started: float
    hung: bool = False
    behind: str = ""

    @property
    def statistics(self) -> Optional[BatchRequest]:
        return self.request if isinstance(self.request, BatchRequest) else None

    def waits_for(self, name: str) -> bool:
        """Whether it waits for the lock of this domain, if that is locked."""
        progress, asked = self.link.progress, self.statistics
        if asked is None or progress.looks_up:
            lists = isinstance(self.request, XmlRequest) and not progress.at
            return progress.at == name or lists
        return asked.names is None or name in asked.names


class Runs:
    """All requests that have not ended, also those of earlier ticks; ``calls``: batches that may
    run at the same time."""

    def __init__(self, calls: int, roster: Roster) -> None:
        self.running: dict[Link, Running] = {}
        self.roster = roster
        #: The domains that were incomplete in the last tick.
        self.incomplete: frozenset[str] = frozenset()
        #: The connection that subscribes to events.
        self.watching: Optional[Link] = None
        self._calls = calls

    @property
    def size(self) -> int:
        known = len(self.roster.uuids)
        return min(BATCH, -(-known // self._calls)) if self._calls > 1 and known else BATCH

    def hung_at(self) -> frozenset[str]:
        """The domains whose own calls delay the hung requests now."""
        at = (run.link.progress.at for run in self.running.values() if run.hung)
        return frozenset(filter(None, at))

    def any_hung(self, tick: Optional[Tick]) -> bool:
        """Whether a request hangs, or one has hung in this tick."""
        return bool(tick and tick.hung_at) or any(run.hung for run in self.running.values())

    def in_time(self, tick: Tick, for_all: bool = False) -> bool:
        """Whether a request of the tick runs that does not hang; ``for_all``: about all domains."""
        runs = (run for run in self.running.values() if run.tick is tick and not run.hung)
        return any(run.batch.for_all or not for_all for run in runs)

    def waits(self, run: Running) -> bool:
        if self.roster.blocked and asks_all(run.request):
            return True
        return run.behind in self.roster.locked or self.roster.waits(run.link)

    @property
    def no_monitor(self) -> bool:
        """Whether too many requests hang, without those that wait for locks: only statistics
        without a monitor are requested then."""
        hung = (
            run.hung and not run.batch.for_xml and not self.waits(run)
            for run in self.running.values()
        )
        return sum(hung) >= MOST_HANGING
