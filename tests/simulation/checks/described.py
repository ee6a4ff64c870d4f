"""What is known about a guest that cannot be read is in its lines.

The line about a locked guest says who it is. A guest keeps its last tags while its XML cannot be
read. That of a guest which does not respond says what
libvirt's control interface does, if this was answered in the same tick.
"""

from __future__ import annotations

from telegraf_execd_libvirt.connection.requests import Controls
from telegraf_execd_libvirt.domain.record import NO_IDENTITY
from telegraf_execd_libvirt.hypervisor.messages import Action, Ended, Event, Reading

from ..driver import Check, Run, TickRecord


class Described(Check):
    """Identities and control interfaces."""

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        #: Whether no guest is forgotten.
        self._stay = not {fault.kind for fault in run.scenario.faults} & {"vanish", "removing"}
        self._known: set[str] = set()
        self._controls: set[str] = set()

    def event(self, event: Event) -> None:
        tick = self.run.current
        if not isinstance(event, Ended) or not isinstance(event.last, Controls) or tick is None:
            return
        asked = self.run.client.connections[event.link].asked
        if asked >= tick.began and not self.run.waiting_results:
            self._controls.update(event.last.found)

    def action(self, action: Action) -> None:
        if not isinstance(action, Reading):
            return
        for domain in action.domains:
            if domain.identity is not NO_IDENTITY:
                self._known.add(domain.name)
            elif domain.name in self._known and self._stay:
                self.fail(f"{domain.name} has lost its tags")
            is_asked = domain.name in action.incomplete & self._controls
            if is_asked and "control" not in domain.stats:
                self.fail(f"nothing about the control interface of {domain.name}")

    def tick(self, tick: TickRecord) -> None:
        assert tick.outcome is not None
        self._controls.clear()
        for domain in tick.outcome.locked if self._stay else ():
            if domain.name in self._known and domain.identity is NO_IDENTITY:
                self.fail(f"nothing about the locked guest {domain.name}")
