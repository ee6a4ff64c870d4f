"""The timestamps of each domain differ and increase, and none is later than the time of writing.

A tick comes some milliseconds after its timestamp, so a late one may get a timestamp that is by
these milliseconds behind that of the next one.
"""

from __future__ import annotations

from telegraf_execd_libvirt.hypervisor.messages import Action, Outcome, Reading

from ..driver import Check, Run

#: The longest time from a timestamp to its tick, in nanoseconds.
_TICK_TIME = 3_000_000


class Stamps(Check):
    """Two lines with one timestamp would be one point in a database."""

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self._last: dict[str, int] = {}

    def action(self, action: Action) -> None:
        if isinstance(action, (Reading, Outcome)):
            if action.timestamp > self.run.wall() + 1000:
                self.fail("a timestamp is in the future")
            names = [""] if isinstance(action, Outcome) else [d.name for d in action.domains]
            for name in names:
                last = self._last.get(name, 0)
                if action.timestamp == last or action.timestamp < last - _TICK_TIME:
                    self.fail(f"the timestamp of {name or 'the outcome'} does not increase")
                self._last[name] = action.timestamp
