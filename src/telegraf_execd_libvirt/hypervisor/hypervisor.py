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
from collections.abc import Collection, Iterator, Sequence
from queue import Empty, Queue
from typing import Any, Callable, Optional

from ..config.config import HypervisorConfig
from ..config.values import format_duration
from ..connection.api import CHANGES, library_version
from ..connection.completeness import Completeness
from ..connection.facts import Facts, running_names
from ..connection.reader import Reader
from ..connection.requests import FetchRequest, Records, Wanted
from ..connection.xml_cache import XmlCache
from ..domain.devices import NO_DEVICES
from ..domain.devices import parse as parse_devices
from ..domain.mistakes import Mistake
from ..domain.record import NO_IDENTITY, Domain
from ..groups import node, vcpu_mapping
from ..groups.health import Health
from ..log import log
from ..sources.scope import Scope, fetch
from ..uri import is_remote, redact_uri
from .engine import Engine
from .feed import Feed
from .messages import (
    Ask,
    Close,
    Event,
    Link,
    Open,
    Opened,
    Outcome,
    Paused,
    Plan,
    Say,
    TickDue,
    Written,
)
from .worker import Worker

#: A shorter time between two events is no pause.
_PAUSE_SECONDS = 0.05

#: The XML is read again after this, for drivers and changes without an event.
_OLDEST_DEVICES_SECONDS = 60.0
_OLDEST_IDENTITY_SECONDS = 600.0


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
        self._identities = config.identities
        self._selection = config.selection
        self._wanted = Wanted(
            groups=config.read_groups,
            selection=self._selection,
            everything=config.full and config.statistics_groups is None,
            backing_chain=config.backing_chain,
            bulk=config.bulk_statistics,
            mapping=vcpu_mapping.GROUP in config.additions,
            identity=self._identities.wanted or quiet,  # --check explains with it what is missing
            host=node.GROUP in config.additions,
            events=frozenset(kind for source in config.sources for kind in source.events),
            sources=bool(config.sources),
        )
        self.plan = Plan(
            name=self.name,
            uri=config.libvirt_uri,
            timeout=config.timeout / 1e9,
            timeout_text=format_duration(config.timeout),
            calls=config.parallel_calls,
            by_name=self._selection.by_name,
            host=self._wanted.host,
            is_remote=is_remote(config.libvirt_uri),
            sources=[(source, config.settings(source)) for source in config.sources],
        )
        self._engine = Engine(self.plan, random.uniform, self._running_names)
        #: Not a SimpleQueue: before Python 3.11 its get() may ignore a short timeout and wait for
        #: ever.
        self._events: Queue[Event] = Queue()
        self.workers: dict[Link, Worker] = {}
        self._facts, self._epoch = self._new_facts(), 0
        self._library_version = library_version()
        #: The last tick that was requested, until the engine takes it.
        self._due: Optional[TickDue] = None
        self._lock = threading.Lock()
        self._fetching = False

    def tick(self, timestamp: int) -> None:
        """Requests a tick with this timestamp in nanoseconds of Unix time; never waits."""
        with self._lock:
            is_first = self._due is None
            self._due = TickDue(timestamp, time.monotonic(), self.collecting)
            if is_first:
                self._events.put(self._due)

    @property
    def collecting(self) -> bool:
        """Whether a tick is collected or waits."""
        return self._due is not None or self._engine.collects

    @property
    def busy(self) -> bool:
        """The same, or whether a source is fetched and does not hang."""
        return self.collecting or self._fetching

    @property
    def feeds(self) -> Sequence[Feed]:
        """The sources and their states."""
        return self._engine.fetches.feeds

    @property
    def mistakes(self) -> Collection[Mistake]:
        """Probable mistakes in the selection."""
        return self._engine.journal.mistakes

    @property
    def connected(self) -> str:
        """The daemon, in words."""
        return self._engine.journal.connected

    def results(self, until: Optional[float] = None) -> Iterator[Written]:
        """What is to be written, as it arrives; the end of each tick is an :class:`Outcome`. Ends
        at the monotonic time ``until``. After an exception it can be called again."""
        engine = self._engine
        while True:
            while engine.actions:
                action = engine.actions.popleft()
                if isinstance(action, Open):
                    self.workers[action.link] = self._worker(action)
                elif isinstance(action, Ask):
                    self.workers[action.link].ask(action.request)
                elif isinstance(action, Close):
                    self.workers.pop(action.link).ask(None)
                elif isinstance(action, Say):
                    log.log(logging.DEBUG if self._quiet else action.level, "%s", action.text)
                else:
                    begun = time.monotonic()
                    yield action
                    del action  # its memory is for the next one
                    now = time.monotonic()
                    if now - begun > _PAUSE_SECONDS:
                        engine.handle(Paused(now - begun), now)
            seconds: Optional[float] = 0.0
            if self._events.empty():
                now, wake_at = time.monotonic(), engine.wake_at
                if wake_at is not None and wake_at <= now:
                    engine.wake(now)
                    continue
                self._fetching = engine.fetches.busy
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

    def _take(self, event: Event) -> None:
        """Gives an event to the engine; of the ticks that came meanwhile, the last one."""
        if isinstance(event, TickDue):
            with self._lock:
                self._engine.handle(self._due or event, time.monotonic())
                self._due = None
            return
        if isinstance(event, Opened) and event.error is not None:
            del self.workers[event.link]  # its thread has ended
        self._engine.handle(event, time.monotonic())

    def _worker(self, action: Open) -> Worker:
        """A connection attempt. After a lost connection all facts are dropped: the daemon and its
        domains may be different now."""
        if action.epoch != self._epoch and action.link.read_only:
            self._facts, self._epoch = self._new_facts(), action.epoch
        facts, link = self._facts, action.link
        read_only, uri = link.read_only, self._config.libvirt_uri

        def happened(kind: int, uuid: str, name: str, arguments: tuple[Any, ...]) -> None:
            if kind in CHANGES:
                facts.forget(uuid)
            for listener in self._engine.fetches.listeners.get(kind, ()):
                listener.happened(kind, uuid, name, arguments)

        def connect() -> Reader:
            return Reader(uri, self._wanted, facts, link.progress, happened, read_only)

        def fetch_on(reader: Reader, request: FetchRequest) -> Records:
            identity = self._wanted.identity
            scope = Scope(
                reader.connection, request, self._selection, facts, link.progress, identity
            )
            return fetch(scope, request)

        return Worker(link, connect, fetch_on, self._events, not self.workers)

    def _new_facts(self) -> Facts:
        return Facts(
            Completeness(self._wanted.groups),
            XmlCache(parse_devices, NO_DEVICES, _OLDEST_DEVICES_SECONDS),
            XmlCache(self._identities.read, NO_IDENTITY, _OLDEST_IDENTITY_SECONDS),
        )

    def _running_names(self) -> list[str]:
        return self._selection.names(running_names(self._config.libvirt_uri))

    def health(self, outcome: Outcome) -> list[Domain]:
        """The records of the health after a tick: of the hypervisor, then of its sources."""
        engine, uri = self._engine, redact_uri(self._config.libvirt_uri)
        health = Health(
            up=outcome.up,
            domains=outcome.domains,
            domains_incomplete=len(outcome.incomplete),
            domains_locked=len(outcome.locked),
            domains_untagged=outcome.untagged if self._wanted.identity else None,
            collect_time_ns=int(outcome.seconds * 1e9),
            calls_hanging=outcome.hanging,
            reconnects=engine.links.reconnects,
            errors=engine.journal.errors,
            libvirt_version=self._library_version,
            daemon_version=engine.journal.version,
        )
        sources = (feed.health() for feed in self.feeds)
        return [health.record(uri), *(source.record(uri) for source in sources if source)]
