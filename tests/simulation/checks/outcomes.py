"""Each tick ends with one outcome, by its deadline, and the outcome counts what was written.

If the next tick is not due, it waits until its deadline for a guest that hangs for the first time.
"""

from __future__ import annotations

from telegraf_execd_libvirt.hypervisor.messages import Action, Outcome

from ..driver import Check, Run, TickRecord

#: The engine's thread may be busy writing at the deadline.
_BUSY_SECONDS = 0.05


class Outcomes(Check):
    """The ends of ticks."""

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        scenario = run.scenario
        self._hung = 0
        self._most_seconds = scenario.timeout - _BUSY_SECONDS
        alone = scenario.only("hang", "late") and len(scenario.victims) == 1
        regular = scenario.interval > scenario.timeout and not scenario.irregular
        self._waits = alone and regular

    def action(self, action: Action) -> None:
        if isinstance(action, Outcome) and self.run.current is None:
            self.fail("a second outcome for one tick")

    def tick(self, tick: TickRecord) -> None:
        outcome = tick.outcome
        assert outcome is not None
        most = self.run.scenario.timeout + tick.paused + _BUSY_SECONDS
        if tick.ended - tick.began > most:
            self.fail(f"tick {tick.number} took {tick.ended - tick.began:.3f} s")
        is_new, self._hung = not self._hung, outcome.hanging
        hangs = is_new and outcome.hanging and outcome.incomplete
        if self._waits and hangs and outcome.seconds < self._most_seconds:
            self.fail(f"tick {tick.number} does not wait for {sorted(outcome.incomplete)}")
        late = tick.ended - tick.began - outcome.seconds
        if not -tick.paused - _BUSY_SECONDS <= late <= tick.paused + _BUSY_SECONDS:
            self.fail(f"took {outcome.seconds:.3f} s, and ended {late:.3f} s later")
        read = len(tick.written) + (len(tick.resting) if outcome.up else 0)
        if outcome.domains != read:
            self.fail(f"{outcome.domains} domains are counted, {read} read")
        if outcome.incomplete != tick.incomplete:
            self.fail(f"incomplete: {sorted(outcome.incomplete)}, {sorted(tick.incomplete)}")

    def after(self) -> None:
        tick = self.run.current
        if tick is not None and not self.run.paused:
            most = self.run.scenario.timeout + tick.paused + _BUSY_SECONDS
            if self.run.clock.now - tick.began > most:
                self.fail(f"tick {tick.number} does not end")

    def end(self) -> None:
        if self.run.current is not None or self.run.engine.collects:
            self.fail("the last tick has not ended")
