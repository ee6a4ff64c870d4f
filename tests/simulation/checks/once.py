"""No domain twice in a tick, and only domains that exist and are selected."""

from __future__ import annotations

from telegraf_execd_libvirt.hypervisor.messages import Action, Outcome, Reading

from ..driver import Check


class Once(Check):
    """What is written in a tick."""

    def action(self, action: Action) -> None:
        tick = self.run.current
        if isinstance(action, Outcome) and tick is not None:
            both = tick.written.keys() & {domain.name for domain in action.locked}
            if both:
                self.fail(f"written, and said not to be read: {sorted(both)}")
        if not isinstance(action, Reading):
            return
        if tick is None:
            self.fail("lines are written outside a tick")
            return
        names = [domain.name for domain in action.domains]
        if not names:
            self.fail("an empty reading")
        if len(set(names)) < len(names) or not tick.written.keys().isdisjoint(names):
            twice = sorted({n for n in names if n in tick.written or names.count(n) > 1})
            self.fail(f"twice in a tick: {twice}")
        if other := [name for name in names if not name.startswith("g")]:
            self.fail(f"not selected, but written: {other}")
        if not action.incomplete <= set(names):
            self.fail("incomplete, but not in the reading")
