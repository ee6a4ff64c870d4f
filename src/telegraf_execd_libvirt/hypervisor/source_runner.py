"""Run one source: fetch it when it is due, handle fetches that hang, and report its state.

Invariant: a source that hangs, fails or is refused affects nothing else, and each change of its
state is logged once. :meth:`SourceRunner.tick` never waits. Results are written as soon as they
arrive, with the time of the tick, or of the request if that was late.
"""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Callable, Optional

from ..config.config import HypervisorConfig
from ..config.duration import format_duration
from ..connection.api import Connection
from ..connection.errors import ErrorKind, LibvirtError, advice
from ..domain.record import Domain
from ..groups.health import SourceHealth
from ..lines.encode import Encoder
from ..log import log
from ..sources.scope import Scope
from ..sources.source import Fetch, Source
from ..uri import is_remote
from .hanging_sources import Hanging
from .hypervisor import Hypervisor
from .lane import Fetched, Lane
from .patience import MOST_FETCHES_PER_SOURCE, Patience
from .report import Report
from .rhythm import Rhythm


class SourceRunner:
    """Fetches one source of one hypervisor when it is due. ``write`` takes whole lines, ``idle`` is
    called when a fetch has ended. ``level`` is that of the source's :class:`.Report`."""

    def __init__(
        self,
        source: Source,
        config: HypervisorConfig,
        hypervisor: Hypervisor,
        hanging: Hanging,
        write: Callable[[bytes], object],
        idle: Callable[[], None] = lambda: None,
        level: int = logging.WARNING,
    ) -> None:
        self.source = source
        self.settings = config.settings(source)
        self.report = Report(f"{hypervisor.name}: {source.name}", level)
        #: The number of records of the last fetch.
        self.records = 0
        self._config = config
        self._hypervisor = hypervisor
        self._hanging = hanging
        self._write = write
        self._idle = idle
        self._selection = config.selection
        self._patience = Patience(self.settings.timeout / 1e9)
        self._lock = threading.Lock()
        self._fetches: list[Fetch] = [source.new() for _ in range(source.lanes)]
        self._lanes: list[Optional[Lane]] = [None] * source.lanes
        self._last: list[Optional[Fetched]] = [None] * source.lanes
        self._overdue: set[Lane] = set()
        self._given_up: set[Lane] = set()
        self._rhythm = Rhythm(self.settings.interval, is_remote(config.libvirt_uri))
        self._errors = 0

    def tick(self, timestamp: int, collected: Optional[threading.Event] = None) -> None:
        """Starts a fetch if it is due and none is running. It begins after the bulk statistics of
        the tick (``collected``); if the source is connected, at the latest after 0.4 s."""
        now = time.monotonic()
        with self._lock:
            self._look(now)
            self._rhythm.tick(now)
            if not self._rhythm.is_due(now):
                return
            free = [n for n, lane in enumerate(self._lanes) if lane is None or not lane.busy]
            if free:
                self._rhythm.started(now)
            for number in free:
                self._lane(number).ask(timestamp, collected)

    @property
    def busy(self) -> bool:
        """Whether a fetch is running and does not hang."""
        with self._lock:
            self._look(time.monotonic())
            return any(lane and lane.busy and lane not in self._overdue for lane in self._lanes)

    def health(self) -> Optional[SourceHealth]:
        """The health after the last fetch; None before the end of the first one."""
        with self._lock:
            last = [fetched for fetched in self._last if fetched is not None]
            if not last and not self._overdue and self.report.up:
                return None
            return SourceHealth(
                source=self.source.name,
                up=self.report.up,
                records=self.records,
                collect_time_ns=int(max((f.seconds for f in last), default=0.0) * 1e9),
                errors=self._errors,
                hanging=len(self._overdue) + len(self._given_up),
            )

    # The rest runs with the lock held, or in the thread of a lane.

    def _lane(self, number: int) -> Lane:
        lane = self._lanes[number]
        if lane is None:
            encoder = Encoder(self._config, self.source.group)
            lane = Lane(
                self._fetches[number],
                self._connect,
                lambda connection: self._scope(connection, number),
                lambda records, timestamp: self._send(encoder, records, timestamp),
                self._done,
                self._hanging.turns,
                self._patience.timeout,
            )
            self._lanes[number] = lane
        return lane

    def _connect(self) -> Connection:
        self._hypervisor.check_connected()
        return Connection(self._config.libvirt_uri, self.source.read_only)

    def _scope(self, connection: Connection, number: int) -> Scope:
        return Scope(
            connection,
            self._selection,
            lambda: self._hypervisor.facts,
            self._hanging.domains,
            self.settings.options,
            self._patience.timeout,
            self._hypervisor.has_identities,
            (number, self.source.lanes),
        )

    def _send(self, encoder: Encoder, records: Iterable[Domain], timestamp: int) -> None:
        self._write(encoder.encode_plain(records, timestamp))

    def _look(self, now: float) -> None:
        """Notes which fetches hang, and gives up those that have hung for long."""
        for number, lane in enumerate(self._lanes):
            if lane is None or not lane.busy or now - lane.step < self._patience.timeout:
                continue
            if lane not in self._overdue:
                self._overdue.add(lane)
                self._hanging.add(lane)
                self._errors += 1
                self._judge()
            # A domain that hangs is left out from now on, so the others need not wait for it.
            old = lane.at or now - lane.step > self._patience.attempt_seconds
            fetches = len(self._lanes) + len(self._given_up)
            if old and fetches < MOST_FETCHES_PER_SOURCE:
                log.debug("%s: a fetch that hangs is given up", self.report.name)
                lane.give_up()
                self._overdue.discard(lane)
                self._given_up.add(lane)
                self._lanes[number] = None

    def _done(self, lane: Lane, fetched: Fetched) -> None:
        with self._lock:
            self._hanging.drop(lane)
            self._overdue.discard(lane)
            lane.busy = False
            if fetched.skipped:
                self._rhythm.repeat()
                if self.report.up:
                    text = "no turn: fetches of other sources hang"
                    self.report.set("waiting", text, quiet=not self._hypervisor.outcome.up)
            elif lane in self._given_up:
                self._given_up.discard(lane)
                self._judge()
            else:
                self._last[self._lanes.index(lane)] = fetched
                self._errors += fetched.error is not None and not fetched.held
                self._judge()
        self._idle()

    def _judge(self) -> None:
        """The state after a fetch has ended or is found to hang; a change is logged."""
        hanging = self._overdue | self._given_up
        if hanging:
            timeout = format_duration(self.settings.timeout)
            names = ", ".join(sorted({lane.at for lane in hanging} - {""}))
            of = f" for domain {names}" if names else ""
            # The hypervisor itself reports that it does not answer.
            silent = not names and not self._hypervisor.outcome.up
            self.report.set("hanging", f"no answer within {timeout}{of}", quiet=silent)
        if any(lane is not None and lane.busy for lane in self._lanes):
            return
        last = [fetched for fetched in self._last if fetched is not None]
        self.records = sum(fetched.records for fetched in last)
        failed = failure(last)
        if failed is None or failed.error is None:
            self._rhythm.succeeded()
            if not hanging:
                self.report.set("up")
            return
        self._rhythm.failed(failed)
        if hanging:
            return
        error = failed.error
        self.report.set(
            error.kind.name if error.kind is not ErrorKind.FAILED else f"error {error.code}",
            error.message,
            self._advice(error),
            # The hypervisor itself reports that it cannot be reached.
            quiet=not self._hypervisor.outcome.up
            or ((failed.opening or error.kind is ErrorKind.LOST) and self.source.read_only),
        )

    def _advice(self, error: LibvirtError) -> str:
        refused = error.kind is ErrorKind.DENIED or error.errno in (errno.EACCES, errno.EPERM)
        if refused and self.source.advice:
            return self.source.advice
        return advice(error, self._config.libvirt_uri)


def failure(last: Sequence[Fetched]) -> Optional[Fetched]:
    """The fetch that failed, if any. Failed calls for domains do not count if others succeeded."""
    worked = any(fetched.worked for fetched in last)
    for fetched in last:
        if fetched.error is not None:
            cut = fetched.opening or fetched.error.kind in (ErrorKind.LOST, ErrorKind.DENIED)
            if cut or fetched.defect or not worked:
                return fetched
    return None
