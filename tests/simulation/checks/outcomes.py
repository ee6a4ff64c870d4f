"""Each tick ends with one outcome, by its deadline, and the outcome counts what was written."""

from __future__ import annotations

from telegraf_execd_libvirt.hypervisor.messages import Action, Outcome

from ..driver import Check, TickRecord

#: The engine's thread may be busy writing at the deadline.
_BUSY_SECONDS = 0.05


class Outcomes(Check):
    """The ends of ticks."""

    def action(self, action: Action) -> None:
        if isinstance(action, Outcome) and self.run.current is None:
            self.fail("a second outcome for one tick")

    def tick(self, tick: TickRecord) -> None:
        outcome = tick.outcome
        assert outcome is not None
        most = self.run.scenario.timeout + tick.paused + _BUSY_SECONDS
        if tick.ended - tick.began > most:
            self.fail(f"tick {tick.number} took {tick.ended - tick.began:.3f} s")
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
