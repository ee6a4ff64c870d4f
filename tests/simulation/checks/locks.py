"""While libvirt holds locks, few calls wait for them at the daemon.

At most one call about all domains waits, and for each locked domain two: a request for several
domains, and the look-up that finds out which one it is. Before that, as many calls may hang as run
at once. This holds as long as the engine may look for one more, and nothing else hangs; the bounds
of all hung requests hold anyway.
"""

from __future__ import annotations

from telegraf_execd_libvirt.connection.requests import BatchRequest, ListRequest

from ..driver import FIRST, Check, Run
from ..scenario import OF_LIVES
from .limits import MOST_LOCKED

#: Calls that wait for a shorter time do not count.
_SECONDS = 0.01


class Locks(Check):
    """Calls that wait for locks, as the daemon sees them."""

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self._applies = run.scenario.is_gentle and run.scenario.only("lock", "storage", *OF_LIVES)
        #: The locked guests, also those of earlier ticks: a request goes from one to the next.
        self._seen: set[str] = set()

    def after(self) -> None:
        run = self.run
        if not self._applies or not run.daemon.calls:
            return
        waiting = [
            call
            for call in run.daemon.calls
            if call.waits in ("lock", "storage") and call.since < run.clock.now - _SECONDS
        ]
        ours = [c for c in waiting if isinstance(c.request, (BatchRequest, ListRequest))]
        self._seen.update(call.at for call in ours)
        locked = len(self._seen)
        if locked < MOST_LOCKED and len(ours) > 1 + 2 * locked + run.scenario.calls:
            texts = [f"{c.kind} {c.at} since {c.since - FIRST:.3f}" for c in ours]
            self.fail(f"{len(ours)} calls wait for {locked} locks: {texts}")
