"""One hypervisor as a source of statistics, whatever becomes of its daemon.

Rule guarded: a fetch always comes to an end and never raises for what libvirt does; a change of
the hypervisor's state is logged once, with the reason and what helps.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Optional

from ..config import HypervisorConfig
from ..domain import Domain
from ..groups import health, vcpu_mapping
from ..health import INCOMPLETE, Health
from ..log import log
from ..uri import redact
from . import binding
from .bulk import Answer, Bulk
from .domain_calls import DomainCalls
from .drivers import FILLED, has_in_bulk
from .errors import LibvirtError, Meaning
from .session import Session, Unreachable
from .sweep import Sweep, Sweeper
from .vcpu_mapping import drop_strays

#: What a sweep may take where the bulk call has used up the timeout.
_LEAST_SECONDS = 0.25

#: A connection that was lost can be made again at once; and one guest whose QEMU dies under a call
#: makes it fail for all guests. Asking again in the same tick, nothing is lost.
_WORTH_ANOTHER_CALL = (Meaning.LOST, Meaning.FAILED, Meaning.BUSY)

#: More names than these do not help in one line of the log.
_NAMES_SHOWN = 10


@dataclass(frozen=True)
class Snapshot:
    """What one reading of a hypervisor brought; ``late`` is how many seconds after its beginning
    the call was made that brought it, for others may have hung before."""

    driver: str
    version: str
    domains: Sequence[Domain]
    incomplete: frozenset[str]
    late: float


class Hypervisor:
    """Reads the statistics of the wanted domains of one hypervisor."""

    def __init__(self, config: HypervisorConfig, name: str) -> None:
        self.name = f"{name} ({redact(config.libvirt_uri)})"
        self._uri = config.libvirt_uri
        self._timeout = config.timeout
        self._session = Session(config.libvirt_uri, config.timeout, config.bulk_statistics)
        self._bulk = Bulk(
            self._session,
            groups=config.groups,
            everything=config.full and config.statistics_groups is None,
            backing_chain=config.backing_chain,
            domains=config.domains,
            timeout=config.timeout,
        )
        self._groups = config.groups
        self._sweeper = Sweeper()
        self._with_mapping = vcpu_mapping.GROUP in config.additions
        self._with_health = health.GROUP in config.additions
        self.health = Health(binding.library_version())
        self._state = ""
        self._told_late = False
        self._held_up: tuple[bool, frozenset[str]] = (False, frozenset())

    def fetch(self) -> Optional[Snapshot]:
        """The statistics of this moment, or None; what is wrong then is in the log."""
        try:
            snapshot = self.read()
        except Unreachable as trouble:
            self.health.errors += 1
            self._tell(trouble.state, f"cannot be read: {trouble}")
            return None
        finally:
            self.health.reconnects = self._session.reconnects
            self.health.calls_hanging = self._session.hanging
            self._tell_late()
        self.health.daemon_version = snapshot.version
        self._tell("up", f"connected: driver {snapshot.driver}, libvirt {snapshot.version}")
        self._tell_held_up(
            domain.name for domain in snapshot.domains if domain.uuid in snapshot.incomplete
        )
        return snapshot

    def read(self) -> Snapshot:
        """The statistics of this moment; raises Unreachable."""
        started = time.monotonic()
        try:
            try:
                return self._read(started)
            except LibvirtError as error:
                if error.meaning not in _WORTH_ANOTHER_CALL:
                    raise
                log.debug("%s: asking again after: %s", self.name, error.message)
                return self._read(started)
        except LibvirtError as error:
            raise Unreachable.by(error, self._uri) from None

    def _read(self, started: float) -> Snapshot:
        deadline = started + self._timeout / 1e9
        answer = self._bulk.fetch()
        connection = answer.connection
        swept = self._sweep(answer, deadline - time.monotonic())
        incomplete = answer.incomplete | swept.missing
        if swept.found or (incomplete and self._with_health):
            for handle, stats in answer.records:
                uuid = binding.uuid(handle)
                stats.update(swept.found.get(uuid, {}))
                drop_strays(stats)
                if self._with_health and uuid in incomplete:
                    stats.update(INCOMPLETE)
        if swept.left is None:
            self._session.give(connection)
        else:
            self._session.leave(swept.left, connection)
        return Snapshot(
            driver=connection.driver,
            version=connection.version,
            domains=[binding.domain(handle, stats) for handle, stats in answer.records],
            incomplete=incomplete,
            late=answer.asked - started,
        )

    def _sweep(self, answer: Answer, seconds: float) -> Sweep:
        """What bulk statistics do not have, from the calls for one domain."""
        connection = answer.connection
        lacking = [
            group
            for group in self._groups
            if group.name in FILLED
            and not (connection.has_bulk and has_in_bulk(connection.driver, group.name))
        ]
        if not lacking and not self._with_mapping:
            return Sweep({}, frozenset())
        calls = DomainCalls(connection, lacking, self._with_mapping)
        handles = [handle for handle, _ in answer.records]
        try:
            return self._sweeper.sweep(handles, calls.ask, max(seconds, _LEAST_SECONDS))
        except LibvirtError:
            self._session.lose(connection)
            raise

    def _tell(self, state: str, text: str) -> None:
        if state != self._state:
            self._state = state
            (log.info if state == "up" else log.error)("%s: %s", self.name, text)

    def _tell_late(self) -> None:
        if self._bulk.late_seconds and not self._told_late:
            self._told_late = True
            log.warning(
                "%s: a call took %.1f s, longer than the timeout; if no guest hung meanwhile, "
                "the timeout is too short for this hypervisor",
                self.name,
                self._bulk.late_seconds,
            )

    def _tell_held_up(self, names: Iterable[str]) -> None:
        now = (self._session.hanging > 0, frozenset(names))
        if now == self._held_up:
            return
        self._held_up = now
        if now[1]:
            shown = ", ".join(sorted(now[1])[:_NAMES_SHOWN])
            more = f" and {len(now[1]) - _NAMES_SHOWN} more" if len(now[1]) > _NAMES_SHOWN else ""
            log.warning("%s: domains that do not answer: %s%s", self.name, shown, more)
        elif now[0]:
            log.warning("%s: a call hangs; statistics come from calls beside it", self.name)
        else:
            log.info("%s: all domains answer again", self.name)
