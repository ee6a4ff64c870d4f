"""The timestamps of each domain differ and increase, and none is later than the time of writing.

What is written was asked in the same tick. It has the time of the tick, or that at which it was
asked; but requests wait while the reader of stdout pauses.

A tick comes some milliseconds after its timestamp, so a late one may get a timestamp that is by
these milliseconds behind that of the next one.
"""

from __future__ import annotations

from telegraf_execd_libvirt.hypervisor.messages import Action, Outcome, Reading

from ..driver import Check, Run, TickRecord

#: The longest time from a timestamp to its tick, in nanoseconds.
_TICK_TIME = 3_000_000
_ROUNDING = 10_000_000


class Stamps(Check):
    """Two lines with one timestamp would be one point in a database."""

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self._last: dict[str, int] = {}
        self._pauses = any(fault.kind == "pause" for fault in run.scenario.faults)
        #: The timestamps of this tick, and the seconds from its beginning until that was asked.
        self._written: list[tuple[int, float]] = []

    def action(self, action: Action) -> None:
        tick = self.run.current
        if isinstance(action, Reading) and tick is not None:
            old = [d.name for d in action.domains if float(d.stats["asked"]) < tick.began]
            if old:
                self.fail(f"asked in an earlier tick: {old}")
            after = float(action.domains[0].stats["asked"]) - tick.began
            self._written.append((action.timestamp, after))
        if isinstance(action, (Reading, Outcome)):
            if action.timestamp > self.run.wall() + 1000:
                self.fail("a timestamp is in the future")
            names = [""] if isinstance(action, Outcome) else [d.name for d in action.domains]
            for name in names:
                last = self._last.get(name, 0)
                if action.timestamp == last or action.timestamp < last - _TICK_TIME:
                    self.fail(f"the timestamp of {name or 'the outcome'} does not increase")
                self._last[name] = action.timestamp

    def tick(self, tick: TickRecord) -> None:
        assert tick.outcome is not None
        for timestamp, after in self._written:
            late = timestamp - tick.outcome.timestamp
            if late and not self._pauses and abs(late - after * 1e9) > _ROUNDING:
                self.fail(f"a timestamp is {late} ns after the tick, asked after {after:.4f} s")
        self._written.clear()
