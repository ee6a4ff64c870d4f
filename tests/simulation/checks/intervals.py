"""Each guest gets each group once an interval, and never more often.

Of three readings in a row the last one comes at least an interval, less a tick, after the first:
only a late reading, or the first one of a guest, may be close to the next. A guest that goes and
comes has more than one first reading. Without faults of the whole host a guest that no fault
touches gets it at the latest an interval and a tick after the last time, unless too many hang. What
came incomplete does not count.
"""

from __future__ import annotations

from collections import deque

from telegraf_execd_libvirt.hypervisor.messages import Action, Reading

from ..driver import Check, Run, TickRecord
from .limits import MOST_HANGING, MOST_LOCKED

#: Ticks come some milliseconds late.
_JITTER = 0.02


class Intervals(Check):
    """The times at which each guest got each group."""

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        scenario = run.scenario
        each = 2 if scenario.own else 1  # a call for many domains, and one of its own
        few = each * len(scenario.victims) < min(MOST_HANGING, MOST_LOCKED)
        self._applies = scenario.is_gentle and few
        self._known = {f"g{number}" for number in range(scenario.guests)} - scenario.victims
        kinds = ("appear", "vanish")
        self._comes = {f"g{fault.guest}" for fault in scenario.faults if fault.kind in kinds}
        if any(fault.at < 0 for fault in scenario.faults):
            # During a lock at the start only names are known; with the UUID a guest gets its place.
            self._comes |= {f"g{number}" for number in range(scenario.guests)}
        self._times: dict[tuple[str, str], deque[float]] = {}

    def action(self, action: Action) -> None:
        tick = self.run.current
        if not isinstance(action, Reading) or tick is None or not self.run.scenario.intervals:
            return
        for domain in action.domains:
            if domain.groups is None:
                self.fail(f"all groups of {domain.name} are asked")
            if domain.name not in action.incomplete:
                for group in domain.groups or ():
                    self._note(domain.name, group, tick.began)

    def _note(self, name: str, group: str, now: float) -> None:
        times = self._times.setdefault((name, group), deque(maxlen=3))
        times.append(now)
        scenario = self.run.scenario
        interval = scenario.intervals[group]
        least = interval - scenario.interval - _JITTER
        if len(times) == 3 and times[2] - times[0] < least and name not in self._comes:
            self.fail(f"{name} gets {group} after {times[2] - times[0]:.3f} s for the third time")

    def tick(self, tick: TickRecord) -> None:
        if tick.resting & tick.written.keys():
            self.fail("resting, but written")
        scenario = self.run.scenario
        for name in tick.expected & self._known if self._applies else ():
            for group, interval in scenario.intervals.items():
                times = self._times.get((name, group))
                most = max(interval, scenario.interval) + scenario.interval / 2
                if not times or tick.began - times[-1] > most + _JITTER:
                    self.fail(f"{name} lacks {group} at tick {tick.number}")
