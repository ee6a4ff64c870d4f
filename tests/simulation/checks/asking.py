"""A connection has one request at a time, and none before it is open or after it is closed.

A request that was answered is not repeated. Guests are looked up one by one only after a call has
hung, or if they were locked.

No source lists the guests while the first call of the same tick, about all of them, runs: both may
hang behind one lock. After a refused connection a tick may have nothing else to wait for; while a
domain is removed, all calls wait.

A connection that lives is closed only if it is spare, or if two requests in a row have failed as if
it were lost.

Calls that need no monitor hang only behind a lock. As long as fewer than two of them hang at a
guest, the state of the guest is asked for.

Only guests that did not respond in the last tick are asked for their control interface. Nobody
waits for that, so it is not asked again, unless a connection was lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from telegraf_execd_libvirt.connection.errors import ErrorKind
from telegraf_execd_libvirt.connection.requests import (
    BatchRequest,
    ControlRequest,
    FetchRequest,
    ListRequest,
)
from telegraf_execd_libvirt.hypervisor.messages import (
    Action,
    Ask,
    Close,
    Ended,
    Event,
    Link,
    Open,
    Opened,
)

from ..driver import Check, Run, TickRecord
from .limits import MOST_HANGING_PER_DOMAIN

#: The first request of a tick is made within this, on a connection that is open.
_FIRST_SECONDS = 0.05

#: A call hangs at the earliest after this.
_LOOK_UP_SECONDS = 0.1


class Asking(Check):
    """Requests and connections."""

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        #: The state of each link by its number: "opening", "idle", "busy", "closed".
        self._states: dict[tuple[int, bool], str] = {}
        self._before = Counter[str]()
        #: The names in requests of this tick that were answered; a repeat has the same object.
        self._answered: dict[int, Sequence[str]] = {}
        #: Who did not respond in the last tick.
        self._incomplete: list[frozenset[str]] = []
        #: The names in the last request for control interfaces; a repeat has the same object.
        self._controls: Sequence[str] = ()
        #: The number of requests in a row that have failed as if the connection were lost.
        self._lost = Counter[Link]()

    def event(self, event: Event) -> None:
        if isinstance(event, Opened):
            self._states[event.link.number, event.link.read_only] = (
                "idle" if not event.error else "closed"
            )
        elif isinstance(event, Ended):
            self._controls = self._controls if event.error is None else ()
            request = self.run.client.connections[event.link].request
            if isinstance(request, BatchRequest) and request.names and event.last is not None:
                self._answered[id(request.names)] = request.names
            lost = event.error is not None and event.error.kind is ErrorKind.LOST
            self._lost[event.link] = self._lost[event.link] + 1 if lost else 0
            self._states[event.link.number, event.link.read_only] = "idle"

    def action(self, action: Action) -> None:
        if not isinstance(action, (Open, Ask, Close)):
            return
        if isinstance(action, Close):
            self._check_close(action.link)
        key = action.link.number, action.link.read_only
        state = self._states.get(key, "new")
        needed = "new" if isinstance(action, Open) else "idle"
        if state != needed:
            self.fail(f"{action} while it is {state}")
        after = {Open: "opening", Ask: "busy", Close: "closed"}
        self._states[key] = after[type(action)]
        if isinstance(action, Ask) and isinstance(action.request, BatchRequest):
            self._check_skipped(action.request)
            self._check_names(action.request)
        if isinstance(action, Ask) and isinstance(action.request, FetchRequest):
            self._check_fetch(action.request)
        if isinstance(action, Ask) and isinstance(action.request, ControlRequest):
            names = {*action.request.names} - action.request.hung
            current = self.run.engine.runs.incomplete
            # A tick may end in the step in which it asks.
            if not any(names <= last for last in (*self._incomplete, current)):
                self.fail(f"{names} are asked for their control interface")
            if action.request.names is self._controls:
                self.fail(f"{self._controls} are asked for their control interface again")
            self._controls = action.request.names

    def _check_close(self, link: Link) -> None:
        run, connections = self.run, self.run.client.connections
        mine = sum(c.open and c.link.read_only for c in connections.values())
        spare = link.read_only and mine > run.engine.links.keep
        if connections[link].alive and self._lost[link] < 2 and not spare:
            self.fail(f"connection {link.number} is closed, but it lives")

    def _check_fetch(self, request: FetchRequest) -> None:
        tick = self.run.current
        if tick is None or self.run.waiting_results or not request.options["of_domains"]:
            return  # what waits may be the end of this tick
        if self.run.engine.links.refusal is not None or self.run.daemon.removing:
            return
        for connection in self.run.client.connections.values():
            other = connection.request
            is_batch = isinstance(other, BatchRequest) and other.names is None
            lists = (is_batch or isinstance(other, ListRequest)) and connection.steps is not None
            is_first = 0.0 <= connection.asked - tick.began < _FIRST_SECONDS
            if lists and is_first and request.uuids is None:
                self.fail("a source lists the guests beside a call about all of them")

    def _check_names(self, request: BatchRequest) -> None:
        tick, names = self.run.current, request.names
        if id(names) in self._answered:
            self.fail(f"answered, but asked again: {names}")
        after = self.run.clock.now - (tick.began if tick else 0.0)
        if request.look_up and len(names or ()) > 1 and after < _LOOK_UP_SECONDS:
            self.fail(f"{names} are looked up after {after:.3f} s")

    def tick(self, tick: TickRecord) -> None:
        self._answered.clear()

    def after(self) -> None:
        self._before = self._hung()
        self._incomplete = [self.run.engine.runs.incomplete]

    def _hung(self) -> Counter[str]:
        """The number of calls that hang and need no monitor, by guest."""
        calls = [c for c in self.run.client.connections.values() if c.call and c.call.kind == "own"]
        return Counter(c.link.progress.at for c in calls if c.call and not c.call.monitor)

    def _check_skipped(self, request: BatchRequest) -> None:
        hung = self._hung() | self._before  # their ends may wait to be handled
        for name in request.skip:
            if hung[name] < MOST_HANGING_PER_DOMAIN:
                self.fail(f"{name} is skipped, but only {hung[name]} calls hang there")
