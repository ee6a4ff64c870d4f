"""A tick without any answer is an outage in its outcome, and only such a tick."""

from __future__ import annotations

from ..driver import Check, Run, TickRecord
from ..scenario import OF_GUESTS


class Outage(Check):
    """``up`` of outcomes."""

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        #: Whether all domains exist all the time, and there was a tick without faults.
        self._lives = run.scenario.only(*OF_GUESTS) and run.scenario.calm > 0

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
