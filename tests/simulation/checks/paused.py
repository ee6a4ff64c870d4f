"""The time of a write is never libvirt's: while the reader of stdout pauses, nothing hangs.

All guests are written, and no message speaks of libvirt. All lines of a tick have its timestamp,
also those of the sources, since nothing waited behind a call that hung.
"""

from __future__ import annotations

import logging

from telegraf_execd_libvirt.hypervisor.messages import (
    Action,
    Ended,
    Event,
    Fetched,
    Outcome,
    Reading,
    Say,
)

from ..driver import Check, Run, TickRecord
from ..scenario import OF_LIVES

_ALLOWED = ("stdout was not read", "collecting takes longer", "the hypervisor has no domains")


class Paused(Check):
    """Hosts whose only faults are pauses, and changes of the guests."""

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        scenario = run.scenario
        lives = {*OF_LIVES} - {"dies"}  # an error of a call
        lanes = sum(source.lanes for source in scenario.sources)
        seconds = min((source.timeout for source in scenario.sources), default=1.0)
        connects = lanes * scenario.login < seconds / 2  # one after the other
        self._applies = scenario.only("pause", *lives) and scenario.is_fast and connects
        self._known = {f"g{number}" for number in range(scenario.guests)} - scenario.victims
        self._ticks: set[int] = set()
        self._written: set[int] = set()

    def event(self, event: Event) -> None:
        if self._applies and isinstance(event, Ended) and event.error is not None:
            self.fail(f"an error without a fault: {event.error}")

    def action(self, action: Action) -> None:
        if not self._applies:
            return
        if isinstance(action, Say) and action.level > logging.INFO:
            if not action.text.partition(": ")[2].startswith(_ALLOWED):
                self.fail(f"without a fault: {action.text}")
        elif isinstance(action, Outcome):
            self._ticks.add(action.timestamp)
        elif isinstance(action, (Reading, Fetched)):
            self._written.add(action.timestamp)

    def tick(self, tick: TickRecord) -> None:
        outcome = tick.outcome
        assert outcome is not None
        if not self._applies:
            return
        if missing := self._known - tick.written.keys():
            self.fail(f"tick {tick.number} lacks {sorted(missing)}")
        if outcome.hanging or outcome.incomplete or outcome.unread:
            self.fail(f"tick {tick.number}: {outcome}")

    def end(self) -> None:
        if late := self._written - self._ticks:
            self.fail(f"timestamps of no tick: {sorted(late)}")
