"""A tick without any answer is an outage in its outcome, and only such a tick.

Connections that were lost before a tick cost it nothing, however many they are.
"""

from __future__ import annotations

from ..driver import FIRST, Check, Run, TickRecord
from ..scenario import OF_GUESTS


class Outage(Check):
    """``up`` of outcomes."""

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        #: Whether all domains exist all the time, and there was a tick without faults.
        self._lives = run.scenario.only(*OF_GUESTS) and run.scenario.calm > 0
        #: Whether nothing but connections is lost.
        self._loses = run.scenario.is_fast and run.scenario.only("lose", "restart")

    def _is_clear(self, tick: TickRecord) -> bool:
        """Whether no fault meets the tick."""
        return not any(
            FIRST + fault.at <= tick.ended and tick.began <= FIRST + fault.at + fault.seconds
            for fault in self.run.scenario.faults
        )

    def tick(self, tick: TickRecord) -> None:
        outcome = tick.outcome
        assert outcome is not None
        if tick.written and not outcome.up:
            self.fail(f"tick {tick.number} has lines, but {outcome.trouble}")
        explained = bool(outcome.unread) or not self._lives
        explained |= bool(tick.resting)
        explained |= tick.expected <= {domain.name for domain in outcome.locked}
        if outcome.up and not tick.written and not explained:
            self.fail(f"tick {tick.number} has no lines, but up, and nothing is unread")
        if outcome.trouble is not None and not str(outcome.trouble):
            self.fail("an outage without a reason")
        if self._loses and not outcome.up and self._is_clear(tick):
            self.fail(f"tick {tick.number} met no fault, but {outcome.trouble}")
