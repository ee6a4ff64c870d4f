"""While one guest has a fault, the others are written in time.

In a tick in which a fault of the guest begins or ends, they are written later than usual by at
most the smaller one of a third of the timeout and half an interval, beside the time to connect and
to ask again: once to find out which guest it is and once for the others, and once more if the guest
has calls of its own. Of two faults in one tick the second one may begin when the first is found. In
other ticks they are later by at most 0.1 s, beside the time to look up the domains on a new
connection. No tick is left out. If groups have intervals, a fault that only the calls for one group
meet counts in each tick while it lasts.

Calls for a guest that another client uses for long fail after 30 s, so the next ones hang anew.
"""

from __future__ import annotations

from ..daemon import JOB_SECONDS
from ..driver import FIRST, Check, Run, TickRecord

_LATER_SECONDS = 0.1

#: No two ticks take the same time.
_JITTER = 1.3

#: Look-ups, one by one, and the time until an answer is written.
_SLACK_SECONDS = 0.05


class Late(Check):
    """Guests beside one that has faults."""

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        scenario = run.scenario
        kinds = {fault.kind for fault in scenario.faults}
        slow = scenario.own and ("busy" in kinds or scenario.interval >= JOB_SECONDS)
        self._applies = scenario.is_gentle and len(scenario.victims) == 1 and not slow
        self._others = {f"g{number}" for number in range(scenario.guests)} - scenario.victims
        self._usual = 0.0
        self._changes = [
            FIRST + at for fault in scenario.faults for at in (fault.at, fault.at + fault.seconds)
        ]
        self._before = 0.0

    def tick(self, tick: TickRecord) -> None:
        scenario = self.run.scenario
        if not self._applies:
            return
        others = [at for name, at in tick.written.items() if name in self._others]
        took = max(others, default=tick.due) - tick.due
        before, self._before = self._before, tick.due
        took *= scenario.guests / max(scenario.guests, len(tick.expected))
        if tick.number < scenario.calm:
            self._usual = max(self._usual, took) if tick.number else 0.0
            return
        look_ups = scenario.guests * scenario.trip
        most = (self._usual + look_ups) * _JITTER + _LATER_SECONDS
        changes = sum(before <= change <= tick.ended for change in self._changes)
        if scenario.intervals:  # a call may meet a fault long after it began
            lasting = zip(self._changes[::2], self._changes[1::2])
            met = sum(begin <= tick.ended and before <= end for begin, end in lasting)
            changes = max(changes, met)
        if changes:
            # For each fault a call for all domains hangs, and one of the guest's own.
            faults = (changes + 1) // 2
            hung = faults * (2 if scenario.own else 1)
            bound = min(scenario.timeout / 3, scenario.interval / 2)
            patience = bound * max(faults, (1 + hung) / 2)
            repeat = self._usual + scenario.login + look_ups
            most = _SLACK_SECONDS + patience + (1 + hung) * repeat * _JITTER
        if took > most:
            self.fail(f"tick {tick.number} took {took:.3f} s instead of {most:.3f} s")
        if tick.merged and 2 * most < scenario.interval:
            self.fail(f"tick {tick.number} stands for {tick.merged + 1}")
