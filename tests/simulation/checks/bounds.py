"""The requests that run or hang, and the open connections, are bounded.

More may hang behind locks. The same request is made again only a few times in a tick.
"""

from __future__ import annotations

from collections import Counter

from telegraf_execd_libvirt.connection.requests import BatchRequest, FetchRequest, XmlRequest
from telegraf_execd_libvirt.hypervisor.messages import (
    Action,
    Ask,
    Close,
    Ended,
    Event,
    Opened,
)

from ..driver import Check, Run, TickRecord
from ..scenario import OF_LIVES
from .limits import FETCH_LINKS, MOST_HANGING, MOST_LOCKED

#: A guest that another client uses is asked seven times more, and again when another one returns.
_MOST_TIMES = 24


class Bounds(Check):
    """Numbers of requests by kind, and of connections."""

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        scenario = run.scenario
        lanes = Counter[bool]()
        for source in scenario.sources:
            lanes[source.read_only] += source.lanes
        statistics = max(MOST_HANGING, scenario.calls) + scenario.calls
        if not scenario.only("hang", "late", "moment", "busy", *OF_LIVES):
            statistics += 2 * MOST_LOCKED
        self._most = {
            "statistics": statistics,
            "xml": max(scenario.calls, MOST_HANGING),
            "fetch True": lanes[True] + MOST_HANGING,
            "fetch False": lanes[False] + MOST_HANGING,
        }
        self._keep = scenario.calls + min(FETCH_LINKS, lanes[True])
        self._running: dict[object, str] = {}
        #: How often guests were asked in this tick.
        self._times = Counter[tuple[str, ...]]()
        #: The source and the lane of each fetch: the last one of each is not abandoned.
        self._turns: dict[object, tuple[int, tuple[int, int]]] = {}
        self._links: dict[object, bool] = {}

    def event(self, event: Event) -> None:
        if isinstance(event, Opened):
            if event.error is None:
                self._links[event.link] = event.link.read_only
        elif isinstance(event, Ended):
            del self._running[event.link]
            self._turns.pop(event.link, None)

    def action(self, action: Action) -> None:
        if isinstance(action, Ask):
            request = action.request
            kind = "xml" if isinstance(request, XmlRequest) else "statistics"
            if isinstance(request, FetchRequest):
                kind = f"fetch {action.link.read_only}"
                self._turns[action.link] = request.options["number"], request.lane
                abandoned = len(self._turns) - len(set(self._turns.values()))
                if abandoned > MOST_HANGING:
                    self.fail(f"{abandoned} fetches are abandoned")
            self._running[action.link] = kind
            if isinstance(request, BatchRequest) and request.names:
                names = tuple(request.names)
                self._times[names] += 1
                if self._times[names] > _MOST_TIMES:
                    self.fail(f"asked {self._times[names]} times in a tick: {names}")
            number = sum(other == kind for other in self._running.values())
            if number > self._most[kind]:
                self.fail(f"{number} requests run: {kind}")
        elif isinstance(action, Close):
            del self._links[action.link]

    def after(self) -> None:
        most = self._keep + self.run.engine.fetches.others.keep + sum(self._most.values())
        if len(self._links) > most:
            self.fail(f"{len(self._links)} connections are open")

    def tick(self, tick: TickRecord) -> None:
        """Between ticks, connections beside those that are kept serve requests that hang."""
        running = sum(not kind.endswith("False") for kind in self._running.values())
        if sum(self._links.values()) > self._keep + running:
            self.fail(f"{sum(self._links.values())} connections are open, {running} in use")
        self._times.clear()
