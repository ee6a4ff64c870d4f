"""One hypervisor: the threads and the queue that carry out what the engine decides.

Invariant: nothing is decided here. One thread consumes :meth:`Hypervisor.results`; it alone uses
the engine. It handles all events that have arrived before it looks at the clock, so an answer that
is there is never taken for one that is missing.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from queue import Empty
from typing import Any, Callable, Optional, Union

from ..config.config import HypervisorConfig
from ..connection.api import CHANGES
from ..connection.errors import Unreachable
from ..connection.facts import running_names
from ..connection.reader import Reader
from ..connection.requests import Content, FetchRequest, Records
from ..domain.record import Domain
from ..log import log, trace
from ..sources.scope import Scope, fetch
from ..uri import redact_uri
from .engine import Engine
from .feed import Feed
from .journal import Journal
from .messages import (
    Ask,
    Asked,
    Close,
    Defect,
    Ended,
    Event,
    Fetched,
    Link,
    Open,
    Opened,
    Outcome,
    Part,
    Paused,
    Reading,
    TickDue,
    Written,
)
from .plan import facts_of, plan_of, wanted_of
from .worker import Worker, new_queue

#: A shorter time between two events is no pause.
_PAUSE_SECONDS = 0.05


class Hypervisor:
    """Reads the wanted domains and sources of one hypervisor. ``idle`` is called in the consumer's
    thread whenever nothing is left to do; ``quiet``: log nothing above the level debug."""

    def __init__(
        self,
        config: HypervisorConfig,
        name: str,
        idle: Callable[[], None] = lambda: None,
        quiet: bool = False,
    ) -> None:
        self.name = f"{name} ({redact_uri(config.libvirt_uri)})"
        self._config = config
        self._idle = idle
        self._quiet = quiet
        self._wanted = wanted_of(config, explained=quiet)
        self.plan = plan_of(config, self.name)
        self.journal = Journal(self.plan)
        self._engine = self._new_engine()
        self._events = new_queue()
        self.workers: dict[Link, Worker] = {}
        #: What is known about the hypervisor; each request gets what is known at its beginning.
        self._facts = facts_of(self._config)
        #: The results that nobody has taken yet, and the seconds that the last ones took.
        self._results: deque[Written] = deque()
        self._paused = 0.0
        #: The number of requests since the end of the last tick.
        self._calls = 0
        #: The last tick that was requested, until the engine takes it.
        self._due: Optional[TickDue] = None
        self._timestamp = 0
        self._lock = threading.Lock()
        #: Whether a tick is not written whole, and whether a fetch runs that does not hang. They
        #: become false only when nothing is left to do.
        self._collecting = self._fetching = False

    def tick(self, timestamp: int) -> None:
        """Requests a tick with this timestamp in nanoseconds of Unix time; never waits."""
        with self._lock:
            is_first = self._due is None
            self._due = TickDue(timestamp, time.monotonic(), self.collecting)
            if is_first:
                self._events.put(self._due)

    @property
    def collecting(self) -> bool:
        """Whether a tick waits, is collected, or is not written whole."""
        return self._due is not None or self._collecting

    @property
    def busy(self) -> bool:
        """The same, or whether a source is fetched and does not hang."""
        return self.collecting or self._fetching

    @property
    def feeds(self) -> Sequence[Feed]:
        return self._engine.fetches.feeds

    def results(self, until: Optional[float] = None) -> Iterator[Written]:
        """What is to be written, as it arrives; the end of each tick is an :class:`Outcome`. Ends
        at the monotonic time ``until``. After an exception it can be called again."""
        while True:
            self._carry_out()
            if self._results:
                begun = time.monotonic()
                try:
                    while self._results:
                        yield self._results.popleft()
                finally:
                    self._paused += time.monotonic() - begun
                continue
            if self._paused > _PAUSE_SECONDS:
                paused, self._paused = self._paused, 0.0
                self._give(Paused(paused))
            seconds: Optional[float] = 0.0
            if self._events.empty():
                now, wake_at = time.monotonic(), self._engine.wake_at
                if wake_at is not None and wake_at <= now:
                    self._safely(self._engine.wake, now)
                    continue
                self._fetching = self._engine.fetches.busy
                self._collecting = self._engine.collects
                if not self.busy:
                    self._idle()
                if until is not None and now >= until:
                    return
                moments = [moment for moment in (wake_at, until) if moment is not None]
                seconds = max(0.0, min(moments) - now) if moments else None
            try:
                self._take(self._events.get(timeout=seconds))
            except Empty:
                pass

    def _carry_out(self) -> None:
        """Carries out all actions but the results, which come last: a request is made before the
        reader of stdout may pause."""
        actions = self._engine.actions
        while actions:
            action = actions.popleft()
            if isinstance(action, (Reading, Fetched, Outcome)):
                self._results.append(action)
                if isinstance(action, Outcome):
                    if log.isEnabledFor(logging.DEBUG):
                        self.journal.tick(action, self._calls, self.feeds)
                    self._calls = 0
            elif isinstance(action, Ask):
                self._calls += 1
                self.workers[action.link].ask(action.request)
            elif isinstance(action, Open):
                self.workers[action.link] = self._worker(action.link)
            elif isinstance(action, Close):
                if action.lost and action.link.read_only:
                    self._facts = facts_of(self._config)
                self.workers.pop(action.link).ask(None)
            else:
                log.log(logging.DEBUG if self._quiet else action.level, "%s", action.text)

    def _take(self, event: Event) -> None:
        """Gives an event to the engine; of the ticks that came meanwhile, the last one."""
        if isinstance(event, TickDue):
            with self._lock:
                self._collecting = True
                event, self._due = self._due or event, None
            self._timestamp = event.timestamp
        elif isinstance(event, (Opened, Part, Ended)) and event.link not in self.workers:
            return  # it was for an earlier engine
        elif isinstance(event, Opened) and event.error is not None:
            del self.workers[event.link]  # its thread has ended
        self._give(event)

    def _give(self, event: Event) -> None:
        self._safely(self._engine.handle, event, time.monotonic())

    def _safely(self, step: Callable[..., None], *arguments: Any) -> None:
        """One step of the engine. A defect costs its tick and its connections: another engine goes
        on."""
        try:
            step(*arguments)
        except Exception as defect:
            text = f"internal error: {trace(defect)}"
            collects = self._engine.collects or isinstance(arguments[0], TickDue)
            self.journal.actions.clear()
            for worker in self.workers.values():
                worker.ask(None)
            self.workers.clear()
            self._engine = self._new_engine()
            self.journal.defect(text)
            if collects:
                outcome = Outcome(self._timestamp, trouble=Unreachable("defect", text))
                self.journal.ended(outcome, None, False)
                self._results.append(outcome)

    def defect(self, defect: Exception) -> None:
        self.journal.defect(f"internal error: {trace(defect)}")

    def _worker(self, link: Link) -> Worker:
        wanted = self._wanted

        def happened(kind: int, uuid: str, name: str, arguments: tuple[Any, ...]) -> None:
            try:
                if kind in CHANGES:
                    self._facts.changed(kind, uuid, arguments)
                for listener in self._engine.fetches.listeners.get(kind, ()):
                    listener.happened(kind, uuid, name, arguments)
            except Exception as defect:  # the caller is libvirt
                self._events.put(Defect(f"internal error: {trace(defect)}"))

        def connect() -> Reader:
            uri, progress = self._config.libvirt_uri, link.progress
            return Reader(uri, wanted, self._facts, progress, happened, link.read_only)

        def answer(reader: Reader, request: Asked) -> Iterator[Union[Content, Records]]:
            if isinstance(request, FetchRequest):
                how = wanted.selection, self._facts, link.progress, wanted.identity
                yield fetch(Scope(reader.connection, request, *how), request)
            else:
                yield from reader.answer(request, self._facts)

        return Worker(link, connect, answer, self._events.put, not self.workers)

    def _new_engine(self) -> Engine:
        return Engine(self.plan, random.uniform, self._running_names, self.journal)

    def _running_names(self) -> list[str]:
        return self._wanted.selection.names(running_names(self._config.libvirt_uri))

    def health(self, outcome: Outcome) -> Domain:
        """The record of the health after a tick."""
        health = self.journal.health(outcome, self._engine.links.reconnects)
        if not self._wanted.identity:
            health = health._replace(domains_untagged=None)
        return health.record(redact_uri(self._config.libvirt_uri))
