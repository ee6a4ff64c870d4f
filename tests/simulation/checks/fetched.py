"""While one guest is locked or hangs, the sources go on to bring the others.

A fetch that comes to the guest is given up after the source's timeout, and the next one, at the
next tick, leaves the guest out. Each fault may cost a fetch. Other sources may wait for the
connection meanwhile.
"""

from __future__ import annotations

from telegraf_execd_libvirt.hypervisor.messages import Action, Fetched

from ..driver import FIRST, Check, Run

_SLACK_SECONDS = 0.5


class FetchedOthers(Check):
    """The time between two fetches of each guest beside one that has faults."""

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        scenario = run.scenario
        is_simple = scenario.only("hang", "lock", "storage") and len(scenario.victims) == 1
        others = {f"g{number}" for number in range(scenario.guests)} - scenario.victims
        wait = 2 * max((source.timeout for source in scenario.sources), default=0.0)
        wait += (1 + len(scenario.faults)) * scenario.interval + scenario.login + _SLACK_SECONDS
        #: For each source its longest time, and when each guest was fetched last.
        self._most: dict[int, float] = {}
        self._last: dict[int, dict[str, float]] = {}
        for number, source in enumerate(scenario.sources):
            if source.of_domains and is_simple and scenario.is_gentle:
                self._most[number] = max(source.interval, scenario.interval) + wait
                self._last[number] = dict.fromkeys(others, FIRST)

    def action(self, action: Action) -> None:
        if isinstance(action, Fetched) and action.number in self._most:
            last, now = self._last[action.number], self.run.clock.now
            for name in last.keys() & {domain.name for domain in action.domains}:
                if now - last[name] > self._most[action.number]:
                    self.fail(f"source {action.number}: {now - last[name]:.3f} s without {name}")
                last[name] = now
