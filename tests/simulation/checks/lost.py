"""A guest that no fault touches is in each tick, and a fault of a guest costs no tick.

While more guests are locked than the engine may wait for, it cannot find out which ones. Then
guests that share a request with them may be missing, but they are counted. Likewise guests beside
many that hang come incomplete. An outage of the whole host is the business of other checks.
"""

from __future__ import annotations

from ..driver import Check, Run, TickRecord
from ..scenario import OF_GUESTS
from .limits import MOST_HANGING, MOST_LOCKED


class Lost(Check):
    """Guests without faults."""

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        scenario = run.scenario
        self._applies = scenario.is_gentle or (scenario.is_quick and scenario.only("pause"))
        self._is_short = scenario.own and scenario.timeout <= 1
        self._stays = scenario.is_gentle and scenario.only(*OF_GUESTS)
        #: Those that exist from the beginning, without faults.
        self._known = {f"g{number}" for number in range(scenario.guests)} - scenario.victims
        self._locked, self._hung = (
            {
                number
                for fault in scenario.faults
                if fault.kind in kinds
                for number in fault.neighbours(scenario.guests)
            }
            for kinds in (("lock", "storage"), OF_GUESTS)
        )

    def tick(self, tick: TickRecord) -> None:
        outcome = tick.outcome
        assert outcome is not None
        if not self._applies or (tick.number == 0 and not outcome.up):
            return
        named = {domain.name for domain in outcome.locked}.union(tick.written, tick.resting)
        if self._stays and len(lost := tick.expected - named) > outcome.unread:
            self.fail(f"tick {tick.number} says nothing of {sorted(lost)}")
        each = 2 if self.run.scenario.own else 1  # one call for all domains and one of its own
        many = len(self._hung) * each >= MOST_HANGING
        # A timeout may be over before two calls have hung at each of several guests.
        excused = len(self._locked) >= MOST_LOCKED or (many and self._is_short)
        missing = self._known - tick.written.keys() - tick.resting
        if missing and (not excused or len(missing) > outcome.unread):
            self.fail(f"tick {tick.number} lacks {sorted(missing)}, unread={outcome.unread}")
        cut = tick.incomplete & self._known
        if cut and not many:
            self.fail(f"tick {tick.number} has incomplete {sorted(cut)}")
