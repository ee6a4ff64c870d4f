"""A connection has one request at a time, and none before it is open or after it is closed.

Calls that need no monitor hang only behind a lock. As long as fewer than two of them hang at a
guest, the state of the guest is asked for.
"""

from __future__ import annotations

from collections import Counter

from telegraf_execd_libvirt.connection.requests import BatchRequest
from telegraf_execd_libvirt.hypervisor.messages import (
    Action,
    Ask,
    Close,
    Ended,
    Event,
    Open,
    Opened,
)
from telegraf_execd_libvirt.hypervisor.patience import MOST_HANGING_PER_DOMAIN

from ..driver import Check, Run


class Asking(Check):
    """Requests and connections."""

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        #: The state of each link by its number: "opening", "idle", "busy", "closed".
        self._states: dict[tuple[int, bool], str] = {}
        self._before = Counter[str]()

    def event(self, event: Event) -> None:
        if isinstance(event, Opened):
            self._states[event.link.number, event.link.read_only] = (
                "idle" if not event.error else "closed"
            )
        elif isinstance(event, Ended):
            self._states[event.link.number, event.link.read_only] = "idle"

    def action(self, action: Action) -> None:
        if not isinstance(action, (Open, Ask, Close)):
            return
        key = action.link.number, action.link.read_only
        state = self._states.get(key, "new")
        needed = "new" if isinstance(action, Open) else "idle"
        if state != needed:
            self.fail(f"{action} while it is {state}")
        after = {Open: "opening", Ask: "busy", Close: "closed"}
        self._states[key] = after[type(action)]
        if isinstance(action, Ask) and isinstance(action.request, BatchRequest):
            self._check_skipped(action.request)

    def after(self) -> None:
        self._before = self._hung()

    def _hung(self) -> Counter[str]:
        """The number of calls that hang and need no monitor, by guest."""
        calls = [c for c in self.run.client.connections.values() if c.call and c.call.kind == "own"]
        return Counter(c.link.progress.at for c in calls if c.call and not c.call.monitor)

    def _check_skipped(self, request: BatchRequest) -> None:
        hung = self._hung() | self._before  # their ends may wait to be handled
        for name in request.skip:
            if hung[name] < MOST_HANGING_PER_DOMAIN:
                self.fail(f"{name} is skipped, but only {hung[name]} calls hang there")
