"""Two ticks after the last fault all is complete: each guest, each source, nothing hangs.

All is asked again: with the monitor, with disks, and of all guests.
"""

from __future__ import annotations

from telegraf_execd_libvirt.connection.requests import NO_HOST, BatchRequest
from telegraf_execd_libvirt.hypervisor.messages import Action, Ask, Fetched

from ..driver import Check, Run, TickRecord


class Recovered(Check):
    """The ticks after the last fault."""

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self._fetched: dict[int, dict[str, float]] = {}

    def action(self, action: Action) -> None:
        if isinstance(action, Fetched):
            names = self._fetched.setdefault(action.number, {})
            names.update((domain.name, self.run.clock.now) for domain in action.domains)
        request = action.request if isinstance(action, Ask) else None
        tick = self.run.current
        if tick is None or tick.began < self.run.recovered_at:
            return
        if isinstance(request, BatchRequest) and request.names != ():
            left_out = request.no_monitor or request.without_block or request.skip
            # What is rarely due may take longer than usual.
            if left_out or (request.hung and not self.run.scenario.intervals):
                self.fail(f"after the last fault less is asked: {request}")

    def tick(self, tick: TickRecord) -> None:
        outcome = tick.outcome
        assert outcome is not None
        if tick.began < self.run.recovered_at:
            return
        texts = {
            "the reason": outcome.trouble,
            "missing": sorted(tick.expected - tick.resting - tick.written.keys()),
            "incomplete": sorted(tick.incomplete),
            "locked": outcome.locked,
            "unread": outcome.unread,
            "without identity": outcome.untagged,
            "the host": self.run.scenario.host and outcome.host is NO_HOST,
            "hanging": max(0, outcome.hanging - self.run.client.never),
        }
        for name, value in texts.items():
            if value:
                self.fail(f"tick {tick.number} after the last fault, {name}: {value}")

    def end(self) -> None:
        run = self.run
        names = {guest.name for guest in run.daemon.selected()}
        for feed in run.engine.fetches.feeds:
            wanted = names if feed.settings.options["of_domains"] else {"host"}
            fetched = self._fetched.get(feed.number, {})
            old = {name for name in wanted if fetched.get(name, 0.0) < run.recovered_at}
            if old:
                self.fail(f"{feed.source.name} was not fetched since: {sorted(old)}")
            health = feed.health()
            if health is None or not health.up or health.hanging:
                self.fail(f"{feed.source.name}: {health}")
